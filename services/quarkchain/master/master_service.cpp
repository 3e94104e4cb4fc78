#include "services/quarkchain/master/master_service.hpp"

#include "services/quarkchain/rpc/typed_service.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace trunkline::quarkchain {
namespace {

struct FromSlave {
  FromSlave(std::shared_ptr<RootBackend> to, std::function<std::string(const RpcCircuit&)> names)
      : backend(std::move(to)), name_of(std::move(names)) {}

  awaitable<AddMinorBlockHeaderResponse> on(AddMinorBlockHeaderRequest request) {
    return backend->on(from(), std::move(request));
  }
  awaitable<AddMinorBlockHeaderListResponse> on(AddMinorBlockHeaderListRequest request) {
    const std::size_t headers = request.minor_block_header_list.size();
    const std::size_t amounts = request.coinbase_amount_map_list.size();
    if (headers != amounts)
      throw std::runtime_error(fmt::format("{} headers with {} coinbase amounts", headers, amounts)); // it is closed
    return backend->on(from(), std::move(request));
  }

  std::string from() const { return name_of ? name_of(*circuit) : circuit->remote(); }

  std::shared_ptr<RootBackend> backend;
  std::function<std::string(const RpcCircuit&)> name_of;
  std::shared_ptr<RpcCircuit> circuit;
};

} // namespace

MasterService::MasterService(std::shared_ptr<RootBackend> backend, const ServiceOptions& options,
                             std::function<std::string(const RpcCircuit&)> name_of)
    : Service(serve<from_slave>("slave", options, FromSlave(std::move(backend), std::move(name_of)))) {}

} // namespace trunkline::quarkchain

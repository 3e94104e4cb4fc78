#include "services/quarkchain/master/master_service.hpp"

#include "services/quarkchain/rpc/typed_service.hpp"

namespace trunkline::quarkchain {
namespace {

struct Context {
  Context(std::shared_ptr<RootBackend> to, std::function<std::string(const RpcCircuit&)> names)
      : backend(std::move(to)), name_of(std::move(names)) {}
  std::string from() const { return name_of ? name_of(*circuit) : circuit->remote(); }

  std::shared_ptr<RootBackend> backend;
  std::function<std::string(const RpcCircuit&)> name_of;
  std::shared_ptr<RpcCircuit> circuit;
};

awaitable<AddMinorBlockHeaderResponse> answer(Context at, AddMinorBlockHeaderRequest request) {
  MinorBlockReport report;
  report.header = std::move(request.minor_block_header);
  report.tx_count = request.tx_count;
  report.x_shard_tx_count = request.x_shard_tx_count;
  report.coinbase_amount_map = std::move(request.coinbase_amount_map);
  report.shard_stats = std::move(request.shard_stats);
  AddMinorBlockHeaderResponse reply;
  reply.artificial_tx_config = co_await at.backend->add_minor_block_header(at.from(), std::move(report));
  co_return reply;
}

awaitable<AddMinorBlockHeaderListResponse> answer(Context at, AddMinorBlockHeaderListRequest request) {
  const std::size_t headers = request.minor_block_header_list.size();
  const std::size_t amounts = request.coinbase_amount_map_list.size();
  if (headers != amounts)
    throw std::runtime_error(fmt::format("{} headers with {} coinbase amounts", headers, amounts)); // it is closed
  co_await at.backend->add_minor_block_header_list(at.from(), std::move(request.minor_block_header_list),
                                                   std::move(request.coinbase_amount_map_list));
  AddMinorBlockHeaderListResponse reply;
  co_return reply;
}

} // namespace

MasterService::MasterService(std::shared_ptr<RootBackend> backend, ServiceOptions options,
                             std::function<std::string(const RpcCircuit&)> name_of) {
  TypedService<Context> service(OpTable::cluster, from_slave, "slave", options,
                                Context(std::move(backend), std::move(name_of)));
  service.serve<AddMinorBlockHeaderRequest>(answer);
  service.serve<AddMinorBlockHeaderListRequest>(answer);
  server_ = service.finish();
  counters_ = service.counters();
}

} // namespace trunkline::quarkchain

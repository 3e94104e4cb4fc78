#include "services/quarkchain/slave/xshard_service.hpp"

#include "services/quarkchain/slave/slave_answerer.hpp"

namespace trunkline::quarkchain {
namespace {

struct FromSlave : SlaveAnswerer {
  using SlaveAnswerer::on;
  using SlaveAnswerer::SlaveAnswerer;

  awaitable<Pong> on(Ping request);
  awaitable<BatchAddXshardTxListResponse> on(BatchAddXshardTxListRequest request);
};

/// The root tip that pyquarkchain sends along means nothing here: only a master's creates shards.
awaitable<Pong> FromSlave::on(Ping request) {
  members()->identify(*circuit, SlaveIdentity(std::move(request.id), std::move(request.full_shard_id_list)));
  co_return pong();
}

awaitable<BatchAddXshardTxListResponse> FromSlave::on(BatchAddXshardTxListRequest request) {
  for (AddXshardTxListRequest& each : request.add_xshard_tx_list_request_list) // the first failure ends it
    (void)co_await backend->on(std::move(each));
  BatchAddXshardTxListResponse reply;
  co_return reply;
}

} // namespace

XshardService::XshardService(std::shared_ptr<Backend> backend, std::weak_ptr<Membership> membership,
                             const ServiceOptions& options)
    : Service(serve<between_slaves>("slave", options, FromSlave(std::move(backend), std::move(membership)))) {}

} // namespace trunkline::quarkchain

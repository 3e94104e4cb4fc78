#include "services/quarkchain/slave/xshard_service.hpp"

#include "services/quarkchain/slave/slave_context.hpp"

namespace trunkline::quarkchain {
namespace {

using Context = SlaveContext;

XshardList list_of(AddXshardTxListRequest&& request) {
  XshardList list;
  list.branch = request.branch.value;
  list.minor_block_hash = request.minor_block_hash;
  list.list = std::move(request.tx_list);
  return list;
}

/// The root tip that pyquarkchain sends along means nothing here: only a master's creates shards.
awaitable<Pong> answer(Context at, Ping request) {
  const std::shared_ptr<Membership> members = at.members();
  members->identify(*at.circuit, SlaveIdentity(std::move(request.id), std::move(request.full_shard_id_list)));
  Pong pong;
  pong.id = members->own().id;
  pong.full_shard_id_list = members->own().full_shard_ids;
  co_return pong;
}

awaitable<AddXshardTxListResponse> answer(Context at, AddXshardTxListRequest request) {
  XshardList list = list_of(std::move(request));
  co_await at.backend->add_xshard_tx_list(std::move(list));
  AddXshardTxListResponse reply;
  co_return reply;
}

awaitable<BatchAddXshardTxListResponse> answer(Context at, BatchAddXshardTxListRequest request) {
  for (AddXshardTxListRequest& each : request.add_xshard_tx_list_request_list) { // the first failure ends it
    XshardList list = list_of(std::move(each));
    co_await at.backend->add_xshard_tx_list(std::move(list));
  }
  BatchAddXshardTxListResponse reply;
  co_return reply;
}

} // namespace

XshardService::XshardService(std::shared_ptr<Backend> backend, std::weak_ptr<Membership> membership,
                             ServiceOptions options) {
  TypedService<Context> service(OpTable::cluster, between_slaves, "slave", options,
                                Context(std::move(backend), std::move(membership)));
  service.serve<Ping>(answer);
  service.serve<AddXshardTxListRequest>(answer);
  service.serve<BatchAddXshardTxListRequest>(answer);
  server_ = service.finish();
  counters_ = service.counters();
}

} // namespace trunkline::quarkchain

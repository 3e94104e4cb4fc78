#include "services/quarkchain/slave/xshard_client.hpp"

#include "services/quarkchain/rpc/typed_call.hpp"

namespace trunkline::quarkchain {
namespace {

AddXshardTxListRequest request_of(const XshardList& list) {
  AddXshardTxListRequest request;
  request.branch.value = list.branch;
  request.minor_block_hash = list.minor_block_hash;
  request.tx_list = list.list;
  return request;
}

awaitable<SlaveIdentity> identity_of(awaitable<Pong> call) {
  Pong pong = co_await std::move(call);
  SlaveIdentity identity(std::move(pong.id), std::move(pong.full_shard_id_list));
  co_return identity;
}

template <class Reply> awaitable<void> done(awaitable<Reply> call) { (void)co_await std::move(call); }

} // namespace

awaitable<SlaveIdentity> XshardClient::ping(const SlaveIdentity& own) const {
  Ping ping;
  ping.id = own.id;
  ping.full_shard_id_list = own.full_shard_ids;
  ping.root_tip.emplace();
  return identity_of(typed_call(CallVia(circuit_, deadline_), ping));
}

awaitable<void> XshardClient::add_xshard_tx_list(const XshardList& list) const {
  return done(typed_call(CallVia(circuit_, deadline_), request_of(list)));
}

awaitable<void> XshardClient::batch_add_xshard_tx_list(const std::vector<XshardList>& lists) const {
  BatchAddXshardTxListRequest request;
  for (const XshardList& list : lists) request.add_xshard_tx_list_request_list.push_back(request_of(list));
  return done(typed_call(CallVia(circuit_, deadline_), request));
}

} // namespace trunkline::quarkchain

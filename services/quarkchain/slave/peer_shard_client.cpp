#include "services/quarkchain/slave/peer_shard_client.hpp"

#include "services/quarkchain/backend/header_query.hpp"
#include "services/quarkchain/rpc/typed_call.hpp"

namespace trunkline::quarkchain {
namespace {

awaitable<MinorHeaderPage> page_of(awaitable<GetMinorBlockHeaderListResponse> call) {
  GetMinorBlockHeaderListResponse reply = co_await std::move(call);
  MinorHeaderPage page;
  page.root_tip = std::move(reply.root_tip);
  page.shard_tip = std::move(reply.shard_tip);
  page.headers = std::move(reply.block_header_list);
  co_return page;
}

awaitable<std::vector<MinorBlock>> blocks_of(awaitable<GetMinorBlockListResponse> call) {
  GetMinorBlockListResponse reply = co_await std::move(call);
  co_return std::move(reply.minor_block_list);
}

} // namespace

awaitable<void> PeerShardClient::new_minor_block_header(const RootBlockHeader& root,
                                                        const MinorBlockHeader& tip) const {
  NewMinorBlockHeaderListCommand command;
  command.root_block_header = root;
  command.minor_block_header_list.push_back(tip);
  return raw_command(CallVia(circuit_, deadline_), static_cast<std::uint8_t>(CommandOp::new_minor_block_header_list),
                     encoded(command));
}

awaitable<void> PeerShardClient::new_transaction_list(const std::vector<TypedTransaction>& transactions) const {
  NewTransactionListCommand command;
  command.transaction_list = transactions;
  return raw_command(CallVia(circuit_, deadline_), static_cast<std::uint8_t>(CommandOp::new_transaction_list),
                     encoded(command));
}

awaitable<void> PeerShardClient::new_block_minor(const MinorBlock& block) const {
  NewBlockMinorCommand command;
  command.block = block;
  return raw_command(CallVia(circuit_, deadline_), static_cast<std::uint8_t>(CommandOp::new_block_minor),
                     encoded(command));
}

awaitable<std::vector<MinorBlock>> PeerShardClient::get_minor_block_list(const std::vector<Hash256>& hashes) const {
  GetMinorBlockListRequest request;
  request.minor_block_hash_list = hashes;
  return blocks_of(typed_call(CallVia(circuit_, deadline_), request));
}

awaitable<MinorHeaderPage> PeerShardClient::get_minor_block_header_list(std::uint32_t branch,
                                                                        const HeaderQuery& query) const {
  const CallVia via(circuit_, deadline_);
  if (query.hash && query.skip == 0 && !query.towards_tip) {
    GetMinorBlockHeaderListRequest request;
    request.block_hash = *query.hash;
    request.branch.value = branch;
    request.limit = query.limit;
    return page_of(typed_call(via, request));
  }
  GetMinorBlockHeaderListWithSkipRequest request;
  request.type = query.hash ? 0 : 1;
  request.data = query.hash ? *query.hash : data_of_height(query.height);
  request.branch.value = branch;
  request.limit = query.limit;
  request.skip = query.skip;
  request.direction = query.towards_tip ? 1 : 0;
  return page_of(typed_call(via, request));
}

} // namespace trunkline::quarkchain

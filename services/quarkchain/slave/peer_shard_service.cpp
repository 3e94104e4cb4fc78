#include "services/quarkchain/slave/peer_shard_service.hpp"

#include "services/quarkchain/backend/header_query.hpp"
#include "services/quarkchain/protocol/route.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/rpc/typed_service.hpp"

namespace trunkline::quarkchain {
namespace {

struct Context {
  Context(std::shared_ptr<Backend> to, PeerShardLimits with) : backend(std::move(to)), limits(with) {}
  PeerShard from() const {
    const std::optional<Route> route = parse_route(circuit->name());
    if (!route || route->is_control()) throw Refused(Refusal::failed, "a circuit that is no virtual peer");
    return PeerShard{route->branch, route->cluster_peer_id};
  }

  std::shared_ptr<Backend> backend;
  PeerShardLimits limits;
  std::shared_ptr<RpcCircuit> circuit;
};

void require_at_most(const char* what, std::size_t seen, std::size_t max) {
  if (seen > max) throw Refused(Refusal::failed, fmt::format("{} {}, at most {} are allowed", seen, what, max));
}

void require_branch(std::uint32_t seen, std::uint32_t own) {
  if (seen != own)
    throw Refused(Refusal::failed, fmt::format("branch is {}, expected {}", shard_text(seen), shard_text(own)));
}

void require_limit(std::uint32_t limit, std::uint32_t max) {
  if (limit == 0 || limit > max)
    throw Refused(Refusal::failed, fmt::format("limit is {}, expected 1 to {}", limit, max));
}

awaitable<void> hear(Context at, NewMinorBlockHeaderListCommand command) {
  const PeerShard from = at.from();
  if (command.minor_block_header_list.size() != 1)
    throw Refused(Refusal::failed, fmt::format("{} minor headers, expected 1", command.minor_block_header_list.size()));
  MinorBlockHeader tip = std::move(command.minor_block_header_list.front());
  require_branch(tip.branch.value, from.branch);
  co_await at.backend->on_new_minor_block_header(from, std::move(command.root_block_header), std::move(tip));
}

awaitable<void> hear(Context at, NewTransactionListCommand command) {
  require_at_most("transactions", command.transaction_list.size(), at.limits.transactions_max);
  co_await at.backend->on_new_transaction_list(at.from(), std::move(command.transaction_list));
}

awaitable<void> hear(Context at, NewBlockMinorCommand command) {
  const PeerShard from = at.from();
  require_branch(command.block.header.branch.value, from.branch);
  co_await at.backend->on_new_block_minor(from, std::move(command.block));
}

awaitable<GetMinorBlockListResponse> answer(Context at, GetMinorBlockListRequest request) {
  require_at_most("blocks asked for", request.minor_block_hash_list.size(), at.limits.blocks_max);
  GetMinorBlockListResponse reply;
  reply.minor_block_list =
      co_await at.backend->get_minor_block_list(at.from().branch, std::move(request.minor_block_hash_list));
  co_return reply;
}

awaitable<MinorHeaderPage> headers(Context at, std::uint32_t branch, HeaderQuery query) {
  require_branch(branch, at.from().branch);
  require_limit(query.limit, at.limits.headers_max);
  co_return co_await at.backend->get_minor_block_header_list(branch, std::move(query));
}

GetMinorBlockHeaderListResponse reply_of(MinorHeaderPage&& page) {
  GetMinorBlockHeaderListResponse reply;
  reply.root_tip = std::move(page.root_tip);
  reply.shard_tip = std::move(page.shard_tip);
  reply.block_header_list = std::move(page.headers);
  return reply;
}

awaitable<GetMinorBlockHeaderListResponse> answer(Context at, GetMinorBlockHeaderListRequest request) {
  if (request.direction != 0)
    throw Refused(Refusal::failed, fmt::format("direction is {}, expected 0", request.direction));
  HeaderQuery query = header_query(0, request.block_hash, request.limit, 0, 0);
  co_return reply_of(co_await headers(std::move(at), request.branch.value, std::move(query)));
}

awaitable<GetMinorBlockHeaderListResponse> answer(Context at, GetMinorBlockHeaderListWithSkipRequest request) {
  HeaderQuery query = header_query(request.type, request.data, request.limit, request.skip, request.direction);
  co_return reply_of(co_await headers(std::move(at), request.branch.value, std::move(query)));
}

} // namespace

PeerShardService::PeerShardService(std::shared_ptr<Backend> backend, ServiceOptions options, PeerShardLimits limits) {
  TypedService<Context> service(OpTable::command, shard, "peer", options, Context(std::move(backend), limits));
  const auto code = [](CommandOp op) { return static_cast<std::uint8_t>(op); };
  service.hear<NewMinorBlockHeaderListCommand>(code(CommandOp::new_minor_block_header_list), hear);
  service.hear<NewTransactionListCommand>(code(CommandOp::new_transaction_list), hear);
  service.hear<NewBlockMinorCommand>(code(CommandOp::new_block_minor), hear);
  service.serve<GetMinorBlockListRequest>(answer);
  service.serve<GetMinorBlockHeaderListRequest>(answer);
  service.serve<GetMinorBlockHeaderListWithSkipRequest>(answer);
  server_ = service.finish();
  counters_ = service.counters();
}

} // namespace trunkline::quarkchain

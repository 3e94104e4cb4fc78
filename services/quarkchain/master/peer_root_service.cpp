#include "services/quarkchain/master/peer_root_service.hpp"

#include "services/quarkchain/backend/header_query.hpp"
#include "services/quarkchain/rpc/typed_service.hpp"

namespace trunkline::quarkchain {
namespace {

struct Context {
  Context(std::shared_ptr<RootBackend> to, std::weak_ptr<PeerLobby> in, PeerRootLimits with)
      : backend(std::move(to)), lobby(std::move(in)), limits(with) {}
  std::shared_ptr<PeerLobby> live() const {
    std::shared_ptr<PeerLobby> found = lobby.lock();
    if (!found) throw_error(error::node_closed, "the master has ended");
    return found;
  }
  /// Also what says that there was a HELLO.
  std::uint64_t from() const { return live()->id_of(*circuit); }

  std::shared_ptr<RootBackend> backend;
  std::weak_ptr<PeerLobby> lobby;
  PeerRootLimits limits;
  std::shared_ptr<RpcCircuit> circuit;
};

void require_at_most(const char* what, std::size_t seen, std::size_t max) {
  if (seen > max) throw Refused(Refusal::failed, fmt::format("{} {}, at most {} are allowed", seen, what, max));
}

awaitable<void> hear(Context at, HelloCommand command) {
  at.live()->hello(*at.circuit, std::move(command));
  co_return;
}

awaitable<void> hear(Context at, NewMinorBlockHeaderListCommand command) {
  const std::uint64_t from = at.from();
  require_at_most("minor headers on the root chain", command.minor_block_header_list.size(), 0);
  co_await at.backend->on_new_tip(from, std::move(command.root_block_header));
}

awaitable<void> hear(Context at, NewTransactionListCommand command) {
  const std::uint64_t from = at.from();
  require_at_most("transactions", command.transaction_list.size(), at.limits.transactions_max);
  co_await at.backend->on_new_transaction_list(from, std::move(command.transaction_list));
}

awaitable<void> hear(Context at, NewRootBlockCommand command) {
  co_await at.backend->on_new_root_block(at.from(), std::move(command.block));
}

/// PING and PONG between clusters are commands that mean nothing.
awaitable<void> hear(Context at, PingPongCommand) {
  (void)at.from();
  co_return;
}

awaitable<GetPeerListResponse> answer(Context at, GetPeerListRequest request) {
  (void)at.from();
  GetPeerListResponse reply;
  reply.peer_info_list = at.live()->others(*at.circuit, request.max_peers);
  co_return reply;
}

awaitable<GetRootBlockListResponse> answer(Context at, GetRootBlockListRequest request) {
  (void)at.from();
  require_at_most("blocks asked for", request.root_block_hash_list.size(), at.limits.blocks_max);
  GetRootBlockListResponse reply;
  reply.root_block_list = co_await at.backend->get_root_block_list(std::move(request.root_block_hash_list));
  co_return reply;
}

awaitable<GetRootBlockHeaderListResponse> headers(Context at, HeaderQuery query) {
  (void)at.from();
  if (query.limit == 0 || query.limit > at.limits.headers_max)
    throw Refused(Refusal::failed, fmt::format("limit is {}, expected 1 to {}", query.limit, at.limits.headers_max));
  RootHeaderPage page = co_await at.backend->get_root_block_header_list(std::move(query));
  GetRootBlockHeaderListResponse reply;
  reply.root_tip = std::move(page.root_tip);
  reply.block_header_list = std::move(page.headers);
  co_return reply;
}

awaitable<GetRootBlockHeaderListResponse> answer(Context at, GetRootBlockHeaderListRequest request) {
  if (request.direction != 0)
    throw Refused(Refusal::failed, fmt::format("direction is {}, expected 0", request.direction));
  HeaderQuery query = header_query(0, request.block_hash, request.limit, 0, 0);
  const Hash256 first = request.block_hash;
  GetRootBlockHeaderListResponse reply = co_await headers(std::move(at), std::move(query));
  if (reply.block_header_list.empty())
    throw Refused(Refusal::not_found, fmt::format("root block {} is not known", first.hex()));
  co_return reply;
}

awaitable<GetRootBlockHeaderListResponse> answer(Context at, GetRootBlockHeaderListWithSkipRequest request) {
  HeaderQuery query = header_query(request.type, request.data, request.limit, request.skip, request.direction);
  co_return co_await headers(std::move(at), std::move(query));
}

} // namespace

PeerRootService::PeerRootService(std::shared_ptr<RootBackend> backend, std::weak_ptr<PeerLobby> lobby,
                                 ServiceOptions options, PeerRootLimits limits) {
  TypedService<Context> service(OpTable::command, root_chain, "peer", options,
                                Context(std::move(backend), std::move(lobby), limits));
  const auto code = [](CommandOp op) { return static_cast<std::uint8_t>(op); };
  service.hear<HelloCommand>(code(CommandOp::hello), hear);
  service.hear<NewMinorBlockHeaderListCommand>(code(CommandOp::new_minor_block_header_list), hear);
  service.hear<NewTransactionListCommand>(code(CommandOp::new_transaction_list), hear);
  service.hear<PingPongCommand>(code(CommandOp::ping), hear);
  service.hear<PingPongCommand>(code(CommandOp::pong), hear);
  service.hear<NewRootBlockCommand>(code(CommandOp::new_root_block), hear);
  service.serve<GetPeerListRequest>(answer);
  service.serve<GetRootBlockListRequest>(answer);
  service.serve<GetRootBlockHeaderListRequest>(answer);
  service.serve<GetRootBlockHeaderListWithSkipRequest>(answer);
  server_ = service.finish();
  counters_ = service.counters();
}

} // namespace trunkline::quarkchain

#include "services/quarkchain/master/peer_root_service.hpp"

#include "services/quarkchain/backend/header_query.hpp"
#include "services/quarkchain/rpc/typed_service.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

void require_at_most(const char* what, std::size_t seen, std::size_t max) {
  if (seen > max) throw Refused(Refusal::failed, fmt::format("{} {}, at most {} are allowed", seen, what, max));
}

/// What the backend is asked, once it is known to be well formed. Everything but HELLO needs one before it.
struct FromPeer {
  FromPeer(std::shared_ptr<RootBackend> to, std::weak_ptr<PeerLobby> in, PeerRootLimits with)
      : backend(std::move(to)), lobby(std::move(in)), limits(with) {}

  awaitable<void> on(HelloCommand command) {
    live()->hello(*circuit, std::move(command));
    co_return;
  }
  awaitable<void> on(NewMinorBlockHeaderListCommand command) {
    const std::uint64_t peer = from();
    require_at_most("minor headers on the root chain", command.minor_block_header_list.size(), 0);
    co_await backend->on(peer, std::move(command));
  }
  awaitable<void> on(NewTransactionListCommand command) {
    const std::uint64_t peer = from();
    require_at_most("transactions", command.transaction_list.size(), limits.transactions_max);
    co_await backend->on(peer, std::move(command));
  }
  awaitable<void> on(NewRootBlockCommand command) { co_await backend->on(from(), std::move(command)); }
  /// PING and PONG between clusters are commands that mean nothing.
  awaitable<void> on(PingPongCommand) {
    (void)from();
    co_return;
  }
  awaitable<GetPeerListResponse> on(GetPeerListRequest request) {
    (void)from();
    GetPeerListResponse reply;
    reply.peer_info_list = live()->others(*circuit, request.max_peers);
    co_return reply;
  }
  awaitable<GetRootBlockListResponse> on(GetRootBlockListRequest request) {
    const std::uint64_t peer = from();
    require_at_most("blocks asked for", request.root_block_hash_list.size(), limits.blocks_max);
    co_return co_await backend->on(peer, std::move(request));
  }
  awaitable<GetRootBlockHeaderListResponse> on(GetRootBlockHeaderListRequest request) {
    GetRootBlockHeaderListWithSkipRequest same = with_skip(request);
    GetRootBlockHeaderListResponse reply = co_await on(std::move(same));
    if (reply.block_header_list.empty())
      throw Refused(Refusal::not_found, fmt::format("root block {} is not known", request.block_hash.hex()));
    co_return reply;
  }
  awaitable<GetRootBlockHeaderListResponse> on(GetRootBlockHeaderListWithSkipRequest request) {
    (void)HeaderQuery::of(request);
    const std::uint64_t peer = from();
    if (request.limit == 0 || request.limit > limits.headers_max)
      throw Refused(Refusal::failed, fmt::format("limit is {}, expected 1 to {}", request.limit, limits.headers_max));
    co_return co_await backend->on(peer, std::move(request));
  }

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

} // namespace

PeerRootService::PeerRootService(std::shared_ptr<RootBackend> backend, std::weak_ptr<PeerLobby> lobby,
                                 const ServiceOptions& options, PeerRootLimits limits)
    : Service(serve<root_chain>("peer", options, FromPeer(std::move(backend), std::move(lobby), limits))) {}

} // namespace trunkline::quarkchain

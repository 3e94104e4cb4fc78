#include "services/quarkchain/slave/peer_shard_service.hpp"

#include "services/quarkchain/backend/header_query.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/protocol/route.hpp"
#include "services/quarkchain/rpc/typed_service.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

void require_at_most(const char* what, std::size_t seen, std::size_t max) {
  if (seen > max) throw Refused(Refusal::failed, fmt::format("{} {}, at most {} are allowed", seen, what, max));
}

void require_branch(std::uint32_t seen, std::uint32_t own) {
  if (seen != own)
    throw Refused(Refusal::failed, fmt::format("branch is {}, expected {}", shard_text(seen), shard_text(own)));
}

/// What the backend is asked, once it is known to be well formed.
struct FromPeer {
  FromPeer(std::shared_ptr<Backend> to, PeerShardLimits with) : backend(std::move(to)), limits(with) {}

  awaitable<void> on(NewMinorBlockHeaderListCommand command) {
    const PeerShard peer = from();
    if (command.minor_block_header_list.size() != 1)
      throw Refused(Refusal::failed,
                    fmt::format("{} minor headers, expected 1", command.minor_block_header_list.size()));
    require_branch(command.minor_block_header_list.front().branch.value, peer.branch);
    co_await backend->on(peer, std::move(command));
  }
  awaitable<void> on(NewTransactionListCommand command) {
    require_at_most("transactions", command.transaction_list.size(), limits.transactions_max);
    co_await backend->on(from(), std::move(command));
  }
  awaitable<void> on(NewBlockMinorCommand command) {
    const PeerShard peer = from();
    require_branch(command.block.header.branch.value, peer.branch);
    co_await backend->on(peer, std::move(command));
  }
  awaitable<GetMinorBlockListResponse> on(GetMinorBlockListRequest request) {
    require_at_most("blocks asked for", request.minor_block_hash_list.size(), limits.blocks_max);
    co_return co_await backend->on(from(), std::move(request));
  }
  awaitable<GetMinorBlockHeaderListResponse> on(GetMinorBlockHeaderListRequest request) {
    GetMinorBlockHeaderListWithSkipRequest same = with_skip(request);
    co_return co_await on(std::move(same));
  }
  awaitable<GetMinorBlockHeaderListResponse> on(GetMinorBlockHeaderListWithSkipRequest request) {
    (void)HeaderQuery::of(request);
    const PeerShard peer = from();
    require_branch(request.branch.value, peer.branch);
    if (request.limit == 0 || request.limit > limits.headers_max)
      throw Refused(Refusal::failed, fmt::format("limit is {}, expected 1 to {}", request.limit, limits.headers_max));
    co_return co_await backend->on(peer, std::move(request));
  }

  PeerShard from() const {
    const std::optional<Route> route = parse_route(circuit->name());
    if (!route || route->is_control()) throw Refused(Refusal::failed, "a circuit that is no virtual peer");
    return PeerShard{route->branch, route->cluster_peer_id};
  }

  std::shared_ptr<Backend> backend;
  PeerShardLimits limits;
  std::shared_ptr<RpcCircuit> circuit;
};

} // namespace

PeerShardService::PeerShardService(std::shared_ptr<Backend> backend, const ServiceOptions& options,
                                   PeerShardLimits limits)
    : Service(serve<shard>("peer", options, FromPeer(std::move(backend), limits))) {}

} // namespace trunkline::quarkchain

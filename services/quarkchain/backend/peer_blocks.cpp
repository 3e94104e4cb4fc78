#include "services/quarkchain/backend/peer_blocks.hpp"

#include "services/quarkchain/chain/hashes.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::quarkchain {
namespace {

constexpr std::uint32_t headers_per_request = 100;
constexpr std::size_t headers_followed_max = 2000; // back from a peer's tip

} // namespace

awaitable<std::vector<MinorBlock>> PeerBlocks::blocks_of(std::shared_ptr<BackendHost> host, PeerShard peer,
                                                         std::vector<Hash256> hashes) {
  GetMinorBlockListRequest request;
  request.minor_block_hash_list = hashes;
  GetMinorBlockListResponse reply = co_await host->ask(peer, std::move(request));
  std::vector<MinorBlock>& blocks = reply.minor_block_list;
  if (blocks.size() != hashes.size())
    throw Refused(Refusal::invalid, fmt::format("peer {} has {} of {} blocks that were asked for", peer.cluster_peer_id,
                                                blocks.size(), hashes.size()));
  for (std::size_t i = 0; i < blocks.size(); ++i)
    if (hash_of(blocks[i].header) != hashes[i])
      throw Refused(Refusal::invalid, fmt::format("peer {} sent block {}, expected {}", peer.cluster_peer_id,
                                                  hash_of(blocks[i].header).hex(), hashes[i].hex()));
  co_return std::move(blocks);
}

awaitable<std::vector<Hash256>> PeerBlocks::missing(std::shared_ptr<BackendHost> host, PeerShard peer,
                                                    MinorBlockHeader tip, std::function<bool(const Hash256&)> knows) {
  std::vector<Hash256> missing; // newest first
  missing.push_back(hash_of(tip));
  Hash256 below = tip.hash_prev_minor_block;
  while (!knows(below)) {
    if (missing.size() >= headers_followed_max)
      throw Refused(Refusal::invalid,
                    fmt::format("peer {} is more than {} blocks ahead", peer.cluster_peer_id, headers_followed_max));
    GetMinorBlockHeaderListWithSkipRequest request;
    request.data = below;
    request.branch.value = peer.branch;
    request.limit = headers_per_request;
    const GetMinorBlockHeaderListResponse page = co_await host->ask(peer, std::move(request));
    if (page.block_header_list.empty()) throw Refused(Refusal::invalid, "a peer does not know its own blocks");
    for (const MinorBlockHeader& header : page.block_header_list) {
      if (hash_of(header) != below) throw Refused(Refusal::invalid, "a peer's headers are no chain");
      if (knows(below) || missing.size() >= headers_followed_max) break;
      missing.push_back(below);
      below = header.hash_prev_minor_block;
    }
  }
  std::ranges::reverse(missing);
  co_return missing;
}

} // namespace trunkline::quarkchain

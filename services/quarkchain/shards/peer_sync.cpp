#include "services/quarkchain/shards/peer_sync.hpp"

#include "services/quarkchain/backend/peer_blocks.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::uint32_t headers_per_request = 100;
constexpr std::size_t blocks_per_request = 50;

/// Says that the shard is syncing, for as long as it lives.
class Syncing {
 public:
  explicit Syncing(HostedShard& shard) : shard_(shard) { shard_.is_syncing = true; }
  Syncing(const Syncing&) = delete;
  ~Syncing() { shard_.is_syncing = false; }

 private:
  HostedShard& shard_;
};

class Waiting {
 public:
  Waiting(HostedShard& shard, std::uint64_t peer) : shard_(shard), peer_(peer) { shard_.waiting.insert(peer_); }
  Waiting(const Waiting&) = delete;
  ~Waiting() { end(); }
  void end() { shard_.waiting.erase(peer_); }

 private:
  HostedShard& shard_;
  std::uint64_t peer_;
};

} // namespace

awaitable<void> PeerSync::follow(BlockDelivery* delivery, HostedShard* shard, PeerShard from) {
  if (shard->waiting.contains(from.cluster_peer_id)) co_return;
  Waiting waiting(*shard, from.cluster_peer_id);
  const Mutex::Lock lock = co_await shard->syncing.lock();
  waiting.end();
  const MinorBlockHeader* const said = shard->peers().tip_of(from.cluster_peer_id);
  if (!said || said->height <= shard->tip().header.height) co_return;
  MinorBlockHeader tip = *said;
  if (!shard->may_stand_on(tip.hash_prev_root_block)) co_return;

  const Syncing syncing(*shard);
  std::vector<Missing> missing = co_await walk_back(delivery, shard, from, std::move(tip));
  for (std::size_t at = 0; at < missing.size(); at += blocks_per_request) {
    std::vector<Hash256> hashes;
    for (std::size_t i = at; i < std::min(at + blocks_per_request, missing.size()); ++i)
      hashes.push_back(missing[i].hash);
    std::vector<MinorBlock> blocks = co_await PeerBlocks(delivery->host(), from).blocks(std::move(hashes));
    for (MinorBlock& block : blocks) {
      if (!shard->cl().database().root(block.header.hash_prev_root_block)) co_return; // told again when it is known
      co_await delivery->add(*shard, std::move(block));
    }
  }
}

/// Oldest first; none when it leads further back than may be followed, or onto a root chain that is not known.
awaitable<std::vector<PeerSync::Missing>> PeerSync::walk_back(BlockDelivery* delivery, HostedShard* shard,
                                                              PeerShard from, MinorBlockHeader tip) {
  const ShardDatabase& database = shard->cl().database();
  const std::uint64_t stale_max = shard->cl().rules().stale_max();
  const Hash256 tip_hash = hash_of(tip);
  check(*shard, from, tip, tip_hash, tip.height);
  std::vector<Missing> missing; // newest first
  if (!database.holds_minor(tip_hash)) missing.push_back({tip_hash, tip.hash_prev_root_block});
  std::uint64_t height = tip.height;
  Hash256 below = tip.hash_prev_minor_block;
  while (!missing.empty() && !database.holds_minor(below)) {
    const std::uint64_t own = shard->tip().header.height;
    const bool too_old = height == 0 || (own >= height && own - height + 1 > stale_max);
    if (too_old || missing.size() > 2 * stale_max || !database.root(missing.back().root)) {
      missing.clear();
      break;
    }
    GetMinorBlockHeaderListWithSkipRequest request;
    request.data = below;
    request.branch.value = from.branch;
    request.limit = headers_per_request;
    const GetMinorBlockHeaderListResponse page = co_await delivery->host()->ask(from, std::move(request));
    if (page.block_header_list.empty())
      throw Refused(Refusal::invalid, fmt::format("peer {} does not know block {}, on which its own stand",
                                                  from.cluster_peer_id, below.hex()));
    for (const MinorBlockHeader& header : page.block_header_list) {
      if (height == 0 || database.holds_minor(below)) break;
      check(*shard, from, header, below, height - 1);
      missing.push_back({below, header.hash_prev_root_block});
      below = header.hash_prev_minor_block;
      --height;
    }
  }
  std::ranges::reverse(missing);
  co_return missing;
}

void PeerSync::check(const HostedShard& shard, PeerShard from, const MinorBlockHeader& header, const Hash256& expected,
                     std::uint64_t height) {
  const auto refuse = [&](const std::string& why) {
    throw Refused(Refusal::invalid, fmt::format("peer {}: header {} of height {}: {}", from.cluster_peer_id,
                                                expected.hex(), header.height, why));
  };
  if (const Hash256 seen = hash_of(header); seen != expected) refuse("seen " + seen.hex());
  if (header.height != height) refuse(fmt::format("expected height {}", height));
  if (header.branch.value != shard.branch())
    refuse(fmt::format("branch is {}, expected {}", shard_text(header.branch.value), shard_text(shard.branch())));
  if (!shard.cl().rules().may_be_sealed(header)) refuse("invalid pow proof, whatever was staked");
}

} // namespace trunkline::quarkchain

#include "services/quarkchain/shard/root_rules.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

[[noreturn]] void refuse(Rule rule, const std::string& why) { throw ConsensusRefusal(rule, why); }

} // namespace

MinorPointPtr RootRules::check(const RootBlock& block) const {
  const RootBlockHeader& header = block.header;
  if (header.height <= shard_.genesis.root_height)
    refuse(Rule::root_below_genesis,
           fmt::format("root block of height {}: expected more than ROOT_HEIGHT {} of shard {}", header.height,
                       shard_.genesis.root_height, shard_text(shard_.full_shard_id)));
  if (header.version != 0)
    refuse(Rule::root_version, fmt::format("incorrect root block version: expected 0, seen {}", header.version));
  const RootPointPtr parent = database_.root(header.hash_prev_block);
  if (!parent)
    refuse(Rule::root_parent_held,
           fmt::format("cannot find previous root block in pool: {}", header.hash_prev_block.hex()));
  std::vector<const MinorBlockHeader*> ours;
  for (const MinorBlockHeader& minor : block.minor_block_header_list) {
    if (minor.branch.value != shard_.full_shard_id) {
      check_list(minor);
      continue;
    }
    if (const Hash256 hash = hash_of(minor); !database_.holds_minor(hash))
      refuse(Rule::minor_held,
             fmt::format("cannot find minor block in local shard: {} of height {}", hash.hex(), minor.height));
    ours.push_back(&minor);
  }
  if (ours.size() > config_.minor_headers_max(shard_))
    refuse(Rule::minors_count,
           fmt::format("too many minor blocks in the root block for shard {}: expected at most {}, seen {}",
                       shard_.full_shard_id, config_.minor_headers_max(shard_), ours.size()));
  MinorPointPtr last = check_linked(ours, parent);
  if (!last) return nullptr;
  const RootPointPtr anchor = database_.root(last->header.hash_prev_root_block);
  if (!anchor || !database_.is_on_root_chain(parent, anchor))
    refuse(Rule::minor_on_root_chain,
           fmt::format("block {} is confirmed by a root block that does not descend from its own, {}", last->hash.hex(),
                       last->header.hash_prev_root_block.hex()));
  return last;
}

/// The sender of a list reports its block only after all lists were taken: so the list is here, or never will be.
void RootRules::check_list(const MinorBlockHeader& header) const {
  const Hash256 hash = hash_of(header);
  const RootPointPtr anchor = database_.root(header.hash_prev_root_block);
  const bool sent = anchor && anchor->header.height != shard_.genesis.root_height &&
                    neighbourhood_.is_neighbour(header.branch.value, anchor->header.height);
  const bool held = database_.holds_deposits_from(hash);
  if (!sent && held)
    refuse(Rule::list_unexpected,
           fmt::format("minor block {} {} from shard {} shouldn't have been broadcasted to shard {}", header.height,
                       hash.hex(), header.branch.value, shard_.full_shard_id));
  if (sent && !held)
    refuse(Rule::list_missing,
           fmt::format("cannot find x_shard tx list for {}-{} {}", header.branch.value, header.height, hash.hex()));
}

MinorPointPtr RootRules::check_linked(const std::vector<const MinorBlockHeader*>& ours,
                                      const RootPointPtr& parent) const {
  std::optional<Hash256> last = parent->last_minor;
  for (const MinorBlockHeader* minor : ours) {
    const bool first = minor == ours.front();
    if (!(first && minor->height == 0) && (!last || minor->hash_prev_minor_block != *last))
      refuse(Rule::minors_linked,
             fmt::format("minor block {} of height {}: expected parent {}, seen {}", hash_of(*minor).hex(),
                         minor->height, last ? last->hex() : "none", minor->hash_prev_minor_block.hex()));
    last = hash_of(*minor);
  }
  return last ? database_.minor(*last) : nullptr;
}

} // namespace trunkline::quarkchain

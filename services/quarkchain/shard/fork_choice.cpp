#include "services/quarkchain/shard/fork_choice.hpp"

#include "services/quarkchain/chain/hashes.hpp"

#include <fmt/format.h>

#include <cassert>

namespace trunkline::quarkchain {
namespace {

/// It is in the database because something else that is there says so.
template <class Pointer> Pointer held(Pointer pointer, const char* what, const Hash256& hash) {
  if (!pointer) throw StoreFailure(fmt::format("{} {} is missing", what, hash.hex()));
  return pointer;
}

} // namespace

void Tips::check(const ShardDatabase& database) const {
  assert(root && minor);
  assert(database.is_on_root_chain(root, database.root(minor->header.hash_prev_root_block)));
  assert(!confirmed || database.is_on_minor_chain(minor, confirmed));
  (void)database;
}

bool ForkChoice::takes_tip(const Tips& now, const MinorPointPtr& block) const {
  const Hash256& anchor = block->header.hash_prev_root_block;
  const RootPointPtr root = held(database_.root(anchor), "root block", anchor);
  if (!database_.is_on_root_chain(now.root, root)) return false;
  if (block->header.hash_prev_minor_block == now.minor->hash) return true;
  if (now.confirmed) {
    if (block->header.height <= now.confirmed->header.height) return false;
    if (!database_.is_on_minor_chain(block, now.confirmed)) return false;
  }
  if (block->header.height != now.minor->header.height) return block->header.height > now.minor->header.height;
  const Hash256& tip_anchor = now.minor->header.hash_prev_root_block;
  return root->header.height > held(database_.root(tip_anchor), "root block", tip_anchor)->header.height;
}

Tips ForkChoice::after_root(const Tips& now, const RootPointPtr& root) const {
  Tips next{root, confirmed_by(root), now.minor};
  if (next.confirmed && database_.minor_at(next.confirmed->header.height) != next.confirmed->hash)
    next.minor = next.confirmed;
  for (;;) {
    const Hash256& anchor = next.minor->header.hash_prev_root_block;
    if (database_.is_on_root_chain(root, held(database_.root(anchor), "root block", anchor))) return next;
    if (next.minor->header.height == 0) {
      next.minor = genesis_on(root);
      return next;
    }
    const Hash256& parent = next.minor->header.hash_prev_minor_block;
    next.minor = held(database_.minor(parent), "block", parent);
  }
}

Tips ForkChoice::at_start(const RootPointPtr& root) const {
  Tips tips{root, confirmed_by(root), nullptr};
  tips.minor = tips.confirmed ? tips.confirmed : genesis_on(root);
  return tips;
}

MinorPointPtr ForkChoice::confirmed_by(const RootPointPtr& root) const {
  return root->last_minor ? held(database_.minor(*root->last_minor), "block", *root->last_minor) : nullptr;
}

MinorPointPtr ForkChoice::genesis_on(const RootPointPtr& root) const {
  const RootPointPtr base = held(database_.root_at(root, genesis_root_height_), "a root block below", root->hash);
  const auto genesis = held(database_.genesis_of(base->hash), "the genesis on root block", base->hash);
  const Hash256 hash = hash_of(genesis->header);
  return held(database_.minor(hash), "block", hash);
}

} // namespace trunkline::quarkchain

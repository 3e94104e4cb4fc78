#include "services/quarkchain/execution/trie_nodes.hpp"

#include <algorithm>
#include <cassert>

namespace trunkline::quarkchain {
namespace {

constexpr std::string_view node_prefix = "state_n";
constexpr std::string_view preimage_prefix = "state_p";

constexpr std::size_t cost_beside = 112; // of an entry: the hash, the text, two allocations

std::size_t cost_of(const std::string& node) { return cost_beside + node.size(); }

std::string key_of(std::string_view prefix, const Hash256& hash) {
  std::string key;
  key.reserve(prefix.size() + Hash256::size);
  return key.append(prefix).append(text_of(hash.bytes));
}

} // namespace

std::string_view TrieNodes::get(const Hash256& hash) const {
  if (const auto known = cached_.find(hash); known != cached_.end()) return known->second;
  auto stored = store_.get(key_of(node_prefix, hash));
  if (!stored) throw MissingNode("the state has no node " + hash.hex());
  return keep(hash, *std::move(stored));
}

bool TrieNodes::has(const Hash256& hash) const { return store_.has(key_of(node_prefix, hash)); }

std::optional<std::string> TrieNodes::preimage(const Hash256& key) const {
  return store_.get(key_of(preimage_prefix, key));
}

void TrieNodes::write(FreshNodes fresh, StoreBatch& into, bool but_upper) {
  for (const Hash256& hash : fresh.replaced) forget(hash);
  std::size_t kept = fresh.nodes.size() - (but_upper ? fresh.upper_count : 0);
  for (auto& [hash, node] : fresh.nodes) {
    // At hand although the batch may come to nothing: a state is only reached from a root that was written.
    const bool keeps = kept > 0 && cost_of(node) <= cached_bytes_max_;
    if (kept > 0) --kept;
    if (!keeps) {
      into.put(key_of(node_prefix, hash), std::move(node));
      continue;
    }
    into.put(key_of(node_prefix, hash), node);
    keep(hash, std::move(node));
  }
  for (auto& [key, preimage] : fresh.preimages) into.put(key_of(preimage_prefix, key), std::move(preimage));
}

/// One that is too large for the whole cache stays in it alone.
std::string_view TrieNodes::keep(const Hash256& hash, std::string node) const {
  const std::size_t cost = cost_of(node);
  make_room(cost);
  const auto [place, fresh] = cached_.try_emplace(hash, std::move(node));
  if (fresh) cached_bytes_ += cost;
  assert(cached_bytes_ <= std::max(cached_bytes_max_, cost));
  return place->second;
}

void TrieNodes::forget(const Hash256& hash) const {
  const auto known = cached_.find(hash);
  if (known == cached_.end()) return;
  cached_bytes_ -= cost_of(known->second);
  cached_.erase(known);
}

void TrieNodes::make_room(std::size_t bytes) const {
  while (!cached_.empty() && cached_bytes_ + bytes > cached_bytes_max_) {
    next_bucket_ %= cached_.bucket_count();
    if (const auto first = cached_.begin(next_bucket_); first != cached_.end(next_bucket_)) {
      const Hash256 hash = first->first;
      forget(hash);
    } else {
      ++next_bucket_;
    }
  }
}

} // namespace trunkline::quarkchain

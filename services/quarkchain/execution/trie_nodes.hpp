// The nodes of all states, by the hash of their bytes. A node never changes, so what was read once may be kept.
#pragma once

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/store/store.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

/// New nodes of one state, and what new keys are the hashes of: on their way into the batch of the block that made
/// them.
struct FreshNodes {
  std::vector<std::pair<Hash256, std::string>> nodes;
  std::vector<std::pair<Hash256, std::string>> preimages;
  std::vector<Hash256> replaced; // nodes whose place they take; other states still have them
  std::size_t upper_count = 0;   // the last of `nodes`: the upper levels of the trie that was committed last
};

/// A state that is asked for and not there: it was never made, or the database has lost it.
class MissingNode : public StoreFailure {
 public:
  using StoreFailure::StoreFailure;
};

class TrieNodes {
 public:
  static constexpr std::size_t cached_bytes_usual = std::size_t{48} << 20;

  /// `store` must outlive it. Keeps nodes of about `cached_bytes_max` in memory, those of the newest states first.
  explicit TrieNodes(const Store& store, std::size_t cached_bytes_max = cached_bytes_usual)
      : store_(store), cached_bytes_max_(cached_bytes_max) {}

  /// Valid until the next call of any. Errors: MissingNode.
  std::string_view get(const Hash256& hash) const;
  /// Whether the store has it.
  bool has(const Hash256& hash) const;
  /// What this key of a trie is the hash of: an address, a token, a word of storage. Nothing for one that no trie had.
  std::optional<std::string> preimage(const Hash256& key) const;

  /// Adds them to the batch that makes them last, and keeps them at hand: the next state is made of them.
  /// `but_upper`: the upper ones are at hand elsewhere.
  void write(FreshNodes fresh, StoreBatch& into, bool but_upper = false);

 private:
  std::string_view keep(const Hash256& hash, std::string node) const;
  void forget(const Hash256& hash) const;
  void make_room(std::size_t bytes) const;

  const Store& store_;
  std::size_t cached_bytes_max_;
  mutable std::unordered_map<Hash256, std::string> cached_;
  mutable std::size_t cached_bytes_ = 0; // <= cached_bytes_max_, asserted by keep
  mutable std::size_t next_bucket_ = 0; // where room is made next: hashes are in no order, so any is as good
};

} // namespace trunkline::quarkchain

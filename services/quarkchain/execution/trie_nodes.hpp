// The nodes of all states, by the hash of their bytes. A node never changes, so what was read once may be kept.
#pragma once

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/execution/recent.hpp"
#include "services/quarkchain/store/store.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

/// New nodes of one state, and what new keys are the hashes of: on their way into the batch of the block that made
/// them.
struct FreshNodes {
  std::vector<std::pair<Hash256, std::string>> nodes;
  std::vector<std::pair<Hash256, std::string>> preimages;
};

/// A state that is asked for and not there: it was never made, or the database has lost it.
class MissingNode : public StoreFailure {
 public:
  using StoreFailure::StoreFailure;
};

class TrieNodes {
 public:
  /// `store` must outlive it. At most `cached_max` nodes are kept in memory.
  explicit TrieNodes(const Store& store, std::size_t cached_max = 1 << 17) : store_(store), recent_(cached_max) {}

  /// Errors: MissingNode.
  std::shared_ptr<const std::string> get(const Hash256& hash) const;
  bool has(const Hash256& hash) const;
  /// What this key of a trie is the hash of: an address, a token, a word of storage. Nothing for one that no trie had.
  std::optional<std::string> preimage(const Hash256& key) const;

  /// Adds them to the batch that makes them last.
  static void write(const FreshNodes& fresh, StoreBatch& into);

 private:
  const Store& store_;
  mutable Recent<Hash256, std::shared_ptr<const std::string>> recent_;
};

} // namespace trunkline::quarkchain

// Ethereum's Merkle Patricia trie that can be read, changed and read again: only the nodes on the way to a key are
// loaded, only those that changed are written. chain/trie.hpp makes the root of entries that are all at hand.
#pragma once

#include "services/quarkchain/execution/trie_nodes.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline::quarkchain {

/// The root of a trie without entries.
const Hash256& blank_root();

/// No key may be the beginning of another: hashes are of one length, RLP numbers say theirs.
class StateTrie {
 public:
  /// `nodes` must outlive it.
  StateTrie(const TrieNodes& nodes, const Hash256& root);
  ~StateTrie();
  StateTrie(StateTrie&&) noexcept;
  StateTrie& operator=(StateTrie&&) noexcept;

  /// Null when there is none; valid until the trie changes. Errors: MissingNode; so do all below.
  const std::string* get(std::string_view key);
  /// An empty value removes the key. At most 32 bytes of key.
  void set(std::string_view key, std::string value);

  /// The root of what it holds now; nodes that are new since the last call are appended to `fresh`, the root last.
  Hash256 commit(FreshNodes& fresh);
  /// Keeps the upper levels in memory and lets go of all others. Everything must be committed.
  void forget_lower();

  /// Entries by ascending key, those after `after` if it is given, until `visit` says false.
  void walk(const std::optional<std::string>& after,
            const std::function<bool(const std::string& key, const std::string& value)>& visit);

  struct Node;

  /// How many levels are the upper ones: nearly every block changes all of their nodes that its keys lead through.
  static constexpr std::size_t upper_levels = 4;

 private:
  const TrieNodes* nodes_;
  std::unique_ptr<Node> root_; // an extension without a path, whose child is the first node
};

} // namespace trunkline::quarkchain

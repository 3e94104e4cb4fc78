// The accounts of one state while a block runs: loaded when they are first asked for, changed here, and put back into
// the trie at the end.
#pragma once

#include "services/quarkchain/execution/account.hpp"

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

class World {
 public:
  /// `nodes` must outlive it.
  World(const TrieNodes& nodes, const Hash256& root) : World(nodes, StateTrie(nodes, root)) {}
  /// The same, of a trie that has loaded some of it.
  World(const TrieNodes& nodes, StateTrie trie) : nodes_(nodes), trie_(std::move(trie)) {}

  /// An account that does not exist and is asked for gets this key, even if it is asked for earlier than changed: the
  /// network's rules are that way. 0 until the first transaction or deposit runs.
  void set_full_shard_key(std::uint32_t key) noexcept { full_shard_key_ = key; }
  std::uint32_t full_shard_key() const noexcept { return full_shard_key_; }

  std::uint64_t nonce(const Recipient& who) { return at(who).account.nonce; }
  bool has_code(const Recipient& who) { return at(who).account.has_code(); }
  BigUint balance(const Recipient& who, std::uint64_t token);

  void increment_nonce(const Recipient& who);
  /// Also by 0, which touches: a touched account that is blank at the end is removed.
  void add(const Recipient& who, std::uint64_t token, const BigUint& amount);
  /// The balance must cover it.
  void deduct(const Recipient& who, std::uint64_t token, const BigUint& amount);
  /// For what only the first block does: code, storage.
  Account& changed(const Recipient& who);

  /// From here on accounts that are asked for and do not exist can be forgotten again, as long as nothing is changed:
  /// having been asked for gives them their key.
  void begin_asking() noexcept { asked_.clear(); }
  void forget_asked();

  /// An account as it is, whether or not it exists; it is not made by asking. Valid until any other is asked for.
  const Account& peek(const Recipient& who);

  /// Puts touched accounts into the trie and forgets all. Returns the root.
  Hash256 commit(FreshNodes& fresh);
  /// The trie of what was committed last. Nothing may be asked of this any more.
  StateTrie take_trie() { return std::move(trie_); }

 private:
  struct Entry {
    Hash256 key;
    Account account;
    bool touched = false;
    bool fresh = false; // was not in the trie
  };

  Entry& at(const Recipient& who);
  /// Null when it does not exist and has not been asked for.
  Entry* existing(const Recipient& who, Hash256& key);

  const TrieNodes& nodes_;
  StateTrie trie_;
  std::uint32_t full_shard_key_ = 0;
  std::unordered_map<Recipient, Entry> entries_;
  std::vector<Recipient> asked_; // since begin_asking
};

} // namespace trunkline::quarkchain

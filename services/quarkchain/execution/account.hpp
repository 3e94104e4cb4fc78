// One account of a state, and the bytes that stand for it in the state's trie.
#pragma once

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/execution/state_trie.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline::quarkchain {

/// The hash of no code.
const Hash256& blank_code();

struct Account {
  std::uint64_t nonce = 0;
  /// What is known of its tokens: all of them while there is no token_trie, otherwise those that were asked for or
  /// changed. An amount of 0 that came to be in the block that runs is kept: the encoding shows that it was there.
  std::map<std::uint64_t, BigUint> balances;
  /// From the 17th token on they are in a trie of their own, and stay there.
  std::optional<Hash256> token_trie;
  Hash256 storage = blank_root();
  Hash256 code_hash = blank_code();
  std::uint32_t full_shard_key = 0; // given when the account is made, and never again

  bool has_code() const { return code_hash != blank_code(); }
  /// Storage alone does not make an account.
  bool is_blank() const;

  /// Errors: MissingNode for bytes that no account has.
  static Account decode(std::string_view bytes);
  /// Moves the tokens into their trie first if they are many; new nodes are appended to `fresh`.
  std::string encode(const TrieNodes& nodes, FreshNodes& fresh);

  /// Also when it is in the trie of its tokens.
  BigUint balance(const TrieNodes& nodes, std::uint64_t token) const;
  /// The same among `balances`, where it may be changed.
  BigUint& known_balance(const TrieNodes& nodes, std::uint64_t token);
  /// All that are not 0.
  std::map<std::uint64_t, BigUint> all_balances(const TrieNodes& nodes) const;
};

/// A word of a trie over numbers: 32 bytes, hashed.
Hash256 word_key(const BigUint& number);

} // namespace trunkline::quarkchain

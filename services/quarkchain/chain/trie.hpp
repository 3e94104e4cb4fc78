// The root of Ethereum's Merkle Patricia trie over hashed keys ("secure trie"): state, storage, balances of many
// tokens. Only the root is made, from all entries at once; nothing is looked up in it.
#pragma once

#include "services/quarkchain/chain/keccak.hpp"

#include <map>
#include <string>
#include <string_view>

namespace trunkline::quarkchain {

class Trie {
 public:
  /// An empty value removes the key.
  void set(std::string_view key, std::string value);
  Hash256 root() const;

 private:
  std::map<Hash256, std::string> leaves_; // by the hash of the key
};

} // namespace trunkline::quarkchain

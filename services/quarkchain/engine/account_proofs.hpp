// All accounts of an execution layer's state, though it has no call that lists them: the proof of any address shows the
// nodes of the state's trie on the way to it, down to whoever is its neighbour there. So what is asked for are addresses
// that lie wherever a node is not known yet. What a node says is proven by its hash.
#pragma once

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/store/store.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trunkline::quarkchain {

/// Finds addresses whose hashes begin in a given way. Digits are of four bits, each a char.
class HashedAddresses {
 public:
  /// So many digits are found among made up addresses; it takes a million hashes for the last of them.
  static constexpr std::size_t digits_max = 5;

  /// The first of the known ones in `known`, or else one that is made up; nothing when that would take too long.
  std::optional<Recipient> below(const Store& known, std::string_view digits);
  /// Into the batch that makes it a known one.
  static void know(const Recipient& who, StoreBatch& into);

 private:
  std::optional<Recipient> made_up(std::string_view digits);

  std::vector<std::uint32_t> first_; // by the first digits_max digits: which made up address begins so, 0 for none yet
  std::uint32_t made_ = 0;           // addresses that were made up so far
};

class AccountProofs {
 public:
  /// `key`: the hash of an address. False ends the walk.
  using Visit = std::function<bool(const Hash256& key, std::uint64_t nonce, const BigUint& balance, const Hash256& code)>;

  /// Walks accounts by ascending key, those behind `after`. Returns where the first node is that is not known: the
  /// digits on the way to it; nothing when the walk has ended. What was visited is not visited again if the next walk
  /// begins behind it. Errors: RlpFailure for nodes that are none.
  std::optional<std::string> walk(const Hash256& root, const std::optional<Hash256>& after, const Visit& visit);
  /// The nodes that a proof shows.
  void learn(std::string node);

 private:
  enum class Step : std::uint8_t { on, enough, unknown };

  Step walk_node(std::string_view node, std::string& way, std::optional<std::string_view> bound, const Visit& visit);
  Step walk_hash(std::string_view hash, std::string& way, std::optional<std::string_view> bound, const Visit& visit);

  std::unordered_map<Hash256, std::string> nodes_;
  std::size_t bytes_ = 0;
};

} // namespace trunkline::quarkchain

// Qkchash: a proof of work that takes numbers out of an ordered set by their rank and puts others in, so that it needs
// a tree in memory. The variant "with rotation statistics" also hashes how the tree turned while it did so: the tree
// is then part of the rules, down to each rotation.
#pragma once

#include "services/quarkchain/shard/ethash.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace trunkline::quarkchain {

/// A set of numbers as a left-leaning red-black tree that finds them by rank.
class RankedTree {
 public:
  void insert(std::uint64_t value);
  /// Takes out the number below which `rank` others are; rank < size().
  std::uint64_t erase_at(std::size_t rank);
  std::size_t size() const noexcept { return nodes_.size() - free_.size(); }
  /// All turns so far, as 256 bits that each one moves round by one place; a turn to the right flips the lowest.
  const std::array<std::uint64_t, 4>& turns() const noexcept { return turns_; }

 private:
  using Index = std::uint32_t;
  static constexpr Index none = ~Index{0};

  struct Node {
    std::uint64_t value = 0;
    Index left = none;
    Index right = none;
    std::uint32_t smaller = 0; // how many are on the left
    bool red = true;
  };

  bool is_red(Index at) const { return at != none && nodes_[at].red; }
  bool left_is_red(Index at) const { return is_red(nodes_[at].left); }
  bool has(std::uint64_t value) const;
  Index make(std::uint64_t value);
  Index insert_below(Index at, std::uint64_t value);
  Index erase_below(Index at, std::size_t rank, std::uint64_t& value);
  Index erase_smallest(Index at);
  Index turn_left(Index at);
  Index turn_right(Index at);
  void count_turn(std::uint64_t flipped);
  void flip(Index at);
  Index lean_left(Index at);
  Index redden_left(Index at);
  Index redden_right(Index at);

  std::vector<Node> nodes_;
  std::vector<Index> free_;
  Index root_ = none;
  std::array<std::uint64_t, 4> turns_{};
};

class QkchashCache {
 public:
  static constexpr std::uint64_t epoch_blocks = 30000;

  explicit QkchashCache(std::uint64_t epoch);

  WorkResult work(const Hash256& mining_hash, std::uint64_t nonce, bool rotation) const;

 private:
  RankedTree tree_;
};

} // namespace trunkline::quarkchain

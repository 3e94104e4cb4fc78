#include "services/quarkchain/shard/qkchash.hpp"

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/chain/keccak.hpp"

#include <bit>
#include <cstring>
#include <set>

namespace trunkline::quarkchain {
namespace {

static_assert(std::endian::native == std::endian::little, "words are hashed as they lie in memory");

constexpr std::uint32_t cache_numbers = 65536;
constexpr std::uint64_t rounds = 64;

using Words8 = std::array<std::uint64_t, 8>;

std::uint64_t fnv(std::uint64_t a, std::uint64_t b) { return a * 0x100000001b3u ^ b; }

Words8 hashed(std::span<const std::byte> bytes) { return std::bit_cast<Words8>(keccak512(bytes).bytes); }

} // namespace

void RankedTree::insert(std::uint64_t value) {
  if (!has(value)) root_ = insert_below(root_, value);
}

std::uint64_t RankedTree::erase_at(std::size_t rank) {
  Node& root = nodes_[root_];
  if (!is_red(root.left) && !is_red(root.right)) root.red = true;
  std::uint64_t value = 0;
  root_ = erase_below(root_, rank, value);
  if (root_ != none) nodes_[root_].red = false;
  return value;
}

bool RankedTree::has(std::uint64_t value) const {
  for (Index at = root_; at != none; at = value < nodes_[at].value ? nodes_[at].left : nodes_[at].right)
    if (nodes_[at].value == value) return true;
  return false;
}

RankedTree::Index RankedTree::make(std::uint64_t value) {
  Index at = static_cast<Index>(nodes_.size());
  if (free_.empty()) {
    nodes_.emplace_back();
  } else {
    at = free_.back();
    free_.pop_back();
  }
  nodes_[at] = Node{};
  nodes_[at].value = value;
  return at;
}

RankedTree::Index RankedTree::insert_below(Index at, std::uint64_t value) {
  if (at == none) return make(value);
  if (value < nodes_[at].value) {
    const Index left = insert_below(nodes_[at].left, value);
    nodes_[at].left = left;
    ++nodes_[at].smaller;
  } else {
    const Index right = insert_below(nodes_[at].right, value);
    nodes_[at].right = right;
  }
  if (is_red(nodes_[at].right) && !left_is_red(at)) at = turn_left(at);
  if (left_is_red(at) && left_is_red(nodes_[at].left)) at = turn_right(at);
  if (left_is_red(at) && is_red(nodes_[at].right)) flip(at);
  return at;
}

RankedTree::Index RankedTree::erase_below(Index at, std::size_t rank, std::uint64_t& value) {
  if (rank < nodes_[at].smaller) {
    if (!left_is_red(at) && !left_is_red(nodes_[at].left)) at = redden_left(at);
    nodes_[at].left = erase_below(nodes_[at].left, rank, value);
    --nodes_[at].smaller;
    return lean_left(at);
  }
  if (left_is_red(at)) at = turn_right(at);
  if (rank == nodes_[at].smaller && nodes_[at].right == none) {
    value = nodes_[at].value;
    free_.push_back(at);
    return none;
  }
  if (!is_red(nodes_[at].right) && !left_is_red(nodes_[at].right)) at = redden_right(at);
  Node& node = nodes_[at];
  if (rank == node.smaller) {
    value = node.value;
    Index next = node.right;
    while (nodes_[next].left != none) next = nodes_[next].left;
    node.value = nodes_[next].value;
    node.right = erase_smallest(node.right);
  } else {
    node.right = erase_below(node.right, rank - node.smaller - 1, value);
  }
  return lean_left(at);
}

RankedTree::Index RankedTree::erase_smallest(Index at) {
  if (nodes_[at].left == none) {
    free_.push_back(at);
    return none;
  }
  if (!left_is_red(at) && !left_is_red(nodes_[at].left)) at = redden_left(at);
  nodes_[at].left = erase_smallest(nodes_[at].left);
  --nodes_[at].smaller;
  return lean_left(at);
}

RankedTree::Index RankedTree::turn_left(Index at) {
  Node& node = nodes_[at];
  const Index up = node.right;
  Node& other = nodes_[up];
  node.right = other.left;
  other.left = at;
  other.red = node.red;
  node.red = true;
  other.smaller += node.smaller + 1;
  count_turn(0);
  return up;
}

RankedTree::Index RankedTree::turn_right(Index at) {
  Node& node = nodes_[at];
  const Index up = node.left;
  Node& other = nodes_[up];
  node.left = other.right;
  other.right = at;
  other.red = node.red;
  node.red = true;
  node.smaller -= other.smaller + 1;
  count_turn(1);
  return up;
}

void RankedTree::count_turn(std::uint64_t flipped) {
  std::uint64_t carried = turns_[3] >> 63 ^ flipped;
  for (std::uint64_t& word : turns_) {
    const std::uint64_t out = word >> 63;
    word = word << 1 ^ carried;
    carried = out;
  }
}

void RankedTree::flip(Index at) {
  Node& node = nodes_[at];
  node.red = !node.red;
  nodes_[node.left].red = !nodes_[node.left].red;
  nodes_[node.right].red = !nodes_[node.right].red;
}

RankedTree::Index RankedTree::lean_left(Index at) {
  if (is_red(nodes_[at].right)) at = turn_left(at);
  if (left_is_red(at) && left_is_red(nodes_[at].left)) at = turn_right(at);
  if (left_is_red(at) && is_red(nodes_[at].right)) flip(at);
  return at;
}

RankedTree::Index RankedTree::redden_left(Index at) {
  flip(at);
  if (left_is_red(nodes_[at].right)) {
    nodes_[at].right = turn_right(nodes_[at].right);
    at = turn_left(at);
    flip(at);
  }
  return at;
}

RankedTree::Index RankedTree::redden_right(Index at) {
  flip(at);
  if (left_is_red(nodes_[at].left)) {
    at = turn_right(at);
    flip(at);
  }
  return at;
}

QkchashCache::QkchashCache(std::uint64_t epoch) {
  Hash256 seed;
  for (std::uint64_t i = 0; i < epoch; ++i) seed = keccak256(seed.bytes);
  std::set<std::uint64_t> numbers;
  for (std::uint32_t i = 0; i < cache_numbers / 8; ++i) {
    std::byte seeded[Hash256::size + 4];
    std::memcpy(seeded, seed.bytes.data(), Hash256::size);
    put_big(seeded + Hash256::size, i);
    for (const std::uint64_t number : hashed(seeded)) numbers.insert(number);
  }
  for (const std::uint64_t number : numbers) tree_.insert(number);
}

WorkResult QkchashCache::work(const Hash256& mining_hash, std::uint64_t nonce, bool rotation) const {
  std::byte seeded[Hash256::size + sizeof nonce]; // the nonce least significant byte first
  std::memcpy(seeded, mining_hash.bytes.data(), Hash256::size);
  std::memcpy(seeded + Hash256::size, &nonce, sizeof nonce);
  const Words8 seed = hashed(seeded);
  RankedTree tree = tree_;
  std::array<std::uint64_t, 16> mix;
  for (std::size_t w = 0; w < mix.size(); ++w) mix[w] = seed[w % seed.size()];
  for (std::uint64_t i = 0; i < rounds; ++i) {
    std::array<std::uint64_t, 16> drawn;
    std::uint64_t rank = fnv(i ^ seed[0], mix[i % mix.size()]);
    for (std::uint64_t& number : drawn) {
      number = tree.erase_at(rank % tree.size());
      rank = fnv(rank, number);
      tree.insert(rank);
      rank = fnv(rank, number);
    }
    for (std::size_t w = 0; w < mix.size(); ++w) mix[w] = fnv(mix[w], drawn[w]);
  }
  std::array<std::uint64_t, 4> pressed;
  for (std::size_t w = 0; w < pressed.size(); ++w) {
    pressed[w] = fnv(fnv(fnv(mix[4 * w], mix[4 * w + 1]), mix[4 * w + 2]), mix[4 * w + 3]);
    if (rotation) pressed[w] ^= tree.turns()[w];
  }
  WorkResult result;
  std::memcpy(result.mixhash.bytes.data(), pressed.data(), sizeof pressed);
  result.result = keccak256(std::as_bytes(std::span(seed)), result.mixhash.bytes);
  return result;
}

} // namespace trunkline::quarkchain

#include "services/quarkchain/chain/trie.hpp"

#include "services/quarkchain/chain/rlp.hpp"

#include <utility>
#include <vector>

namespace trunkline::quarkchain {
namespace {

using Leaf = std::pair<const Hash256*, const std::string*>;

constexpr std::size_t nibbles_count = 2 * Hash256::size;

unsigned nibble(const Hash256& key, std::size_t index) {
  const auto byte = static_cast<unsigned>(key.bytes[index / 2]);
  return index % 2 == 0 ? byte >> 4 : byte & 15;
}

/// Nibbles [from, to) of a key, two to a byte, behind a flag that says how many and whether a leaf ends here.
std::string packed_path(const Hash256& key, std::size_t from, std::size_t to, bool leaf) {
  const bool odd = (to - from) % 2 == 1;
  unsigned first = (leaf ? 0x20u : 0u) | (odd ? 0x10u : 0u);
  if (odd) first |= nibble(key, from++);
  std::string path(1, static_cast<char>(first));
  for (; from < to; from += 2) path += static_cast<char>(nibble(key, from) << 4 | nibble(key, from + 1));
  return path;
}

/// How a node is named inside its parent: small ones are there themselves.
std::string reference(const std::string& node) {
  return node.size() < Hash256::size ? node : rlp_bytes(text_of(keccak256(bytes_of(node)).bytes));
}

/// Ascending leaves that share their first `depth` nibbles. At most 64 deep.
std::string node_of(std::span<const Leaf> leaves, std::size_t depth) {
  const Hash256& first = *leaves.front().first;
  if (leaves.size() == 1)
    return RlpList().add(packed_path(first, depth, nibbles_count, true)).add(*leaves.front().second).encoded();
  const Hash256& last = *leaves.back().first;
  std::size_t shared = depth;
  while (nibble(first, shared) == nibble(last, shared)) ++shared;
  if (shared > depth) {
    const std::string branch = node_of(leaves, shared);
    return RlpList().add(packed_path(first, depth, shared, false)).add_encoded(reference(branch)).encoded();
  }
  RlpList branch;
  for (unsigned digit = 0; digit < 16; ++digit) {
    std::size_t count = 0;
    while (count < leaves.size() && nibble(*leaves[count].first, depth) == digit) ++count;
    if (count == 0) branch.add(std::string_view());
    else branch.add_encoded(reference(node_of(leaves.first(count), depth + 1)));
    leaves = leaves.subspan(count);
  }
  return branch.add(std::string_view()).encoded(); // no key is the beginning of another
}

} // namespace

void Trie::set(std::string_view key, std::string value) {
  const Hash256 hashed = keccak256(bytes_of(key));
  if (value.empty()) leaves_.erase(hashed);
  else leaves_.insert_or_assign(hashed, std::move(value));
}

Hash256 Trie::root() const {
  if (leaves_.empty()) return keccak256(bytes_of(rlp_bytes({})));
  std::vector<Leaf> leaves;
  leaves.reserve(leaves_.size());
  for (const auto& [key, value] : leaves_) leaves.emplace_back(&key, &value);
  return keccak256(bytes_of(node_of(leaves, 0)));
}

} // namespace trunkline::quarkchain

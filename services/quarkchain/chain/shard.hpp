// Chains, shards and the numbers by which they are known. A full shard id, which is what a branch holds, is
// chain << 16 | size of the chain | shard; a full shard key is what users put into their addresses, and belongs to one
// shard of its chain whatever the chain's size.
#pragma once

#include "services/quarkchain/chain/core_types.hpp"

#include <bit>
#include <cstdint>
#include <string>

namespace trunkline::quarkchain {

/// `size` is a power of two, `shard` below it.
constexpr std::uint32_t full_shard_id(std::uint32_t chain, std::uint32_t size, std::uint32_t shard) noexcept {
  return chain << 16 | size | shard;
}
constexpr std::uint32_t chain_of(std::uint32_t id) noexcept { return id >> 16; }
/// 0 for an id that has none, such as that of the root chain.
constexpr std::uint32_t shard_size_of(std::uint32_t id) noexcept { return std::bit_floor(id & 0xffff); }
constexpr std::uint32_t shard_of(std::uint32_t id) noexcept { return (id & 0xffff) ^ shard_size_of(id); }

/// The shard that an address with this key belongs to, in a chain of `size` shards.
constexpr std::uint32_t full_shard_id_of_key(std::uint32_t key, std::uint32_t size) noexcept {
  return full_shard_id(key >> 16, size, key & (size - 1));
}
constexpr bool contains_key(std::uint32_t id, std::uint32_t key) noexcept {
  return id == full_shard_id_of_key(key, shard_size_of(id));
}
/// The same account in that shard, by a key that keeps what the shard leaves open.
inline Address address_in_branch(const Address& address, std::uint32_t id) {
  Address moved = address;
  const std::uint32_t low = (address.full_shard_key & 0xffff & ~(shard_size_of(id) - 1)) + shard_of(id);
  moved.full_shard_key = chain_of(id) << 16 | low;
  return moved;
}

/// Whether two shards send each other the deposits of their blocks, in a network of `shards_count` initialized shards.
constexpr bool are_neighbours(std::uint32_t a, std::uint32_t b, std::size_t shards_count) noexcept {
  const auto apart_by_power = [](std::uint32_t x, std::uint32_t y) {
    const std::uint32_t apart = x > y ? x - y : y - x;
    return (apart & (apart - 1)) == 0;
  };
  if (shards_count <= 32) return true;
  if (chain_of(a) == chain_of(b)) return apart_by_power(shard_of(a), shard_of(b));
  return shard_of(a) == shard_of(b) && apart_by_power(chain_of(a), chain_of(b));
}

/// "0x00010002".
std::string shard_text(std::uint32_t id);
/// "0x00000001, 0x00010001".
std::string shards_text(const std::vector<std::uint32_t>& ids);

} // namespace trunkline::quarkchain

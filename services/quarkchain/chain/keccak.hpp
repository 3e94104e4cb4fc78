// Keccak as in Ethereum: the padding is its own, not that of SHA3.
#pragma once

#include "services/quarkchain/chain/bytes.hpp"

#include <span>

namespace trunkline::quarkchain {

Hash256 keccak256(std::span<const std::byte> bytes);
/// Of both, one behind the other.
Hash256 keccak256(std::span<const std::byte> first, std::span<const std::byte> second);
/// The same padding, 64 bytes.
FixedBytes<64> keccak512(std::span<const std::byte> bytes);

} // namespace trunkline::quarkchain

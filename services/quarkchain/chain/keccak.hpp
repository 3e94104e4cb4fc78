// Keccak-256 as in Ethereum: the padding is Keccak's own, not that of SHA3-256.
#pragma once

#include "services/quarkchain/chain/bytes.hpp"

#include <span>

namespace trunkline::quarkchain {

Hash256 keccak256(std::span<const std::byte> bytes);
/// Of both, one behind the other.
Hash256 keccak256(std::span<const std::byte> first, std::span<const std::byte> second);

} // namespace trunkline::quarkchain

// The Keccak of many texts at once, four next to each other where the processor can.
#pragma once

#include "services/quarkchain/chain/bytes.hpp"

#include <span>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

/// The hash of each text, in their order: what keccak256 makes of it. Texts of one length cost least.
std::vector<Hash256> keccak256_of_each(std::span<const std::string_view> texts);

} // namespace trunkline::quarkchain

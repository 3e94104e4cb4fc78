// All types of the protocol by their names, for programs that learn at run time what they deal with.
#pragma once

#include "services/quarkchain/chain/json_codec.hpp"

#include <span>
#include <string_view>

namespace trunkline::quarkchain {

/// All structures, and "biguint".
std::span<const TypeInfo> types() noexcept;
/// Null for a name that is none of them.
const TypeInfo* find_type(std::string_view name) noexcept;

// The groups of which they are made.
std::span<const TypeInfo> cluster_types();
std::span<const TypeInfo> p2p_types();

} // namespace trunkline::quarkchain

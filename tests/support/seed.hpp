#pragma once

#include <cstdint>

namespace trunkline::test {

/// The seed of this run: TRUNKLINE_SEED from the environment, or a fresh one.
/// Derive every random choice of a test from it; it is printed with each failure.
std::uint64_t test_seed();

}  // namespace trunkline::test

// Several operations at the same time, as one.
#pragma once

#include "async/types.hpp"

#include <vector>

namespace trunkline::quarkchain {

/// Runs all of them and waits until all have ended; then throws what the first one to fail threw. Cancelled: so are
/// they.
awaitable<void> all_at_once(std::vector<awaitable<void>> operations);

} // namespace trunkline::quarkchain

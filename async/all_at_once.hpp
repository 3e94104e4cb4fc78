// Several operations at the same time, as one.
#pragma once

#include "async/types.hpp"

#include <vector>

namespace trunkline {

/// Runs all operations and waits until every one of them has ended, also when one fails.
/// Cancelled: cancels all of them. Errors: what the first one to fail threw.
awaitable<void> all_at_once(std::vector<awaitable<void>> operations);

} // namespace trunkline

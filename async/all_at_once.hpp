// Runs several operations at the same time and waits for all of them.
#pragma once

#include "async/types.hpp"

#include <vector>

namespace trunkline {

/// Runs all operations and waits until every one of them has ended, also when one fails. Cancelled: cancels all of them
/// and throws without waiting for their end, so they must own what they use. Errors: the exception of the first one to
/// fail, thrown when all have ended.
awaitable<void> all_at_once(std::vector<awaitable<void>> operations);

} // namespace trunkline

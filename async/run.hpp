// Runs a program that is one coroutine.
#pragma once

#include "async/types.hpp"

#include <functional>

namespace trunkline {

/// Runs `program` on the calling thread and returns when nothing is left to do on its executor: a node that outlives
/// the program keeps it from returning until the node is closed. Errors: what the program throws, at once; all that
/// still runs is destroyed then.
void run(const std::function<awaitable<void>(Executor)>& program);

} // namespace trunkline

// For a program that is one coroutine.
#pragma once

#include "async/types.hpp"

#include <functional>

namespace trunkline {

/// Runs `program` on the calling thread and returns when nothing is left to do on the executor that it is given: a node
/// that outlives the program goes on until it is closed. What the program throws is thrown, at once; what else still
/// runs is destroyed then.
void run(const std::function<awaitable<void>(Executor)>& program);

} // namespace trunkline

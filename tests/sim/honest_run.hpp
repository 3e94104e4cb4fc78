// One run of the honest program: nodes with default limits that use each other in every legal way and at every rate, in
// a world drawn from a seed, in some with faults. Its checkers hold that nothing ends without somebody to blame.
#pragma once

#include "tests/sim/simulation.hpp"

namespace trunkline::sim {

/// As `simulate`; RunOptions::bug is not for it.
RunReport simulate_honest(const RunOptions& options);

} // namespace trunkline::sim

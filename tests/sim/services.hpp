// The services of the simulated workload; every node registers all of them.
//
//   sink     takes everything, at some pace          source   sends, whatever it is told
//   echo     answers each fragment with one          sleeper  takes nothing for a long time, then all or nothing
//   office   takes everything, error fragments too
//   solo     as sink, one circuit per instance       single   as sink, one instance per node
#pragma once

#include "peer/node.hpp"
#include "tests/sim/stage.hpp"

namespace trunkline::sim {

void register_services(Node& node, Stage& stage);

} // namespace trunkline::sim

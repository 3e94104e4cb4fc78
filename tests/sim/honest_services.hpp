// The services of the honest program; every node registers all of them.
//
//   echo    answers each fragment with one            source  sends, and sometimes gives up half way
//   sink    takes everything, at some pace            pauser  reads nothing for minutes, then everything
//   office  answers each line, and complains of some  hands   passes its circuit from task to task
//   halves  finishes, closes and lets go in any order moods   waits for the metadata that a fragment names
//   calls   answers requests, some of them late       answers the same, side by side, few or many
//   lingers as answers, and goes on after the last
//   narrow  works on three at once, four may wait
//   solo    as sink, one circuit per instance         single  as sink, one instance per node
#pragma once

#include "tests/sim/honest_stage.hpp"

namespace trunkline::sim {

void register_honest_services(Node& node, HonestStage& stage);

} // namespace trunkline::sim

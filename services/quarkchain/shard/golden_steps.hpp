// Steps that another implementation took and what came of each, fed to fresh shards here: whether two programs that
// were written apart agree on every hash.
#pragma once

#include "services/quarkchain/chain/json.hpp"

#include <cstddef>
#include <functional>
#include <string>

namespace trunkline::quarkchain {

/// One step whose outcome is another one.
struct StepDifference {
  std::string step; // "forks 0, step 7 (add_minor)"
  std::string field;
  std::string expected;
  std::string seen;
};

struct StepCounts {
  std::size_t agree = 0;
  std::size_t differ = 0;
};

/// `file`: one of the kinds that docs/quarkchain.md lists under check. Steps that differ are told as they come up, all
/// their fields. Errors: ConfigFailure, JsonError and DecodeFailure for what is no such file.
StepCounts check_golden_steps(const Json& file, const std::function<void(const StepDifference&)>& differs);

} // namespace trunkline::quarkchain

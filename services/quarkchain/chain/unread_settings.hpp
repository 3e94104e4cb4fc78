// What a configuration says and nobody listens to: misspelt keys, and settings of programs that are not these.
#pragma once

#include "services/quarkchain/chain/json.hpp"

#include <string>
#include <vector>

namespace trunkline::quarkchain {

/// Keys of the file that no node of ours looks at, as "QUARKCHAIN.CHAINS[1].GENESIS.XYZ"; of what is below such a key,
/// nothing. Errors: ConfigFailure, as reading it.
std::vector<std::string> unread_settings(const Json& config);

} // namespace trunkline::quarkchain

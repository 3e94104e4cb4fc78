// The subcommands of `trunkline net`, one file each.
#pragma once

#include "cli/command.hpp"

namespace trunkline::cli {

Command add_net_tree(CLI::App& net);

} // namespace trunkline::cli

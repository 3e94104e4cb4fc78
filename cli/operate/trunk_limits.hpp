// The limits of a node's trunks, which may change while it runs: connections that are there keep theirs.
#pragma once

#include "circuit/limits.hpp"
#include "cli/operate/running_configuration.hpp"

#include <memory>

namespace trunkline {
struct NodeOptions;
}

namespace trunkline::cli {

/// Has the node make its trunks with limits that can change, and follows the keys of those that a node looks at for
/// each trunk anew. The rest of what is in Limits it uses for itself, from its start to its end.
void follow_trunk_limits(RunningConfiguration& running, LimitOptions& words, NodeOptions& node);

} // namespace trunkline::cli

// The service "status" of a node: what it knows of its links and their circuits, for a page that shows it.
#pragma once

#include "async/types.hpp"
#include "peer/node.hpp"

#include <chrono>
#include <cstddef>
#include <string>

namespace trunkline::web {

struct StatusOptions {
  std::string name;                                       // of the node, as its far sides know it; none unless given
  Duration interval_min = std::chrono::milliseconds(250); // between two answers on one circuit
  std::size_t circuits_max = 1000;                        // of one link that are said
  std::size_t askers_max = 64;                            // at once; another one waits

  StatusOptions() = default;
};

/// Registers the service at the node, which must outlive its peers' tasks, as every node does. Errors:
/// error::already_registered.
void serve_status(Node& node, StatusOptions options = StatusOptions());

} // namespace trunkline::web

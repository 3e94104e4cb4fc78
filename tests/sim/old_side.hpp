// A node of the time before the optional features of wire version 1, for the honest program to meet: it says neither
// `calls` nor `shares` in its Hello, understands neither, and knows nothing of deadlines.
#pragma once

#include "transport/medium.hpp"

#include <memory>

namespace trunkline::sim {

/// The medium of such a node. What its connections carry is changed on its way in and out so that a node of today looks
/// old to the others, and they look old to it; the sizes stay.
std::shared_ptr<Medium> of_old_side(std::shared_ptr<Medium> medium);

} // namespace trunkline::sim

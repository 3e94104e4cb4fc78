// What the honest program does with connections, with nodes, and with instances of services that it starts itself.
#pragma once

#include <span>

namespace trunkline::sim {

struct ActKind;

std::span<const ActKind> link_acts();

} // namespace trunkline::sim

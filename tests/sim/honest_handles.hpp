// What the honest program does with the handle of a circuit besides the usual: each call of it, in each way in which it
// may be made.
#pragma once

#include <span>

namespace trunkline::sim {

struct ActKind;

std::span<const ActKind> handle_acts();

} // namespace trunkline::sim

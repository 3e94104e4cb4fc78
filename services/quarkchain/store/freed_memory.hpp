// Memory that was needed once.
#pragma once

namespace trunkline::quarkchain {

/// Gives the system back what was freed: making the first state of many accounts takes several times what is left of
/// it, and an allocator keeps that for allocations that do not come. Takes milliseconds; does nothing where the
/// allocator has no such call.
void give_back_freed_memory() noexcept;

} // namespace trunkline::quarkchain

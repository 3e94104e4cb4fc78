// The side of a sync that has the destination: it compares the Giver's listing with what is here, says what it wants,
// writes the files that come, and deletes last.
#pragma once

#include "async/types.hpp"
#include "circuit/circuit.hpp"
#include "peer/local_peer.hpp"
#include "services/sync/budgets.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/options.hpp"
#include "services/sync/report.hpp"
#include "services/sync/root.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace trunkline::sync {

/// Takes what the Giver at the other end of `control` has into `root`; the files' circuits come through `circuits`.
/// `place` is what the syncs of these budgets call the root: two of one place do not get the same file at the same
/// time. Without a root (a dry run into a directory that does not exist) everything is new. Cancelled: no temporary
/// file is left. Errors: Failure; what ended the control circuit.
awaitable<Report> take(Circuit& control, CircuitInbox& circuits, std::shared_ptr<Root> root, Options options,
                       Watch watch, Tuning tuning, std::function<std::uint64_t()> random,
                       std::shared_ptr<Budgets> budgets, std::string place = {});

} // namespace trunkline::sync

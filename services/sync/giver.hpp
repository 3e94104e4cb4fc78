// The side of a sync that has the source: it lists, and sends the files that the Taker wants, each on a circuit of its
// own.
#pragma once

#include "async/types.hpp"
#include "circuit/circuit.hpp"
#include "peer/local_peer.hpp"
#include "services/sync/budgets.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/location.hpp"
#include "services/sync/options.hpp"
#include "services/sync/report.hpp"

#include <memory>

namespace trunkline::sync {

/// Gives everything in `source` to the Taker at the other end of `control`; whoever opened it does not matter. What the
/// Taker says of its files comes through `circuits`.
/// Returns when the Taker is done. Cancelled: the Taker is told. Errors: Failure; what ended the control circuit.
awaitable<Report> give(Circuit& control, CircuitInbox& circuits, Source source, Options options, Watch watch,
                       Tuning tuning, std::shared_ptr<Budgets> budgets);

} // namespace trunkline::sync

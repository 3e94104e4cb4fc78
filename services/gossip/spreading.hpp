// Passes messages down the tree, and takes over the parts of targets that do not answer.
#pragma once

#include "services/gossip/books.hpp"
#include "services/gossip/outgoing.hpp"
#include "services/gossip/rumor.hpp"
#include "services/gossip/timers.hpp"

#include <cstdint>

namespace trunkline::gossip {

class Spreading {
 public:
  Spreading(const MachineOptions& options, const Strategy& strategy, Timers& timers, Outgoing& outgoing,
            MachineCounters& counters)
      : options_(options), strategy_(strategy), timers_(timers), outgoing_(outgoing), counters_(counters) {}

  /// Sends what `hop` asks of us and was not sent before; false when the message has been served too often.
  bool serve(Rumor& rumor, const Hop& hop, Instant now);
  /// A target has answered. `passes_on` is false if it has the message but not our book.
  void on_ack(Rumor& rumor, const NodeId& from, bool passes_on, Instant now);
  /// A target has not answered in time, or cannot be reached.
  void on_no_ack(Rumor& rumor, const Timer& timer, bool unreachable, Instant now);

 private:
  void adopt(Rumor& rumor, const Hop& hop, Instant now);
  void post(Rumor& rumor, const Hop& hop, Instant now);

  const MachineOptions& options_;
  const Strategy& strategy_;
  Timers& timers_;
  Outgoing& outgoing_;
  MachineCounters& counters_;
};

} // namespace trunkline::gossip

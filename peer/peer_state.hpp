// The state of a LocalPeer, shared between its handle, its inbox and its node.
#pragma once

#include "async/clock.hpp"
#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "circuit/circuit.hpp"
#include "circuit/machine.hpp"
#include "peer/local_peer.hpp"
#include "peer/node_link.hpp"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace trunkline {

/// Listens to the circuits in its inbox.
struct LocalPeer::State final : CircuitListener {
  State(std::shared_ptr<NodeCore> node, std::shared_ptr<const PeerName> peer_name, bool takes_circuits,
        Executor executor, std::function<void(std::exception_ptr)> on_failure)
      : core(std::move(node)), name(std::move(peer_name)), has_inbox(takes_circuits),
        tasks(std::move(executor), std::move(on_failure)) {}

  /// Those that were given up before the service took them are no more than memory: there is nothing to serve.
  std::size_t waiting() const noexcept { return inbox.size() - std::min(inbox.size(), cancelled); }
  /// Forgets those. It looks at all of them, so it does that only when half of them are such.
  void forget_cancelled() {
    if (2 * cancelled < inbox.size() || inbox.empty()) return;
    cancelled = 0;
    std::vector<Circuit> forgotten; // dropped when the inbox is in order again
    for (Waiting& waiting : inbox)
      if (waiting.circuit.state()->cancelled) forgotten.push_back(std::move(waiting.circuit));
    if (!forgotten.empty()) std::erase_if(inbox, [](const Waiting& waiting) { return !waiting.circuit.state(); });
  }
  /// Whether there is a circuit that the service may take now; forgets those before it that were given up.
  bool has_circuit() {
    while (!inbox.empty() && inbox.front().circuit.state()->cancelled) const Circuit given_up = take_front();
    return !inbox.empty() && (options.circuits_max == 0 || working < options.circuits_max);
  }
  Circuit take_front() {
    Circuit circuit = std::move(inbox.front().circuit);
    inbox.pop_front();
    circuit.set_listener(nullptr);
    if (circuit.state()->cancelled && cancelled > 0) --cancelled;
    return circuit;
  }
  /// How many circuits may wait: the queue, and those that will be taken at once.
  bool has_room_in_queue() const noexcept {
    const std::size_t at_once = options.circuits_max > working ? options.circuits_max - working : 0;
    return options.queue_max > waiting() || waiting() - options.queue_max < at_once;
  }
  void on_circuit_event(const TrunkEvent& event) override {
    if (event.kind == TrunkEvent::Kind::ended && event.circuit->cancelled) ++cancelled;
  }

  std::shared_ptr<NodeCore> core;
  std::shared_ptr<const PeerName> name; // replaced when the node's address changes; the id never does
  bool has_inbox;                       // false: it opens circuits and takes none
  bool of_others = false;               // started from the far side of a trunk
  std::weak_ptr<NodeLink> starter; // that trunk
  ServiceOptions options;
  std::size_t working = 0; // tasks that work on a circuit
  bool is_ending = false;
  End end; // once it is ending
  /// The circuits that others have opened and that the service has not yet taken, oldest first: at most
  /// open_backlog_max that wait, and about as many that were given up. A deque, because a queue that is never empty must not grow.
  struct Waiting {
    Circuit circuit;
    TimePoint since;
  };
  std::deque<Waiting> inbox;
  std::size_t cancelled = 0; // of those: given up
  std::unique_ptr<Alarm> queue_alarm; // for the queue_deadline of the oldest; there once it was needed
  Signal inbox_changed; // a circuit came, or the peer is ending
  Signal ending; // is_ending became true
  Metadata metadata;
  Tasks tasks; // the service and everything that it spawned
};

} // namespace trunkline

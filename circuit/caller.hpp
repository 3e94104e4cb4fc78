// Requests and replies over one circuit: a reply carries the `part` of its request.
#pragma once

#include "async/signal.hpp"
#include "circuit/circuit.hpp"

#include <cstdint>
#include <map>
#include <optional>

namespace trunkline {

/// Sends one request and waits for its reply: the fragment whose `part` is the request's, which is chosen here.
/// Replies to earlier calls that nobody waits for any more are dropped. One call at a time on a circuit; for more
/// use a Caller. Cancelled: the reply, when it comes, is dropped by a later call.
/// A reply with `err` set is one too. It takes from both queues of the circuit: nobody else may receive meanwhile.
/// Errors: as Circuit::send and receive; error::circuit_closed when the far side finished without replying.
awaitable<Fragment> call(Circuit& circuit, Fragment request);

/// Any number of calls at once over one circuit, which it owns. Whoever waits reads for all; it spawns nothing.
class Caller {
 public:
  explicit Caller(Circuit circuit) : circuit_(std::move(circuit)) {}

  /// As the free `call`, any number at once. The Caller must outlive its calls.
  awaitable<Fragment> call(Fragment request);
  Circuit& circuit() noexcept { return circuit_; }
  /// Replies that came after their call was cancelled, or that nobody asked for.
  std::uint64_t late_replies() const noexcept { return late_replies_; }

 private:
  struct Pending;

  void deliver(Fragment reply);

  Circuit circuit_;
  std::map<std::int64_t, std::optional<Fragment>> pending_; // by part, filled by whoever reads
  Signal delivered_;
  std::int64_t part_last_ = 0;
  bool reading_ = false; // one of the calls reads for all
  std::uint64_t late_replies_ = 0;
};

} // namespace trunkline

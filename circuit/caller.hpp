// Requests and replies over one circuit: a reply carries the `part` of its request.
#pragma once

#include "async/signal.hpp"
#include "circuit/circuit.hpp"

#include <cstdint>
#include <map>
#include <optional>

namespace trunkline {

/// Sends one request and waits for its reply: the fragment that has the request's `part`, which is chosen here. A
/// fragment with `err` set may be the reply as well: the call takes from both queues of the circuit, and no other
/// coroutine may receive meanwhile. One call at a time on a circuit; for more use a Caller. Replies to earlier calls
/// that were cancelled are dropped. Cancelled: a later call drops the reply.
/// Errors: as Circuit::send and receive; error::circuit_closed when the far side finished without replying.
awaitable<Fragment> call(Circuit& circuit, Fragment request);

/// Any number of calls at once over one circuit, which it owns. It spawns nothing: one of the waiting calls reads for
/// all of them.
class Caller {
 public:
  explicit Caller(Circuit circuit) : circuit_(std::move(circuit)) {}

  /// As the free `call`, any number at once. The Caller must outlive its calls.
  awaitable<Fragment> call(Fragment request);
  Circuit& circuit() noexcept { return circuit_; }
  /// Replies that came after their call was cancelled, or to no call at all.
  std::uint64_t late_replies() const noexcept { return late_replies_; }

 private:
  struct Pending;

  void deliver(Fragment reply);

  Circuit circuit_;
  std::map<std::int64_t, std::optional<Fragment>> pending_; // by part, filled by the call that reads
  Signal delivered_;
  std::int64_t part_last_ = 0;
  bool reading_ = false; // one of the calls reads for all
  std::uint64_t late_replies_ = 0;
};

} // namespace trunkline

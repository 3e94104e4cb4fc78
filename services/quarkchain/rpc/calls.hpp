// What the two halves of a RpcCircuit share about its calls. Internal.
#pragma once

#include "async/clock.hpp"
#include "services/quarkchain/rpc/rpc.hpp"

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>

namespace trunkline::quarkchain {

struct RpcCircuit::Sender {
  Signal turn;
};

struct RpcCircuit::Calls {
  boost::unordered_flat_map<std::uint64_t, Call*> pending; // sent, not answered
  std::uint32_t admitted = 0;        // of calls_in_flight_max: pending, and waiting for room on the wire
  Signal room;                       // a call has left
  std::set<std::uint64_t> given_up;  // sent, then cancelled or timed out, not answered; the oldest are forgotten
  std::uint64_t late_up_to = 0;      // and every id up to here counts as given up
  std::multimap<TimePoint, Call*> deadlines;
  TimePoint armed_for = TimePoint::max();
  std::unique_ptr<Alarm> alarm;      // made for the first deadline

  void give_up(std::uint64_t rpc_id, std::size_t late_replies_max) {
    given_up.insert(rpc_id);
    if (given_up.size() <= late_replies_max) return;
    late_up_to = *given_up.begin();
    given_up.erase(given_up.begin());
  }
  /// Whether the id is one that was given up; it is not one any more then.
  bool was_given_up(std::uint64_t rpc_id) {
    return given_up.erase(rpc_id) > 0 || (rpc_id != 0 && rpc_id <= late_up_to);
  }
  void arm(const Executor& executor);
  void on_alarm(TimePoint now);
};

/// Admitted, sent, done; done without a reply when it timed out or the circuit ended.
struct RpcCircuit::Call {
  explicit Call(RpcCircuit& circuit) : of(circuit), calls(circuit.calls()) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    if (due != TimePoint::max()) forget_deadline();
    if (!admitted) return;
    --calls.admitted;
    calls.room.notify_one();
    if (id != 0 && calls.pending.erase(id) > 0) calls.give_up(id, of.server_->limits().late_replies_max);
    of.note_change();
  }
  void forget_deadline() {
    for (auto [at, end] = calls.deadlines.equal_range(due); at != end; ++at)
      if (at->second == this) {
        calls.deadlines.erase(at);
        return;
      }
  }

  RpcCircuit& of;
  Calls& calls;
  std::uint64_t id = 0; // from when it was sent
  bool admitted = false;
  bool done = false;
  bool timed_out = false;
  std::optional<RpcReply> reply;
  TimePoint due = TimePoint::max();
  Sender* sender = nullptr; // while it waits for room on the wire
  Signal changed;
};

} // namespace trunkline::quarkchain

#include "circuit/caller.hpp"

#include "async/within.hpp"
#include "circuit/circuit_ended.hpp"
#include "circuit/held_circuit.hpp"

#include <fmt/format.h>

#include <exception>
#include <utility>

namespace trunkline {
namespace {

[[noreturn]] void throw_no_reply(const TrunkCircuit& state, std::int64_t part) {
  End end(error::circuit_closed, fmt::format("the far side finished without a reply to call {}", part));
  throw CircuitEnded(std::move(end), state.names, state.opened_here);
}

/// Says on its way out that a call was given up, unless it was answered. The word stands in line behind the request
/// and costs credit like a fragment: where there is none, the request has not been read either, and its deadline has to
/// do.
class GivingUp {
 public:
  GivingUp(const HeldCircuit& held, std::int64_t part) : held_(held), part_(part) {}
  GivingUp(const GivingUp&) = delete;
  GivingUp& operator=(const GivingUp&) = delete;
  ~GivingUp() {
    if (!sent_ || held_.state->ended || !held_.trunk->machine().far_knows_calls()) return;
    try {
      Fragment word = Fragment::cancelling(part_);
      send_one_way(held_, word);
    } catch (const std::exception&) {} // no memory
  }

  void sent() noexcept { sent_ = true; }
  void answered() noexcept { sent_ = false; }

 private:
  const HeldCircuit& held_;
  std::int64_t part_;
  bool sent_ = false;
};

TimePoint deadline_in(const Circuit& circuit, Duration left) {
  if (!circuit) return TimePoint::max(); // the call says so
  const TimePoint now = circuit.trunk()->now();
  return left < TimePoint::max() - now ? now + left : TimePoint::max();
}

/// It uses no handle: that may be moved or dropped during each wait.
awaitable<Fragment> call_for_ever(HeldCircuit held, Fragment request) {
  const auto part = static_cast<std::int64_t>(held.state->counters.fragments_sent + 1);
  request.part = part;
  GivingUp giving_up(held, part);
  co_await send(held, std::move(request));
  giving_up.sent();
  for (;;) {
    std::optional<Fragment> reply = co_await receive_any(held);
    if (reply && reply->part != part) continue; // to an earlier call
    giving_up.answered();
    if (!reply) throw_no_reply(*held.state, part);
    co_return std::move(*reply);
  }
}

awaitable<Fragment> call_on_nothing() {
  Circuit().require("call"); // throws
  co_return Fragment();
}

} // namespace

awaitable<Fragment> call(Circuit& circuit, Fragment request, Duration deadline) {
  if (!circuit) return call_on_nothing();
  circuit.require("call");
  HeldCircuit held(circuit.trunk(), circuit.state());
  if (deadline == Duration::max()) return call_for_ever(std::move(held), std::move(request));
  request.set_deadline(deadline_in(circuit, deadline));
  return within(deadline, call_for_ever(std::move(held), std::move(request)));
}

/// A call that has not ended. One at a time reads for all; when that one goes, it chooses another.
struct Caller::Pending {
  Caller& caller;
  std::int64_t part;
  std::optional<Fragment> reply; // filled by the call that reads
  Signal woken;                  // the reply is there, or this one is to read

  Pending(Caller& owner, std::int64_t number) : caller(owner), part(number) { caller.pending_.emplace(part, this); }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;
  ~Pending() {
    caller.pending_.erase(part); // a reply from now on is late
    if (caller.chosen_ == this) caller.chosen_ = nullptr;
    caller.choose_reader();
  }
};

/// The oldest call that waits: others are about to look themselves.
void Caller::choose_reader() {
  if (reading_ || chosen_) return;
  for (const auto& [part, pending] : pending_) {
    if (!pending->woken.has_waiters()) continue;
    chosen_ = pending;
    return pending->woken.notify_all();
  }
}

awaitable<Fragment> Caller::call(Fragment request, Duration deadline) {
  if (deadline == Duration::max()) return call(std::move(request));
  request.set_deadline(deadline_in(circuit_, deadline));
  return within(deadline, call(std::move(request)));
}

awaitable<Fragment> Caller::call(Fragment request) {
  circuit_.require("Caller::call");
  const HeldCircuit held(circuit_.trunk(), circuit_.state());
  const std::int64_t part = ++part_last_;
  request.part = part;
  Pending pending(*this, part);
  GivingUp giving_up(held, part);
  co_await send(held, std::move(request));
  giving_up.sent();
  for (;;) {
    if (pending.reply) {
      giving_up.answered();
      co_return std::move(*pending.reply);
    }
    if (reading_) {
      co_await pending.woken.wait();
      if (chosen_ == &pending) chosen_ = nullptr;
      continue;
    }
    struct Reading {
      bool& flag;
      explicit Reading(bool& reading) : flag(reading) { flag = true; }
      ~Reading() { flag = false; }
    };
    std::optional<Fragment> reply;
    {
      const Reading reading(reading_);
      reply = co_await receive_any(held);
    }
    if (!reply) {
      giving_up.answered();
      throw_no_reply(*held.state, part);
    }
    deliver(std::move(*reply));
  }
}

void Caller::deliver(Fragment reply) {
  const auto found = pending_.find(reply.part);
  if (found == pending_.end() || found->second->reply) {
    ++late_replies_;
    return;
  }
  found->second->reply = std::move(reply);
  found->second->woken.notify_all();
}

} // namespace trunkline

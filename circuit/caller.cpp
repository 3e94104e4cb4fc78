#include "circuit/caller.hpp"

#include "async/within.hpp"
#include "circuit/circuit_ended.hpp"
#include "circuit/trunk.hpp"

#include <fmt/format.h>

#include <exception>
#include <utility>

namespace trunkline {
namespace {

[[noreturn]] void throw_no_reply(const Circuit& circuit, std::int64_t part) {
  End end(error::circuit_closed, fmt::format("the far side finished without a reply to call {}", part));
  throw CircuitEnded(std::move(end), circuit.state()->names, circuit.opened_here());
}

/// Says on its way out that a call was given up, unless it was answered. The word stands in line behind the request
/// and costs credit like a fragment: where there is none, the request has not been read either, and its deadline has to
/// do.
class GivingUp {
 public:
  GivingUp(Circuit& circuit, std::int64_t part) : circuit_(circuit), part_(part) {}
  GivingUp(const GivingUp&) = delete;
  GivingUp& operator=(const GivingUp&) = delete;
  ~GivingUp() {
    if (!sent_ || !circuit_.is_open() || !circuit_.trunk()->machine().far_knows_calls()) return;
    try {
      circuit_.send_one_way(Fragment::cancelling(part_));
    } catch (const std::exception&) {} // no memory
  }

  void sent() noexcept { sent_ = true; }
  void answered() noexcept { sent_ = false; }

 private:
  Circuit& circuit_;
  std::int64_t part_;
  bool sent_ = false;
};

TimePoint deadline_in(const Circuit& circuit, Duration left) {
  if (!circuit) return TimePoint::max(); // the call says so
  const TimePoint now = circuit.trunk()->now();
  return left < TimePoint::max() - now ? now + left : TimePoint::max();
}

awaitable<Fragment> call_for_ever(Circuit& circuit, Fragment request) {
  circuit.require("call");
  const auto part = static_cast<std::int64_t>(circuit.counters().fragments_sent + 1);
  request.part = part;
  GivingUp giving_up(circuit, part);
  co_await circuit.send(std::move(request));
  giving_up.sent();
  for (;;) {
    std::optional<Fragment> reply = co_await circuit.receive_any();
    if (reply && reply->part != part) continue; // to an earlier call
    giving_up.answered();
    if (!reply) throw_no_reply(circuit, part);
    co_return std::move(*reply);
  }
}

} // namespace

awaitable<Fragment> call(Circuit& circuit, Fragment request, Duration deadline) {
  if (deadline == Duration::max()) return call_for_ever(circuit, std::move(request));
  request.set_deadline(deadline_in(circuit, deadline));
  return within(deadline, call_for_ever(circuit, std::move(request)));
}

struct Caller::Pending {
  Caller& caller;
  std::int64_t part;

  Pending(Caller& owner, std::int64_t number) : caller(owner), part(number) {
    caller.pending_.emplace(part, std::nullopt);
  }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;
  ~Pending() {
    caller.pending_.erase(part); // a reply from now on is late
    caller.delivered_.notify_all(); // another call must read
  }
};

awaitable<Fragment> Caller::call(Fragment request, Duration deadline) {
  if (deadline == Duration::max()) return call(std::move(request));
  request.set_deadline(deadline_in(circuit_, deadline));
  return within(deadline, call(std::move(request)));
}

awaitable<Fragment> Caller::call(Fragment request) {
  circuit_.require("Caller::call");
  const std::int64_t part = ++part_last_;
  request.part = part;
  const Pending pending(*this, part);
  GivingUp giving_up(circuit_, part);
  co_await circuit_.send(std::move(request));
  giving_up.sent();
  std::optional<Fragment>& slot = pending_.at(part);
  for (;;) {
    if (slot) {
      giving_up.answered();
      co_return std::move(*slot);
    }
    if (reading_) {
      co_await delivered_.wait();
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
      reply = co_await circuit_.receive_any();
    }
    if (!reply) {
      giving_up.answered();
      throw_no_reply(circuit_, part);
    }
    deliver(std::move(*reply));
  }
}

void Caller::deliver(Fragment reply) {
  const auto found = pending_.find(reply.part);
  if (found == pending_.end()) {
    ++late_replies_;
  } else {
    found->second = std::move(reply);
  }
  delivered_.notify_all();
}

} // namespace trunkline

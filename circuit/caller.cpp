#include "circuit/caller.hpp"

#include "circuit/circuit_ended.hpp"

#include <fmt/format.h>

#include <utility>

namespace trunkline {
namespace {

[[noreturn]] void throw_no_reply(const Circuit& circuit, std::int64_t part) {
  End end(error::circuit_closed, fmt::format("the far side finished without a reply to call {}", part));
  throw CircuitEnded(std::move(end), circuit.state()->names, circuit.opened_here());
}

} // namespace

awaitable<Fragment> call(Circuit& circuit, Fragment request) {
  circuit.require("call");
  const auto part = static_cast<std::int64_t>(circuit.counters().fragments_sent + 1);
  request.part = part;
  co_await circuit.send(std::move(request));
  for (;;) {
    std::optional<Fragment> reply = co_await circuit.receive_any();
    if (!reply) throw_no_reply(circuit, part);
    if (reply->part == part) co_return std::move(*reply);
  }
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

awaitable<Fragment> Caller::call(Fragment request) {
  circuit_.require("Caller::call");
  const std::int64_t part = ++part_last_;
  request.part = part;
  const Pending pending(*this, part);
  co_await circuit_.send(std::move(request));
  std::optional<Fragment>& slot = pending_.at(part);
  for (;;) {
    if (slot) co_return std::move(*slot);
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
    if (!reply) throw_no_reply(circuit_, part);
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

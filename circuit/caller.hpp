// Requests and replies over one circuit: a reply carries the `part` of its request.
#pragma once

#include "async/signal.hpp"
#include "circuit/circuit.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>

namespace trunkline {

/// Sends one request and waits for its reply: the fragment that has the request's `part`, which is chosen here. A
/// fragment with `err` set may be the reply as well: the call takes from both queues of the circuit, and no other
/// coroutine may receive meanwhile. One call at a time on a circuit; for more use a Caller. Replies to earlier calls
/// that were cancelled are dropped. The request says how much time is left until its deadline.
/// Cancelled, or its deadline has passed: the far side is told, and `answer_calls` there cancels what works on it; a
/// later call drops the reply. Errors: as Circuit::send and receive; error::circuit_closed when the far side finished
/// without replying; error::timed_out after the deadline.
awaitable<Fragment> call(Circuit& circuit, Fragment request, Duration deadline = Duration::max());

/// Any number of calls at once over one circuit, which it owns. It spawns nothing: one of the waiting calls reads for
/// all of them.
class Caller {
 public:
  explicit Caller(Circuit circuit) : circuit_(std::move(circuit)) {}

  /// As the free `call`, any number at once. The Caller must outlive its calls.
  awaitable<Fragment> call(Fragment request);
  awaitable<Fragment> call(Fragment request, Duration deadline);
  Circuit& circuit() noexcept { return circuit_; }
  /// Replies that came after their call was cancelled, or to no call at all.
  std::uint64_t late_replies() const noexcept { return late_replies_; }

 private:
  struct Pending;

  void deliver(Fragment reply);
  void choose_reader();

  Circuit circuit_;
  std::map<std::int64_t, Pending*> pending_; // by part
  Pending* chosen_ = nullptr; // has been woken to read for all, and has not begun
  std::int64_t part_last_ = 0;
  bool reading_ = false; // one of the calls reads for all
  std::uint64_t late_replies_ = 0;
};

struct AnswerOptions {
  std::size_t calls_max = 64; // at once, at least 1; about 256 KiB of others are read, and more wait on the circuit
  bool runs_on = false;       // a call that was given up is answered all the same

  AnswerOptions() = default;
};

/// Answers the calls that arrive on a circuit: runs `answer(request)` for each, several at once, and sends what that
/// returns as the reply. A call that its caller gives up, or whose deadline passes, is cancelled where it waits and gets
/// no reply. Returns when the far side has finished and every call is answered; the circuit stays as it is. What
/// `answer` throws cancels the other calls and leaves this. Cancelled: cancels the calls, and waits for them.
awaitable<void> answer_calls(Circuit& circuit, std::function<awaitable<Fragment>(Fragment)> answer,
                             AnswerOptions options = AnswerOptions());

} // namespace trunkline

// The end of a trunk, in two phases. A drain takes no new circuits and lets the running ones finish; when both sides
// drain and no circuit is left, or at the deadline, a goodbye is said. After a goodbye nothing is read any more, and
// the trunk is over when the goodbye is written and the far side has had a moment to hang up.
#pragma once

#include "circuit/native/whole.hpp"
#include "circuit/native/writer.hpp"

#include <cstdint>
#include <string>

namespace trunkline {

class Farewell {
 public:
  Farewell(Whole& whole, Writer& writer);

  bool running() const noexcept { return state_ == State::running; }
  bool over() const noexcept { return state_ == State::over; }

  bool draining() const noexcept { return draining_here_ || draining_there_; }
  bool draining_there() const noexcept { return draining_there_; }
  /// Opens that arrive are refused: this side drains, and does not serve those that come late.
  bool refuses_opens() const noexcept { return draining_here_ && !serve_late_; }
  /// Waits for the far side's DRAIN as well: until then an OPEN of it may be under way.
  bool drained() const noexcept { return running() && draining_here_ && draining_there_; }

  void drain(Instant deadline, bool serve_late);
  /// False when the far side had said so before.
  bool heard_drain();
  /// Once, when the drain's deadline has passed.
  bool drain_overdue();

  /// In band: everything that is already in the output goes before it.
  void say_goodbye(error reason, const std::string& text);
  /// Nothing more is read or written. False when a goodbye had ended the trunk before.
  bool end();

  Instant drain_deadline() const noexcept { return drain_deadline_; }
  /// Of one that does not run any more; `unwritten`: output is still on its way.
  Instant goodbye_deadline(bool unwritten) const;
  void tick_goodbye(bool unwritten);

  /// Deadlines of the goodbye exist only after it, and none is further away than its limit.
  void check() const;

 private:
  enum class State : std::uint8_t { running, goodbye_said, over };

  void put_drain();

  Whole& whole_;
  Writer& writer_;
  State state_ = State::running;
  bool draining_here_ = false;
  bool draining_there_ = false;
  bool serve_late_ = false;
  Instant drain_deadline_ = Instant::max();
  Instant write_by_ = Instant::max(); // of the goodbye and what is before it
  Instant over_at_ = Instant::max();  // from when it is written
};

} // namespace trunkline

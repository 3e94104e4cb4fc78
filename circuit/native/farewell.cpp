#include "circuit/native/farewell.hpp"

#include "circuit/invariant.hpp"
#include "proto/trunk.pb.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace trunkline {

Farewell::Farewell(Whole& whole, Writer& writer) : whole_(whole), writer_(writer) {}

void Farewell::drain(Instant deadline, bool serve_late) {
  drain_deadline_ = std::min(drain_deadline_, deadline);
  serve_late_ = serve_late && (!draining_here_ || serve_late_);
  if (!draining()) put_drain();
  draining_here_ = true;
}

bool Farewell::heard_drain() {
  if (draining_there_) return false;
  if (!draining()) put_drain(); // tells it that no OPEN of ours is under way any more
  draining_there_ = true;
  return true;
}

void Farewell::put_drain() { writer_.put_control(wire::FrameType::drain, wire::Drain()); }

bool Farewell::drain_overdue() {
  if (whole_.now < drain_deadline_) return false;
  drain_deadline_ = Instant::max();
  return true;
}

void Farewell::say_goodbye(error reason, const std::string& text) {
  state_ = State::goodbye_said;
  writer_.put_goodbye(reason, text);
}

bool Farewell::end() {
  writer_.stop();
  return std::exchange(state_, State::over) == State::running;
}

Instant Farewell::goodbye_deadline(bool unwritten) const {
  if (over()) return Instant::max();
  const Instant due = unwritten ? write_by_ : over_at_;
  return due == Instant::max() ? whole_.now : due; // at once: the next tick sets it
}

/// The clock of a goodbye starts when everything before it is written; until then the write's deadline counts.
void Farewell::tick_goodbye(bool unwritten) {
  const Instant now = whole_.now;
  Instant& due = unwritten ? write_by_ : over_at_;
  const auto allowed = unwritten ? whole_.limits.write_deadline : whole_.limits.goodbye_deadline;
  const Instant latest = Instant::max() - std::chrono::nanoseconds(1); // the last moment means that it is not set yet
  if (due == Instant::max())
    due = std::min(after(now, allowed), latest) + std::chrono::nanoseconds(off_by_one("farewell"));
  if (now >= due) state_ = State::over;
}

void Farewell::check() const {
  const bool has_goodbye_deadline = write_by_ != Instant::max() || over_at_ != Instant::max();
  invariant(!running() || !has_goodbye_deadline, "farewell: deadlines of the goodbye exist only after it");
  const Instant now = whole_.now;
  invariant(write_by_ == Instant::max() || write_by_ <= after(now, whole_.limits.write_deadline),
            "farewell: write_by <= now + write_deadline");
  invariant(over_at_ == Instant::max() || over_at_ <= after(now, whole_.limits.goodbye_deadline),
            "farewell: over_at <= now + goodbye_deadline");
  invariant(!serve_late_ || draining_here_, "farewell: late opens are served only by a side that drains");
}

} // namespace trunkline

// Two machines joined in memory. Bytes move only when a test says so and can be cut anywhere; time is a number. Every
// frame is held against the specification on its way (WireModel), and a test may meddle with the frames of one
// side: that side then is a machine with a bug, and the test shows that it would be noticed.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/circuit/native/choices.hpp"
#include "tests/circuit/native/machine_under_test.hpp"

namespace trunkline::test {

/// Changes what one side says: appends to `on` what goes on its way instead of `frame`.
using Meddle = std::function<void(const say::Frame& frame, std::vector<say::Frame>& on)>;

class MachinePair {
 public:
  class Side {
   public:
    Machine& machine() { return *machine_; }
    const say::WireModel& model() const { return model_; }
    const std::shared_ptr<const PeerName>& peer() const { return peer_; }
    /// Events since the last call, for the test that plays the application.
    std::vector<TrunkEvent> events() { return std::exchange(events_, {}); }
    /// Bytes said and not yet heard.
    std::size_t in_flight() const { return in_flight_.size(); }
    bool closed() const { return end_.has_value(); }
    const End& end() const { return *end_; }
    /// The last circuit that the far side opened.
    TrunkCircuit* opened_last() const { return opened_last_; }

    Meddle meddle;
    bool clogged = false;                           // takes no output
    std::size_t output_bytes_max = 1 << 20;         // of one collect_output
    std::function<void(const say::Frame&)> watch;  // sees every frame that this side says

   private:
    friend class MachinePair;
    Side(bool dialled, const Limits& limits, Instant now)
        : machine_(native_machine(dialled, limits, dialled ? "node-of-a-dialer" : "node-of-answerer", now)),
          model_(dialled), peer_(peer_name(dialled ? "peer-of-a-dialer" : "peer-of-answerer", "store")) {}

    std::unique_ptr<Machine> machine_;
    say::WireModel model_;
    say::Reader said_;
    say::Reader heard_;  // of what the other side said, as it arrives
    bool preface_due_ = true;
    std::string in_flight_;
    std::vector<TrunkEvent> events_;
    std::optional<End> end_;
    TrunkCircuit* opened_last_ = nullptr;
    Output output_;
    std::shared_ptr<const PeerName> peer_;
  };

  explicit MachinePair(const Limits& dialler = Limits(), const Limits& answerer = Limits())
      : sides{Side(true, dialler, now), Side(false, answerer, now)} {}
  explicit MachinePair(const std::pair<Limits, Limits>& limits) : MachinePair(limits.first, limits.second) {}

  Side& dialler() { return sides[0]; }
  Side& answerer() { return sides[1]; }
  Side& far(const Side& side) { return &side == &sides[0] ? sides[1] : sides[0]; }

  /// Puts what `side` wants to say in flight: about `bytes_max` of it. False when it was nothing.
  bool write(Side& side, std::size_t bytes_max) {
    if (side.clogged || broken_) return false;
    std::string bytes = take_bytes(side.machine(), side.output_, now, bytes_max);
    if (bytes.empty()) {
      collect(side);
      return false;
    }
    output_bytes_largest = std::max(output_bytes_largest, bytes.size());
    side.machine().written(now);
    side.model_.begin_output();
    frames_.clear();
    const std::size_t held_before = side.said_.held_bytes();
    side.said_.read(bytes, frames_);
    if (side.meddle) {
      if (held_before != 0 || side.said_.held_bytes() != 0) throw std::logic_error("an output ends within a frame");
      std::vector<say::Frame> on;
      for (const say::Frame& frame : frames_) side.meddle(frame, on);
      frames_ = std::move(on);
      bytes = std::exchange(side.preface_due_, false) ? say::preface() : std::string();
      for (const say::Frame& frame : frames_) bytes += frame.bytes();
    }
    for (const say::Frame& frame : frames_) {
      side.model_.said(frame);
      if (side.watch) side.watch(frame);
    }
    side.in_flight_ += bytes;
    collect(side);
    return true;
  }

  /// The far side of `from` hears the next `bytes_max` bytes of what `from` said. False when it was nothing.
  bool deliver(Side& from, std::size_t bytes_max) {
    const std::size_t size = std::min(bytes_max, from.in_flight_.size());
    if (size == 0) return false;
    Side& to = far(from);
    const std::string bytes = from.in_flight_.substr(0, size);
    from.in_flight_.erase(0, size);
    frames_.clear();
    to.heard_.read(bytes, frames_);
    for (const say::Frame& frame : frames_) to.model_.heard(frame);
    reads_directly_ = !reads_directly_;
    if (reads_directly_ && !to.machine().read_space().empty()) {
      receive_directly(to.machine(), bytes, now);
    } else {
      to.machine().feed(as_bytes(bytes), now);
    }
    collect(to);
    return true;
  }

  /// Moves everything both ways until nothing moves any more, in pieces of `piece_bytes`.
  void pump(std::size_t piece_bytes = 1 << 20) {
    for (int rounds = 0;; ++rounds) {
      if (rounds == 1'000'000) throw std::logic_error("the two machines never fall silent");
      bool moved = false;
      for (Side& side : sides) moved |= write(side, side.output_bytes_max);
      for (Side& side : sides) moved |= deliver(side, piece_bytes);
      if (!moved) return;
    }
  }

  /// Time passes on both sides; what they say on the way arrives at once.
  void pass(std::chrono::nanoseconds time) {
    const Instant until = now + time;
    int ticks_at_once = 0;
    for (;;) {
      pump();
      const Instant due = std::min(sides[0].machine().deadline(), sides[1].machine().deadline());
      if (due > until) break;
      ticks_at_once = due <= now ? ticks_at_once + 1 : 0;
      if (ticks_at_once > 1000) throw std::logic_error("a deadline is never met: a session would spin");
      now = std::max(now, due);
      for (Side& side : sides) {
        if (side.machine().deadline() <= now) side.machine().tick(now);
        collect(side);
      }
    }
    now = until;
  }

  /// The connection breaks: what is in flight is lost.
  void cut() {
    broken_ = true;
    for (Side& side : sides) {
      side.in_flight_.clear();
      side.machine().disconnected(End(error::trunk_lost, "cut by the test"));
      collect(side);
    }
  }

  void collect(Side& side) {
    scratch_.clear();
    side.machine().collect_events(scratch_);
    for (TrunkEvent& event : scratch_) {
      if (event.circuit && event.circuit->released()) continue;  // its memory does not outlive the next two takes
      if (event.kind == TrunkEvent::Kind::opened) side.opened_last_ = event.circuit;
      if (event.kind == TrunkEvent::Kind::closed) side.end_ = event.end ? *event.end : End();
      side.events_.push_back(std::move(event));
    }
  }

  OpenRequest request(Side& from) {
    OpenRequest request;
    request.from = from.peer();
    request.to_peer = far(from).peer()->id;
    request.to_service = far(from).peer()->service;
    return request;
  }
  /// A circuit that both sides have: opened by `from`, accepted by the other.
  std::pair<TrunkCircuit*, TrunkCircuit*> join(Side& from, std::optional<Fragment> first = std::nullopt) {
    Side& to = far(from);
    TrunkCircuit* here = from.machine().open(request(from), std::move(first), now);
    if (!here) throw std::logic_error("no circuit was opened");
    to.opened_last_ = nullptr;
    pump();
    if (!to.opened_last_) throw std::logic_error("the open did not arrive");
    to.machine().accept(*to.opened_last_, to.peer());
    to.machine().left_backlog(*to.opened_last_);
    collect(to);
    return {here, to.opened_last_};
  }

  Instant now = time_begins;
  Side sides[2];
  std::size_t output_bytes_largest = 0;

 private:
  bool reads_directly_ = false; // every other time
  bool broken_ = false;
  std::vector<say::Frame> frames_;
  std::vector<TrunkEvent> scratch_;
};

} // namespace trunkline::test

// Our circuit to one node for one channel, from its opening until it has ended, with the acks that are outstanding on
// it.
#pragma once

#include "async/signal.hpp"
#include "circuit/circuit.hpp"
#include "fragment/error.hpp"
#include "peer/channel/network.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>

namespace trunkline {

class Line {
 public:
  explicit Line(Circuit opened);

  Circuit& circuit() noexcept { return circuit_; }
  /// False once nothing more can be sent on it, for whatever reason.
  bool is_usable() const;
  bool has_ended() const noexcept { return has_ended_; }
  /// Why it ended; meaningful once it has ended.
  const End& end() const noexcept { return end_; }
  /// Returns after the next ack, or after the end.
  awaitable<void> changed() { return changed_.wait(); }

  /// Sends nothing more on it. Messages sent before still arrive.
  void retire() noexcept { is_retired_ = true; }
  void set_end(End end) { end_ = std::move(end); }
  /// Called when the reader of the line is done: nothing comes back any more. Resumes all waiters.
  void finish() noexcept;

  /// Remembers that a message without ack was sent: its failure is seen by the reader of the line alone.
  void note_unacked() noexcept { has_carried_unacked_ = true; }
  bool has_carried_unacked() const noexcept { return has_carried_unacked_; }

  /// The number of the next message that wants an ack, which is outstanding from now until `forget`.
  std::int64_t expect_ack();
  bool is_acked(std::int64_t number) const;
  void forget(std::int64_t number) noexcept { outstanding_.erase(number); }
  std::size_t acks_outstanding() const noexcept { return outstanding_.size(); }
  /// Counts an ack of the far side as awaited, late, repeated, or for no message of ours.
  void on_ack(std::int64_t number, AckMetrics& metrics);

 private:
  Circuit circuit_;
  bool is_retired_ = false;
  bool has_ended_ = false;
  bool has_carried_unacked_ = false;
  End end_;
  std::int64_t number_last_ = 0;
  std::map<std::int64_t, bool> outstanding_; // by number; true: acknowledged, and its sender has not been resumed yet
  std::deque<std::int64_t> acked_recently_; // tells a repeated ack from a late one
  Signal changed_;
};

} // namespace trunkline

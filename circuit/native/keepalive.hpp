// Watches whether the far side is alive, and measures the round trip. A connection on which nothing arrives for an
// interval is pinged; one on which nothing arrives for another is dead. Output that is not written has a deadline of
// its own, and while a ping waits in that output, its clock does not run.
#pragma once

#include "circuit/native/far_peers.hpp"
#include "circuit/native/whole.hpp"
#include "circuit/native/writer.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace trunkline {

class Keepalive {
 public:
  Keepalive(Whole& whole, Writer& writer, const FarPeers& far_peers);

  /// Bytes have arrived, any bytes: the far side lives.
  void heard();
  /// The session asks for output: the connection is there from the first time on.
  void connected();
  /// Puts the answer to the last ping, if it is due.
  void put_pong();
  bool has_pong() const { return pong_due_ && may_pong(); }
  /// Output that was collected is on its way.
  void write_began();
  void write_progressed(Instant at) noexcept { writing_since_ = at; }
  void written();
  bool writing() const noexcept { return writing_; }

  void ping();
  /// Pings unless an answer is still to come: two answers in a row prove that the far side reads.
  void probe() {
    if (!timed_) ping();
  }
  /// Answers to pings that were put after the answer before.
  std::uint32_t answers() const noexcept { return answers_; }
  /// With so many answers, all that is in the output now has reached the far side: the last of them is to a ping that
  /// was put when the one before had been collected, and with it the output of now.
  std::uint32_t answers_that_prove() const noexcept { return answers_ + (timed_ ? 3 : 2); }
  /// One answer is due at a time, for the last ping of those that came.
  void heard_ping(std::uint64_t number);
  bool has_pong_due() const noexcept { return pong_due_.has_value(); }
  /// The rate limit of answers is reached: the answer that is due waits for a second.
  void defer_pong();
  void heard_pong(std::uint64_t number);
  /// Never zero, so that windows grow on a loopback.
  std::chrono::nanoseconds round_trip() const noexcept { return round_trip_; }

  Instant deadline() const;
  /// Clean, or why the trunk has to end. Pings when it is time; `pinged` says so.
  End tick(bool& pinged);

  /// heard_at <= now. A ping is in a write only while there is one.
  void check() const;

 private:
  /// Where the last ping of ours is.
  enum class Ping : std::uint8_t { in_output, in_write, written };

  /// Nothing of ours is on its way. A side that only takes what a slow link brings has to say something now and then,
  /// or it is taken for dead by a far side whose own pings stand in line behind all that.
  bool says_little() const noexcept {
    return connected_ && far_peers_.introduced() && !writing_ && ping_ == Ping::written;
  }
  bool wants_ping() const;
  bool may_pong() const { return whole_.now >= pong_at_; }
  /// When a far side that stays silent is taken for dead. Only after a ping, because this process may have been
  /// suspended.
  Instant dead_at() const noexcept {
    return std::max(after(after(heard_at_, interval_), interval_), after(ping_at_, interval_));
  }

  Whole& whole_;
  Writer& writer_;
  const FarPeers& far_peers_;
  const std::chrono::nanoseconds interval_; // the limits, in the unit of Instant: deadline() is asked often
  const std::chrono::nanoseconds write_deadline_;
  bool connected_ = false;
  Instant connected_at_{};
  Instant heard_at_{};
  bool asked_ = false; // a ping has been put since heard_at_
  Ping ping_ = Ping::written;
  std::uint64_t ping_number_ = 0;
  Instant ping_at_{};
  bool timed_ = false; // the pong of the last ping is still to come
  std::uint32_t answers_ = 0;
  std::optional<std::uint64_t> pong_due_;
  Instant pong_at_{}; // when pong_due_ may go out
  bool writing_ = false;
  Instant writing_since_{};
  std::chrono::nanoseconds round_trip_{std::chrono::milliseconds(1)};
};

// In line, like those of the other parts: the trunk asks for it after nearly every input.
inline Instant Keepalive::deadline() const {
  if (!connected_) return Instant::max();
  Instant first = Instant::max();
  if (writing_) {
    first = after(writing_since_, write_deadline_);
  } else if (says_little()) {
    first = after(writing_since_, interval_);
  }
  if (!asked_) {
    first = std::min(first, after(heard_at_, interval_));
  } else if (ping_ == Ping::written) {
    first = std::min(first, dead_at());
  }
  if (!far_peers_.introduced()) first = std::min(first, after(connected_at_, whole_.limits.handshake_deadline));
  if (pong_due_ && !may_pong()) first = std::min(first, pong_at_);
  return first;
}

} // namespace trunkline

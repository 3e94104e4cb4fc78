// Watches whether the far side is alive, and measures the round trip. A connection on which nothing arrives for an
// interval is pinged; one on which nothing arrives for another is dead. Output that is not written has a deadline of
// its own, and while a ping waits in that output, its clock does not run.
#pragma once

#include "circuit/native/far_peers.hpp"
#include "circuit/native/whole.hpp"
#include "circuit/native/writer.hpp"

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

  bool says_little() const;
  bool wants_ping() const;
  bool may_pong() const { return whole_.now >= pong_at_; }
  /// When a far side that stays silent is taken for dead. Only after a ping, because this process may have been
  /// suspended.
  Instant dead_at() const;

  Whole& whole_;
  Writer& writer_;
  const FarPeers& far_peers_;
  bool connected_ = false;
  Instant connected_at_{};
  Instant heard_at_{};
  bool asked_ = false; // a ping has been put since heard_at_
  Ping ping_ = Ping::written;
  std::uint64_t ping_number_ = 0;
  Instant ping_at_{};
  bool timed_ = false; // the pong of the last ping is still to come
  std::optional<std::uint64_t> pong_due_;
  Instant pong_at_{}; // when pong_due_ may go out
  bool writing_ = false;
  Instant writing_since_{};
  std::chrono::nanoseconds round_trip_{std::chrono::milliseconds(1)};
};

} // namespace trunkline

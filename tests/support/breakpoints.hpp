// Three loops that replace hundreds of hand-picked cases:
//
//   fail_each_io            runs a body again and again; in run n its n-th I/O operation fails
//   stop_after_each_handler runs a program again and again; in run n everything is destroyed after n handlers
//   split_at_each           cuts the same bytes at every position: no receiver may care where a read ended
//
// Each ends by itself, when a run comes to its end without having met its breakpoint, and returns how many runs there
// were, so that a test can state that the loop did loop.
#pragma once

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/error_code.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

namespace trunkline::test {

/// Where a fake transport asks, before each operation, whether this is the one that fails.
class FailPoint {
 public:
  explicit FailPoint(std::size_t nth, boost::system::error_code error = boost::asio::error::connection_reset)
      : nth_(nth), error_(error) {}

  /// Success, except for the n-th call since construction.
  boost::system::error_code step() {
    ++operations_;
    return operations_ == nth_ ? error_ : boost::system::error_code();
  }
  bool reached() const noexcept { return operations_ >= nth_; }
  std::size_t operations() const noexcept { return operations_; }

 private:
  const std::size_t nth_; // counted from 1
  const boost::system::error_code error_;
  std::size_t operations_ = 0; // so far
};

/// Calls `body(FailPoint&)` with n = 1, 2, ... until a run does fewer than n operations: that one ran without a
/// failure.
template <class Body> std::size_t fail_each_io(Body&& body, std::size_t runs_max = 10'000) {
  for (std::size_t nth = 1; nth <= runs_max; ++nth) {
    FailPoint point(nth);
    body(point);
    if (!point.reached()) return nth;
  }
  throw std::logic_error("fail_each_io: no run without a failure within " + std::to_string(runs_max));
}

/// Whether what was not destroyed may still run after the owner is gone.
enum class After {
  destroy_all, // the owner, then the context with all handlers that did not run
  run_on       // the owner only; the context must then run out of work by itself
};

/// Calls `owner = setup(io)` on a fresh context with n = 0, 1, 2, ...; runs n handlers; destroys the owner. Ends when a
/// run has fewer than n handlers. Waits no longer than `idle_after` for an event: a program that waits longer counts as
/// at rest. With After::run_on, throws when the context still has handlers to run seconds after its owner went.
template <class Setup>
std::size_t stop_after_each_handler(After after, Setup&& setup, std::size_t runs_max = 10'000,
                                    std::chrono::steady_clock::duration idle_after = std::chrono::milliseconds(50)) {
  constexpr std::chrono::seconds leaves_within{5}; // on a machine that is busy with other things
  for (std::size_t stop_after = 0; stop_after <= runs_max; ++stop_after) {
    bool at_rest = false;
    boost::asio::io_context io(1);
    {
      [[maybe_unused]] auto owner = setup(io);
      for (std::size_t ran = 0; ran < stop_after && !at_rest; ++ran) at_rest = io.run_one_for(idle_after) == 0;
    }
    if (after == After::run_on) {
      auto deadline = std::chrono::steady_clock::now() + leaves_within;
      io.restart();
      while (io.run_one_until(deadline) != 0) {}
      if (!io.stopped()) {
        throw std::logic_error("stop_after_each_handler: work is left after the owner was destroyed behind handler " +
                               std::to_string(stop_after));
      }
    }
    if (at_rest) return stop_after + 1;
  }
  throw std::logic_error("stop_after_each_handler: not at rest after " + std::to_string(runs_max) + " handlers");
}

/// Calls `body(first, second)` for every way to cut `bytes` in two, the empty halves included.
template <class Byte, class Body> std::size_t split_at_each(std::span<Byte> bytes, Body&& body) {
  for (std::size_t at = 0; at <= bytes.size(); ++at) body(bytes.first(at), bytes.subspan(at));
  return bytes.size() + 1;
}

/// Calls `sink(piece)` for consecutive pieces of `piece_bytes`; the last one may be shorter. With 1: byte by byte.
template <class Byte, class Sink> void split_into(std::span<Byte> bytes, std::size_t piece_bytes, Sink&& sink) {
  if (piece_bytes == 0) throw std::logic_error("split_into: a piece of no bytes");
  while (!bytes.empty()) {
    auto piece = bytes.first(std::min(piece_bytes, bytes.size()));
    bytes = bytes.subspan(piece.size());
    sink(piece);
  }
}

} // namespace trunkline::test

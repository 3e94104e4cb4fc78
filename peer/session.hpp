// One trunk on one connection: two pumps and a timer between a trunk, which knows the protocol but no medium, and a
// transport, which knows the medium but no protocol.
#pragma once

#include "async/clock.hpp"
#include "circuit/trunk.hpp"
#include "transport/transport.hpp"

#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <span>

namespace trunkline {

/// The whole life of a connection is one awaited `run`. When it returns, the trunk is over and the transport closed.
class Session {
 public:
  Session(std::shared_ptr<Trunk> trunk, std::unique_ptr<Transport> transport, Duration goodbye_deadline);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Moves bytes until the trunk is over and its last words are written, or until the transport fails and the trunk is
  /// lost. Cancelled: the trunk is lost at once. Throws nothing.
  awaitable<void> run();
  /// Closes the connection under a `run`, which then returns soon: what was not written is lost.
  void cut() noexcept { transport_->close(); }

 private:
  awaitable<void> pump_in();
  awaitable<void> pump_out();
  awaitable<void> watch_deadline();
  awaitable<void> discard_in();
  void adapt_writes(std::size_t bytes, Duration took);
  void arm();
  void on_alarm();
  bool fail(const std::exception& failure);

  std::shared_ptr<Trunk> trunk_;
  std::unique_ptr<Transport> transport_;
  Duration goodbye_deadline_;
  std::unique_ptr<Alarm> alarm_;
  TimePoint armed_for_ = TimePoint::max(); // the alarm rings at the latest when the machine's deadline is due
  Output output_;
  std::size_t write_bytes_; // how much one write takes
  bool writing_ = false;
  std::uint64_t moved_ = 0; // of the write in progress, when its deadline last started
  TimePoint written_at_{};
  bool in_ended_ = false; // nothing more can be read, or need be
  bool out_failed_ = false; // nothing more can be written
  std::optional<End> failure_; // of the transport, the first one
};

} // namespace trunkline

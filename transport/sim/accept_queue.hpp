// Connections that were dialled and not yet accepted, at one address of one host.
#pragma once

#include "async/signal.hpp"
#include "transport/transport.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

namespace trunkline::sim {

/// Shared by the listener, its pending accepts and its host.
class AcceptQueue {
 public:
  static constexpr std::size_t waiting_max = 128; // more are refused

  explicit AcceptQueue(std::string address) : address_(std::move(address)) {}

  static awaitable<std::unique_ptr<Transport>> accept(std::shared_ptr<AcceptQueue> self);
  bool takes_more() const noexcept { return state_ == State::open && waiting_.size() < waiting_max; }
  void push(std::unique_ptr<Transport> accepted);
  void close() noexcept { end(State::closed); }
  /// Ends the queue because the host is down: waiting accepts fail.
  void fail() noexcept { end(State::dead); }
  const std::string& address() const noexcept { return address_; }

 private:
  enum class State : std::uint8_t { open, closed, dead };
  void end(State state) noexcept;

  std::string address_;
  std::deque<std::unique_ptr<Transport>> waiting_;
  State state_ = State::open;
  Signal changed_;
};

} // namespace trunkline::sim

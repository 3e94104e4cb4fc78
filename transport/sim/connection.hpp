// One simulated connection: two byte streams, each written at one host and read at the other.
#pragma once

#include "async/signal.hpp"
#include "transport/sim/fabric.hpp"

#include <boost/system/error_code.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace trunkline::sim {

/// End 0 dialled, end 1 accepted. A coroutine that waits on an end keeps the connection alive.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Fabric& fabric, std::uint64_t number, Host& dialler, Host& listener, std::string address);

  static awaitable<std::size_t> read(std::shared_ptr<Connection> self, int end, std::span<std::byte> into);
  static awaitable<void> write(std::shared_ptr<Connection> self, int end,
                               std::span<const std::span<const std::byte>> pieces);
  /// Like shutdown(2): the far end sees the end after the bytes; reading goes on.
  void finish(int end) noexcept;
  std::uint64_t write_progress(int end) const noexcept {
    return flows_[end].read_bytes - flows_[end].read_before_write;
  }
  /// Like close(2): the far end sees the end after the bytes, or a reset when bytes were left unread here.
  void close(int end) noexcept;

  /// Both ends fail now.
  void reset();
  /// The process at this end is gone.
  void crash(int end, Crash how);
  /// From now on nothing sent by this end arrives.
  void lose_from(int end) noexcept { flows_[end].lost = true; }
  /// Schedules anew what is in flight, after a partition or a stall, or when a host came back.
  void retransmit(int end);

  std::uint64_t number() const noexcept { return number_; }
  const Host& host(int end) const noexcept { return *hosts_[end]; }
  /// The name of the far end of `end` in log lines.
  std::string remote(int end) const;
  std::string describe() const;

 private:
  /// The state of one end; only an open one reads and writes.
  enum class State : std::uint8_t { open, closed, broken, dead };

  struct Delivery {
    enum class Kind : std::uint8_t { bytes, end, reset };
    Kind kind;
    TimePoint arrival;
    std::vector<std::byte> bytes;
  };

  /// One direction. held_bytes counts the bytes in flight and those that arrived and are unread: held_bytes <=
  /// options.buffer_bytes_max.
  struct Flow {
    std::deque<Delivery> in_flight;
    std::deque<std::vector<std::byte>> arrived; // and unread
    std::size_t arrived_offset = 0;             // read of the first one
    std::size_t held_bytes = 0;
    std::uint64_t read_bytes = 0;
    std::uint64_t read_before_write = 0; // before the one in progress began
    bool end_arrived = false;
    bool finished = false;                      // its end was sent
    bool lost = false;
    Schedule::Ticket next; // the delivery that is scheduled
    Signal readable;       // something arrived, or the reading end's state changed
    Signal writable;       // something was read, or the writing end's state changed
  };

  Link& link_from(int end) noexcept { return *links_[end]; }
  void send(int end, std::span<const std::byte> bytes);
  void send_mark(int end, Delivery::Kind kind);
  void pump(int end);
  void deliver(int end);
  void deliver_to_open(Flow& flow, int to, Delivery delivery);
  void set_state(int end, State state);
  [[noreturn]] void throw_state(int end, const char* doing) const;
  std::size_t take(Flow& flow, std::span<std::byte> into) noexcept;

  Fabric& fabric_;
  std::uint64_t number_;
  Host* hosts_[2];
  Link* links_[2]; // links_[i] carries what end i sends
  std::string address_; // that was dialled
  State states_[2] = {State::open, State::open};
  Flow flows_[2]; // flows_[i] is sent by end i
};

/// The end of a connection that a node holds.
std::unique_ptr<Transport> make_transport(std::shared_ptr<Fabric> fabric, std::shared_ptr<Connection> connection,
                                          int end);

} // namespace trunkline::sim

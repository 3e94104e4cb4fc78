// One member's part in all broadcasts, as a machine without I/O: words and time points in, words and deliveries out. It
// reads no clock, throws on nothing that a member sent, and holds no more than its limits say.
#pragma once

#include "fragment/payload.hpp"
#include "services/gossip/books.hpp"
#include "services/gossip/cleaning.hpp"
#include "services/gossip/machine_options.hpp"
#include "services/gossip/outgoing.hpp"
#include "services/gossip/rumor.hpp"
#include "services/gossip/spreading.hpp"
#include "services/gossip/store.hpp"
#include "services/gossip/strategy.hpp"
#include "services/gossip/timers.hpp"
#include "services/gossip/word.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace trunkline::gossip {

/// One member. Inputs return at once; what they caused is in the outputs.
class Machine {
 public:
  using Send = gossip::Send;
  struct Delivery {
    NodeId origin;
    RandomId id;
    Payload payload;
  };

  /// Errors: std::invalid_argument for an unknown strategy, limits of zero, no source of random numbers.
  Machine(NodeId self, MachineOptions options);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Inputs.
  void set_book(std::shared_ptr<const Book> book, Instant now);
  /// Spreads a message and returns its id. Errors: std::logic_error while this member is not in its own book;
  /// std::length_error beyond payload_bytes_max, and when this member has too many messages in flight.
  RandomId broadcast(Payload payload, Instant now);
  void receive(const NodeId& from, std::span<const std::byte> bytes, Instant now);
  /// A send could not be handed over: its target cannot be reached.
  void failed(std::uint64_t ticket, Instant now);
  void tick(Instant now);

  // Outputs.
  std::vector<Send> take_sends() { return outgoing_.take(); }
  std::vector<Delivery> take_deliveries() { return std::exchange(deliveries_, {}); }
  /// When `tick` has to be called at the latest; Instant::max() when never.
  Instant deadline() const noexcept { return timers_.deadline(); }

  const MachineCounters& counters() const noexcept { return counters_; }
  const std::shared_ptr<const Book>& book() const noexcept { return books_.current(); }
  const Strategy& strategy() const noexcept { return *strategy_; }
  std::size_t held_bytes() const noexcept { return store_.held_bytes(); }
  std::size_t held_messages() const noexcept { return store_.held().size(); }
  std::size_t remembered_messages() const noexcept { return store_.remembered_messages(); }
  std::size_t promises() const noexcept { return cleaning_.promises(); }

 private:
  void on_rumor(const NodeId& from, const Word& word, Instant now);
  bool is_possible(const Word& word, const Book* book) const;
  std::shared_ptr<Rumor> deliver(const Word& word, Instant now);
  void on_ack(const NodeId& from, const Word& word, Instant now);
  void on_timer(const Timer& timer, Instant now);

  NodeId self_;
  MachineOptions options_;
  std::shared_ptr<const Strategy> strategy_;
  MachineCounters counters_;
  Books books_;
  Timers timers_;
  Store store_;
  Outgoing outgoing_;
  Spreading spreading_;
  Cleaning cleaning_;
  std::vector<Delivery> deliveries_;
};

} // namespace trunkline::gossip

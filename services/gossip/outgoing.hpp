// The words that a member wants to send, until they are taken.
#pragma once

#include "services/gossip/books.hpp"
#include "services/gossip/rumor.hpp"
#include "services/gossip/strategy.hpp"
#include "services/gossip/word.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace trunkline::gossip {

struct Send {
  NodeId to;
  std::vector<std::byte> bytes;
  std::uint64_t ticket = 0; // for Machine::failed; 0: a failure need not be reported
};

class Outgoing {
 public:
  Outgoing(const Books& books, MachineCounters& counters) : books_(books), counters_(counters) {}

  /// A message itself. It wants an ack if it has a ticket.
  void send_rumor(const Rumor& rumor, const NodeId& to, const Hop& hop, std::uint64_t ticket);
  /// Any other word about a message.
  void say(const NodeId& to, Word::Kind kind, const Key& key, bool yes, std::uint64_t ticket = 0);

  std::vector<Send> take() { return std::exchange(sends_, {}); }

 private:
  const Books& books_;
  MachineCounters& counters_;
  std::vector<Send> sends_;
};

} // namespace trunkline::gossip

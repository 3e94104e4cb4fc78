// What a Machine keeps of one message; shared by its sources, and nobody else.
#pragma once

#include "services/gossip/machine.hpp"

#include <array>
#include <map>
#include <set>

namespace trunkline::gossip {

struct Machine::Timer {
  enum class Kind : std::uint8_t { ack, clean, question, given, hold };

  Kind kind = Kind::hold;
  Key key;
  NodeId to;               // ack, question, given
  Hop hop;                 // ack
  std::size_t side = 0;    // question, given
  std::uint32_t tries = 1; // done
  Instant due{};
};

struct Machine::Rumor {
  /// The search for neighbours in one direction of the ring.
  struct Side {
    std::uint32_t step = 0; // how far away the one is that is asked; 0 before the first
    std::uint32_t have = 0; // who said that they have it
    std::uint32_t later = 0; // times that the one who is asked said so
    std::uint64_t ticket = 0;
    NodeId asked;
    bool done = false;
  };

  Key key;
  std::shared_ptr<const Book> book; // by which it came through the tree; null before, and when that is not known here
  std::optional<Position> here;     // our place in it
  Payload payload;
  std::uint32_t served = 0; // up to which reach
  std::uint32_t serves = 0; // how often something had to be sent for it
  std::map<NodeId, std::uint32_t> sent;  // up to which reach
  std::map<NodeId, std::uint64_t> unacked; // tickets
  std::set<NodeId> have;                 // who are known to have it
  std::array<Side, 2> sides;
  bool cleaning = false;     // from the first question on
  bool skipped = false;      // somebody did not answer
  std::uint32_t cleaned = 0; // rounds that are over
  std::uint64_t hold_ticket = 0;
  std::uint64_t clean_ticket = 0;
};

} // namespace trunkline::gossip

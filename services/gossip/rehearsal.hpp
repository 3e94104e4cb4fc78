// A broadcast as a calculation: all members, no time, no loss, some members dead. `trunkline net tree` prints it, and
// the tables of docs/gossip.md are made with it.
#pragma once

#include "services/gossip/strategy.hpp"

#include <cstdint>
#include <vector>

namespace trunkline::gossip {

struct Rehearsal {
  struct Sent {
    Position from = 0;
    Position to = 0;
    std::uint32_t level = 0;
    friend bool operator==(const Sent&, const Sent&) = default;
  };

  std::vector<Sent> sends;             // in the order in which they go out, those to dead members included
  std::uint64_t questions = 0;         // of the cleanup, which carry no message
  std::uint32_t depth = 0;             // of the longest chain of sends
  std::vector<Position> missed;        // live members that do not have it in the end
  std::vector<std::uint32_t> reads;    // per member: how often the message came
};

/// Calculates a broadcast. `dead` has an entry for each member, or none. A dead originator sends nothing.
/// Errors: std::invalid_argument for a size of 0 or beyond book_members_max, and for an origin that is no member.
Rehearsal rehearse(const Strategy& strategy, std::uint32_t size, Position origin, const std::vector<bool>& dead = {});

} // namespace trunkline::gossip

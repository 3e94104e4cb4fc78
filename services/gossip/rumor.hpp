// What one member keeps of one message while the message spreads or may still be asked for.
#pragma once

#include "fragment/payload.hpp"
#include "services/gossip/book.hpp"
#include "services/gossip/machine_options.hpp"
#include "services/gossip/word.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

namespace trunkline::gossip {

using Key = std::pair<NodeId, RandomId>; // origin and id of a message

struct Rumor {
  /// The search for neighbours in one direction of the ring.
  struct Side {
    std::uint32_t step = 0; // distance of the neighbour that is asked; 0 before the first
    std::uint32_t have = 0; // neighbours that have confirmed
    std::uint32_t later = 0; // times that the asked neighbour has answered "later"
    std::uint64_t ticket = 0;
    NodeId asked;
    bool done = false;
  };

  Key key;
  std::shared_ptr<const Book> book; // by which it came through the tree; null before, and if that is not known here
  std::optional<Position> here; // our place in the book
  Payload payload;
  std::uint32_t served = 0; // up to which reach
  std::uint32_t serves = 0; // how often something had to be sent for it
  std::map<NodeId, std::uint32_t> sent; // up to which reach
  std::map<NodeId, std::uint64_t> unacked; // tickets
  std::set<NodeId> have; // members that are known to have it
  std::array<Side, 2> sides;
  bool cleaning = false; // from the first question on
  bool skipped = false; // a neighbour did not answer
  std::uint32_t cleaned = 0; // finished rounds of questions
  std::uint64_t hold_ticket = 0;
  std::uint64_t clean_ticket = 0;
};

} // namespace trunkline::gossip

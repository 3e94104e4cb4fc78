// The messages between members, byte by byte; docs/gossip.md is the specification.
#pragma once

#include "fragment/ids.hpp"
#include "services/gossip/book.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace trunkline::gossip {

/// One message between two members.
struct Word {
  enum class Kind : std::uint8_t {
    rumor = 1,    // the message itself. `yes`: an ack is wanted
    ack = 2,      // it has come. `yes`: it is passed on as its level says
    question = 3, // I have it; do you want it?
    answer = 4,   // `yes`: I want it
    later = 5,    // another member brings it to me; ask again whether it did
  };
  static constexpr std::size_t head_bytes = 56;

  Kind kind = Kind::rumor;
  bool yes = false;
  std::uint8_t level = 0;
  std::uint32_t span = 0;
  BookVersion book;
  NodeId origin;
  RandomId id;
  std::span<const std::byte> payload; // views the input; empty but for a rumor

  std::vector<std::byte> encode() const;
  /// Nothing for bytes that are no word: too short, of an unknown kind, with bits or a payload that the kind may not
  /// have.
  static std::optional<Word> decode(std::span<const std::byte> bytes);
};

} // namespace trunkline::gossip

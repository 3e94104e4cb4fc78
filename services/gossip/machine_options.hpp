// Limits, times and counters of one member.
#pragma once

#include "services/gossip/strategy.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace trunkline::gossip {

using Instant = std::chrono::steady_clock::time_point; // a value given from outside, never read here

struct MachineOptions {
  std::string strategy{Strategy::default_names};
  /// Whether a payload makes sense and, if it carries a proof, comes from the origin that it names. A refused payload
  /// is neither delivered nor passed on. Must not call the machine.
  std::function<bool(const NodeId& origin, std::span<const std::byte> payload)> validate;
  std::function<std::uint64_t()> random; // for ids; needed

  std::chrono::milliseconds ack_timeout{400};
  std::uint32_t ack_tries = 2; // sends to a target before its part is adopted
  std::uint32_t tries = 4; // questions to a neighbour, and sends to it, before the next one is asked
  std::chrono::milliseconds clean_after{1000}; // from the arrival through the tree to the first question
  std::uint32_t clean_reach = 1; // neighbours on each side that have to confirm that they have it
  std::uint32_t clean_again = 3; // further rounds of questions to neighbours that did not answer
  std::chrono::milliseconds clean_again_after{2500};

  std::size_t payload_bytes_max = 1 << 20;
  std::size_t held_bytes_max = 16 << 20; // payloads kept for members that may still ask for them
  std::size_t held_messages_max = 4096;
  std::chrono::milliseconds hold_for{20000};
  std::size_t remembered_messages_max = 100000; // ids, so that nothing is delivered twice
  std::chrono::milliseconds remember_for{300000};
  std::size_t promises_max = 1024; // messages that a neighbour has promised to bring
  std::size_t books_max = 4; // the current one, and those before it

  MachineOptions() = default;
};

struct MachineCounters {
  std::uint64_t broadcasts = 0;
  std::uint64_t delivered = 0;
  std::uint64_t duplicates = 0; // arrived again
  std::uint64_t sends = 0; // of messages
  std::uint64_t resends = 0; // of the sends, repeated because no ack came
  std::uint64_t adoptions = 0; // targets whose part was taken over
  std::uint64_t questions = 0;
  std::uint64_t given = 0; // of the sends, after a question
  std::uint64_t refused_malformed = 0; // not decodable, or refused by validate
  std::uint64_t refused_level = 0; // above what the book allows
  std::uint64_t refused_stranger = 0; // sender or origin is no member
  std::uint64_t refused_share = 0; // its origin has used up the share of one member
  std::uint64_t books_unknown = 0; // messages that were spread by a book that is not known here
};

} // namespace trunkline::gossip

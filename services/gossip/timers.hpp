// What a member has to do later, by time and by ticket.
#pragma once

#include "services/gossip/rumor.hpp"
#include "services/gossip/strategy.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace trunkline::gossip {

struct Timer {
  enum class Kind : std::uint8_t { ack, clean, question, given, hold };

  Timer() = default;
  Timer(Kind what, Key about) : kind(what), key(about) {}

  Kind kind = Kind::hold;
  Key key;
  NodeId to; // ack, question, given
  Hop hop; // ack
  std::size_t side = 0; // question, given
  std::uint32_t tries = 1; // done
  Instant due{};
};

class Timers {
 public:
  /// Returns the ticket, which is never 0 and never given again.
  std::uint64_t start(Instant due, Timer timer);
  /// Forgets a timer. A ticket of none is ignored.
  void stop(std::uint64_t ticket);
  /// Null when it has expired, or was stopped.
  Timer* find(std::uint64_t ticket);
  /// Takes the earliest timer that is due.
  std::optional<Timer> next_due(Instant now);
  /// Instant::max() when there is none.
  Instant deadline() const noexcept { return due_.empty() ? Instant::max() : due_.begin()->first; }

 private:
  std::map<std::uint64_t, Timer> timers_;
  std::set<std::pair<Instant, std::uint64_t>> due_; // the same, by time
  std::uint64_t ticket_last_ = 0;
};

} // namespace trunkline::gossip

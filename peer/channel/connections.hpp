// Watches the connections of a network: counts them, closes the idle ones, evicts one for another at a limit, and sets
// the time of the next attempt after a loss.
#pragma once

#include "peer/channel/lines.hpp"
#include "peer/channel/state.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace trunkline {

class Connections {
 public:
  Connections(NetworkState& state, Lines& lines) : state_(state), lines_(lines) {}

  // Run until they are cancelled.
  awaitable<void> watch(Alive alive);
  awaitable<void> watch_idle(Alive alive);

  /// Handles all changes that the node has reported. Call it before a decision: a coroutine that waits on a connection
  /// is resumed before `watch` sees the end of that connection.
  void update();
  /// Returns after the next end of a connection.
  awaitable<void> changed() { return changed_.wait(); }

  /// Open connections of one direction, without those that this side ends. A connection that the far side drains may
  /// stay for long, and counts.
  std::uint32_t count(bool dialled) const;
  /// Ends the least recently used idle connection of one direction, but not `spared`; null when there is none.
  std::shared_ptr<Trunk> evict(bool dialled, const Trunk* spared);
  /// Begins to close a connection that only one-shot writes have used; null when it stays, because more than `own`
  /// operations are busy with it.
  std::shared_ptr<Trunk> end_one_shot(Remote& remote, std::uint32_t own);
  /// Returns when the connection is gone, at the latest at `due`.
  awaitable<void> wait_until_over(std::shared_ptr<Trunk> trunk, TimePoint due);

  void add_to(NetworkMetrics& metrics) const;

 private:
  void on_change(LinkChange change, const LinkInfo& link);
  void on_opened(Remote& far, const LinkInfo& link);
  void pace(Remote& far, const LinkInfo& link);
  bool is_idle(const LinkInfo& link, Duration for_at_least) const;
  void end(const LinkInfo& link, const std::string& reason);

  NetworkState& state_;
  Lines& lines_;
  std::uint64_t evictions_ = 0;
  std::uint64_t turned_away_ = 0;
  Signal changed_;
};

} // namespace trunkline

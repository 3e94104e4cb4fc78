// What all parts of one network share: the node, the options, the far nodes, the channels, the tasks, and the phase of
// its life.
#pragma once

#include "async/clock.hpp"
#include "async/limited_log.hpp"
#include "async/tasks.hpp"
#include "peer/channel/channels.hpp"
#include "peer/channel/link_changes.hpp"
#include "peer/channel/network.hpp"
#include "peer/channel/remotes.hpp"

#include <boost/system/system_error.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace trunkline {

/// Keeps a network, with all its parts, while a coroutine of one of them runs.
using Alive = std::shared_ptr<void>;

class NetworkState {
 public:
  enum class Phase : std::uint8_t { idle, running, stopping, closed };

  NetworkState(Executor executor, NetworkOptions options);

  const NetworkOptions& options() const noexcept { return options_; }
  AddressBook& book() noexcept { return options_.book; }
  Node& node() noexcept { return node_; }
  const Node& node() const noexcept { return node_; }
  Remotes& remotes() noexcept { return remotes_; }
  const Remotes& remotes() const noexcept { return remotes_; }
  Channels& channels() noexcept { return channels_; }
  const Channels& channels() const noexcept { return channels_; }
  LinkChanges& link_changes() noexcept { return *link_changes_; }
  /// Tasks that run on their own; joined when the network stops.
  Tasks& tasks() noexcept { return tasks_; }

  Phase phase() const noexcept { return phase_; }
  bool is_running() const noexcept { return phase_ == Phase::running; }
  void enter(Phase phase) noexcept { phase_ = phase; }

  const Executor& executor() const noexcept { return executor_; }
  TimePoint now() const noexcept { return clock_.now(); }
  /// A line that far sides can cause as often as they like; see LimitedLog.
  void log(const char* kind, LogLevel level, std::string_view text) noexcept { lines_.write(kind, level, text, now()); }
  /// Time until the next attempt to connect: doubled with each failure, and up to a quarter longer at random, so that
  /// many nodes that lost the same one do not return at once.
  Duration backoff(std::uint32_t failures) const;
  /// The result of a send whose circuit threw.
  SendResult failure_of(const Remote& remote, const boost::system::system_error& thrown) const;

 private:
  Executor executor_;
  Clock& clock_;
  NetworkOptions options_;
  LimitedLog lines_;
  Phase phase_ = Phase::idle;
  std::shared_ptr<LinkChanges> link_changes_ = std::make_shared<LinkChanges>();
  Channels channels_;
  Remotes remotes_;
  Node node_;
  Tasks tasks_;
};

/// Whether an await was cancelled.
bool is_aborted(const boost::system::system_error& thrown);

} // namespace trunkline

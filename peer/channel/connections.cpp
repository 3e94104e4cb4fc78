#include "peer/channel/connections.hpp"

#include "async/first_of.hpp"
#include "circuit/trunk.hpp"
#include "fragment/deadline.hpp"


#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace trunkline {
namespace {

constexpr Duration close_deadline = std::chrono::seconds(1); // for the far side to agree to the end of a connection

} // namespace

awaitable<void> Connections::watch(Alive alive) {
  for (;;) {
    co_await state_.link_changes().wait();
    update();
  }
}

awaitable<void> Connections::watch_idle(Alive alive) {
  const Duration timeout = in_nanoseconds(state_.options().idle_timeout);
  const Duration interval = std::max<Duration>(timeout / 4, std::chrono::milliseconds(10));
  for (;;) {
    co_await sleep_for(interval);
    for (const LinkInfo& link : state_.node().links())
      if (is_idle(link, timeout)) end(link, "it was idle");
  }
}

void Connections::update() {
  while (const std::optional<LinkChanges::Change> change = state_.link_changes().next())
    on_change(change->first, change->second);
}

void Connections::on_change(LinkChange change, const LinkInfo& link) {
  const RemotePointer far = state_.remotes().get(link.node);
  switch (change) {
    case LinkChange::opened: on_opened(*far, link); break;
    case LinkChange::draining:
      lines_.retire_all(far, link.trunk.get());
      far->end = End(error::draining, "it takes no circuits");
      pace(*far, link);
      break;
    case LinkChange::over:
      far->end = link.end;
      if (!link.draining || link.end.code) pace(*far, link); // otherwise done when it began to drain
      changed_.notify_all();
      break;
  }
  far->changed.notify_all();
}

void Connections::on_opened(Remote& far, const LinkInfo& link) {
  const NetworkOptions& options = state_.options();
  far.connected_at = far.used = state_.now();
  ++far.connections;
  far.next_attempt = TimePoint();
  far.failure = SendResult();
  far.metrics.name = link.name;
  state_.book().learn(link.node, link.addresses);
  if (link.dialled) {
    if (count(true) > options.connections_outbound_max) evict(true, link.trunk.get());
  } else if (count(false) > options.connections_inbound_max && !evict(false, link.trunk.get())) {
    ++turned_away_;
    state_.log("turned away", LogLevel::warning,
               fmt::format("connection from {} turned away: connections_inbound_max {} reached, and none is idle",
                           link.remote, options.connections_inbound_max));
    state_.node().end_link(
        link.trunk, Duration::zero(),
        End(error::draining, fmt::format("connections_inbound_max {} reached", options.connections_inbound_max)));
  }
}

/// Sets when to try again once a connection cannot be used any more. A far end that accepts a connection and ends it at
/// once is paced like one that does not answer, whatever reason it gives: being turned away is not an orderly end.
void Connections::pace(Remote& far, const LinkInfo& link) {
  if (state_.node().link_with(link.node)) return;
  const NetworkOptions& options = state_.options();
  const Duration lived = state_.now() - far.connected_at;
  const boost::system::error_code& why = link.end.code;
  const bool failed = why && why != error::node_closed && (link.dialled || why != error::draining);
  const bool brief = link.dialled && lived < in_nanoseconds(options.redial_backoff_min);
  if (link.ended_here || (!failed && !brief)) {
    far.failures = 0;
    return;
  }
  // A connection that was lost soon after it was made counts like one that could not be made.
  far.failures = lived < in_nanoseconds(options.redial_backoff_max) ? far.failures + 1 : 1;
  far.next_attempt = state_.now() + state_.backoff(far.failures);
}

std::uint32_t Connections::count(bool dialled) const {
  const std::vector<LinkInfo> links = state_.node().links();
  return static_cast<std::uint32_t>(std::count_if(links.begin(), links.end(), [dialled](const LinkInfo& link) {
    return link.dialled == dialled && !link.ended_here;
  }));
}

/// Nothing is in flight on it, the channels alone have circuits on it, and its last message is old enough.
bool Connections::is_idle(const LinkInfo& link, Duration for_at_least) const {
  const RemotePointer far = state_.remotes().find(link.node);
  if (link.ended_here || !far) return false;
  const std::size_t ours = far->lines.size() + far->retiring.size() + far->circuits_in;
  return far->busy == 0 && link.trunk->machine().circuits_count() <= ours && state_.now() - far->used >= for_at_least;
}

void Connections::end(const LinkInfo& link, const std::string& reason) {
  ++evictions_;
  state_.log("closed", LogLevel::info, fmt::format("connection with {} is closed: {}", link.remote, reason));
  const RemotePointer far = state_.remotes().get(link.node);
  state_.node().end_link(link.trunk, close_deadline, End(error::draining, reason));
  lines_.retire_all(far, link.trunk.get());
}

std::shared_ptr<Trunk> Connections::evict(bool dialled, const Trunk* spared) {
  const Duration idle_for = in_nanoseconds(state_.options().evict_idle_after);
  std::optional<LinkInfo> oldest;
  TimePoint oldest_used = TimePoint::max();
  for (const LinkInfo& link : state_.node().links()) {
    if (link.dialled != dialled || link.trunk.get() == spared || !is_idle(link, idle_for)) continue;
    const TimePoint used = state_.remotes().get(link.node)->used;
    if (used >= oldest_used) continue;
    oldest = link;
    oldest_used = used;
  }
  if (!oldest) return nullptr;
  end(*oldest, "another one needs its place");
  return oldest->trunk;
}

std::shared_ptr<Trunk> Connections::end_one_shot(Remote& remote, std::uint32_t own) {
  if (!remote.one_shot || remote.busy > own || remote.circuits_in > 0 || !remote.lines.empty()) return nullptr;
  const std::optional<LinkInfo> link = state_.node().link_with(remote.id);
  if (!link || !link->dialled) return nullptr;
  remote.one_shot = false;
  state_.node().end_link(link->trunk, close_deadline, End());
  return link->trunk;
}

awaitable<void> Connections::wait_until_over(std::shared_ptr<Trunk> trunk, TimePoint due) {
  const auto is_there = [this, &trunk] {
    const std::vector<LinkInfo> all = state_.node().links();
    return std::any_of(all.begin(), all.end(), [&trunk](const LinkInfo& open) { return open.trunk == trunk; });
  };
  while (state_.is_running() && state_.now() < due && is_there()) co_await first_of(changed(), sleep_until(due));
}

void Connections::add_to(NetworkMetrics& metrics) const {
  for (const LinkInfo& link : state_.node().links()) {
    ++(link.dialled ? metrics.connections_outbound : metrics.connections_inbound);
    PeerMetrics& peer = metrics.peers[link.node];
    peer.connected = true;
    peer.dialled = link.dialled;
    peer.remote = link.remote;
    peer.name = link.name;
  }
  metrics.evictions = evictions_;
  metrics.connections_turned_away = turned_away_;
}

} // namespace trunkline

// The part of a network that looks after connections: how many there are, which are idle, who comes and goes.
#include "circuit/trunk.hpp"
#include "peer/channel/core.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline {
namespace {

constexpr Duration close_deadline = std::chrono::seconds(1);

} // namespace

awaitable<void> NetworkCore::watch_trunks(CorePointer core) {
  const std::shared_ptr<TrunkChanges> changes = core->trunk_changes_;
  for (;;) {
    while (changes->pending.empty()) co_await changes->changed.wait();
    core->hear_links();
  }
}

void NetworkCore::hear_links() {
  while (!trunk_changes_->pending.empty()) {
    const auto [change, view] = std::move(trunk_changes_->pending.front());
    trunk_changes_->pending.pop_front();
    on_link(change, view);
  }
}

/// A far end that accepts and ends the connection at once costs what one that does not answer costs, whatever it says:
/// being turned away is no orderly end.
void NetworkCore::pace(Remote& far, const LinkInfo& view) {
  if (node_.link_with(view.node)) return;
  const Duration lived = now() - far.connected_at;
  const boost::system::error_code& why = view.end.code;
  const bool failed = why && why != error::node_closed && (view.dialled || why != error::draining);
  const bool brief = view.dialled && lived < options_.redial_backoff_min;
  if (view.ended_here || (!failed && !brief)) {
    far.failures = 0;
    return;
  }
  // One that was lost soon after it was made counts like one that could not be made.
  far.failures = lived < options_.redial_backoff_max ? far.failures + 1 : 1;
  far.next_attempt = now() + backoff(far.failures);
}

void NetworkCore::on_link(LinkChange change, const LinkInfo& view) {
  const RemotePointer far = remote(view.node);
  switch (change) {
    case LinkChange::opened:
      far->connected_at = far->used = now();
      ++far->connections;
      far->next_attempt = TimePoint();
      far->failure = SendResult();
      far->metrics.name = view.name;
      options_.book.learn(view.node, view.addresses);
      if (view.dialled) {
        if (connections(true) > options_.connections_outbound_max) evict(true, view.trunk.get());
      } else if (connections(false) > options_.connections_inbound_max && !evict(false, view.trunk.get())) {
        ++turned_away_;
        log(LogLevel::warning,
            fmt::format("connection from {} turned away: connections_inbound_max {} reached, and none is idle",
                        view.remote, options_.connections_inbound_max));
        node_.end_link(
            view.trunk, Duration::zero(),
            End(error::draining, fmt::format("connections_inbound_max {} reached", options_.connections_inbound_max)));
      }
      break;
    case LinkChange::draining:
      for (const auto& [name, line] : std::map(far->lines))
        if (line->circuit.trunk() == view.trunk) retire(far, line);
      far->end = End(error::draining, "it takes no circuits");
      pace(*far, view);
      break;
    case LinkChange::over:
      far->end = view.end;
      if (!view.draining || view.end.code) pace(*far, view); // else it was seen when it began to drain
      connections_changed_.notify_all();
      break;
  }
  far->changed.notify_all();
}

/// Those that we end make room; what the far side drains stays as long as it likes, and counts.
std::uint32_t NetworkCore::connections(bool dialled) const {
  const std::vector<LinkInfo> trunks = node_.links();
  return static_cast<std::uint32_t>(std::count_if(trunks.begin(), trunks.end(), [dialled](const LinkInfo& view) {
    return view.dialled == dialled && !view.ended_here;
  }));
}

/// Nothing is under way on it, nobody but us has circuits on it, and its last message was so long ago.
bool NetworkCore::is_idle(const LinkInfo& view, Duration for_at_least) const {
  const auto found = remotes_.find(view.node);
  if (view.ended_here || found == remotes_.end()) return false;
  const Remote& far = *found->second;
  const std::size_t ours = far.lines.size() + far.retiring.size() + far.circuits_in;
  return far.busy == 0 && view.trunk->machine().circuits_count() <= ours && now() - far.used >= for_at_least;
}

void NetworkCore::end_connection(const LinkInfo& view, const std::string& reason) {
  ++evictions_;
  log(LogLevel::info, fmt::format("connection with {} is closed: {}", view.remote, reason));
  const RemotePointer far = remote(view.node);
  node_.end_link(view.trunk, close_deadline, End(error::draining, reason));
  for (const auto& [name, line] : std::map(far->lines))
    if (line->circuit.trunk() == view.trunk) retire(far, line);
}

std::shared_ptr<Trunk> NetworkCore::evict(bool dialled, const Trunk* spared) {
  std::optional<LinkInfo> oldest;
  TimePoint oldest_used = TimePoint::max();
  for (const LinkInfo& view : node_.links()) {
    if (view.dialled != dialled || view.trunk.get() == spared || !is_idle(view, options_.evict_idle_after)) continue;
    const TimePoint used = remotes_.at(view.node)->used;
    if (used >= oldest_used) continue;
    oldest = view;
    oldest_used = used;
  }
  if (!oldest) return nullptr;
  end_connection(*oldest, "another one needs its place");
  return oldest->trunk;
}

awaitable<void> NetworkCore::watch_idle(CorePointer core) {
  const Duration interval = std::max<Duration>(core->options_.idle_timeout / 4, std::chrono::milliseconds(10));
  for (;;) {
    co_await sleep_for(interval);
    for (const LinkInfo& view : core->node_.links())
      if (core->is_idle(view, core->options_.idle_timeout)) core->end_connection(view, "it was idle");
  }
}

} // namespace trunkline

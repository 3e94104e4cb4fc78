// The part of a network that makes connections by need: one attempt for all who wait, later and later after a failure.
#include "async/within.hpp"
#include "circuit/trunk.hpp"
#include "peer/channel/core.hpp"
#include "fragment/quote.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline {
namespace {

using namespace asio::experimental::awaitable_operators;
using boost::system::system_error;

} // namespace

std::uint64_t NetworkCore::random() const { return options_.node.random(); }

std::optional<NodeId> NetworkCore::connected_at(const std::string& address, bool also_draining) const {
  for (const LinkInfo& view : node_.links()) {
    if (view.draining && !also_draining) continue;
    const std::vector<std::string> known = options_.book.find(view.node);
    if (view.remote == address || std::find(known.begin(), known.end(), address) != known.end()) return view.node;
  }
  return std::nullopt;
}

awaitable<NodeId> NetworkCore::connect(CorePointer core, std::string address) {
  if (core->phase_ != Phase::running)
    throw_error(error::node_closed, quote(address) + " cannot be dialled: this network is not running");
  std::optional<NodeId> node = core->connected_at(address, false);
  if (node) co_return *node;
  if (!core->has_room_to_dial())
    throw_error(error::connect_failed,
                fmt::format("{} is not dialled: connections_outbound_max {} reached, and none is idle", quote(address),
                            core->options_.connections_outbound_max));
  ++core->dialling_;
  struct Dialling {
    NetworkCore& core;
    ~Dialling() { --core.dialling_; }
  } const dialling{*core};
  const bool made = co_await core->node_.dial(address);
  core->dials_ += made;
  node = core->connected_at(address, true);
  if (!node) throw_error(error::connect_failed, "the connection to " + quote(address) + " was lost at once");
  core->book().add_if_room(*node, address);
  core->remote(*node)->one_shot = false; // it is wanted
  co_return *node;
}

awaitable<SendResult> NetworkCore::ensure_connected(CorePointer core, RemotePointer remote, bool patient) {
  for (;;) {
    if (core->phase_ != Phase::running) co_return SendResult(SendError::closed, "this network stops");
    core->hear_links();
    if (core->node_.link_with(remote->id)) co_return SendResult();
    if (!remote->connecting && core->now() < remote->next_attempt && !core->has_new_address(*remote)) {
      if (!remote->failure) {
        SendResult again = remote->failure;
        again.text += "; not tried again yet";
        co_return again;
      }
      co_await (remote->changed.wait() || sleep_until(remote->next_attempt)); // after a loss
      continue;
    }
    if (!std::exchange(remote->connecting, true)) core->tasks_.spawn(connect_remote(core, remote));
    while (remote->connecting && core->phase_ == Phase::running && !core->node_.link_with(remote->id))
      co_await remote->changed.wait();
    if (core->phase_ != Phase::running || remote->connecting || remote->failure) continue;
    if (!patient || remote->failure.error != SendError::connection_limit) co_return remote->failure;
    const Duration look_again = std::max<Duration>(core->options_.evict_idle_after / 4, std::chrono::milliseconds(10));
    co_await (core->connections_changed_.wait() || sleep_for(look_again));
  }
}

bool NetworkCore::has_new_address(const Remote& remote) const {
  if (remote.failure) return false; // it is a loss that is waited for, and the addresses are good
  const std::vector<std::string>& before = remote.addresses_before;
  const std::vector<std::string> known = options_.book.find(remote.id);
  return std::any_of(known.begin(), known.end(), [&before](const std::string& address) {
    return std::find(before.begin(), before.end(), address) == before.end();
  });
}

/// One attempt for all who wait. It goes on when one of them is cancelled.
awaitable<void> NetworkCore::connect_remote(CorePointer core, RemotePointer remote) {
  struct Connecting {
    Remote& remote;
    ~Connecting() {
      remote.connecting = false;
      remote.changed.notify_all();
    }
  };
  const Connecting connecting{*remote};
  Attempt attempt = co_await try_addresses(core, remote);
  if (!attempt.result && attempt.cost && core->now() >= remote->next_attempt) { // else it is counted as a loss
    ++remote->failures;
    remote->next_attempt = core->now() + core->backoff(remote->failures);
  }
  remote->failure = std::move(attempt.result);
  if (!remote->failure) remote->addresses_before = core->options_.book.find(remote->id);
  core->end_one_shot(*remote, 0); // nobody waits for it any more
}

bool NetworkCore::has_room_to_dial() {
  while (connections(true) + dialling_ >= options_.connections_outbound_max)
    if (!evict(true, nullptr)) return false;
  return true;
}

/// Doubled with each failure, and up to a quarter more, so that many who lost the same node do not come back at once.
Duration NetworkCore::backoff(std::uint32_t failures) const {
  Duration wait = options_.redial_backoff_min;
  for (std::uint32_t i = 1; i < failures && wait < options_.redial_backoff_max; ++i) wait *= 2;
  wait = std::min<Duration>(wait, options_.redial_backoff_max);
  return wait + wait / 4 * static_cast<int>(random() % 256) / 256;
}

awaitable<NetworkCore::Attempt> NetworkCore::try_addresses(CorePointer core, RemotePointer remote) {
  Attempt attempt;
  std::vector<std::string> addresses = core->options_.book.find(remote->id);
  if (addresses.empty() && core->options_.resolver) {
    attempt.cost = true;
    try {
      addresses = co_await within(core->options_.node.connect_deadline, core->options_.resolver->resolve(remote->id));
    } catch (...) {
      core->log(LogLevel::warning,
                fmt::format("{} cannot be resolved: {}", node_text(remote->id), words_of(std::current_exception())));
    }
  }
  if (core->node_.link_with(remote->id)) co_return attempt; // it was faster
  if (addresses.empty()) {
    attempt.result = SendResult(SendError::unknown_node, node_text(remote->id) + " has no known address");
    co_return attempt;
  }
  if (!core->has_room_to_dial()) {
    attempt.result = SendResult(SendError::connection_limit,
                                fmt::format("{}: connections_outbound_max {} reached, and none is idle",
                                            node_text(remote->id), core->options_.connections_outbound_max));
    co_return attempt;
  }
  ++core->dialling_;
  struct Dialling {
    NetworkCore& core;
    ~Dialling() { --core.dialling_; }
  };
  const Dialling dialling{*core};
  for (const std::string& address : addresses) {
    const std::uint64_t connections_before = remote->connections;
    const Outcome<bool> dialled = co_await outcome_of(core->node_.dial(address));
    core->hear_links();
    if (dialled.failure) {
      attempt.result = core->dial_failed(*remote, dialled.failure);
      attempt.cost = true;
      continue;
    }
    core->dials_ += *dialled.value;
    remote->metrics.dials += *dialled.value;
    attempt.cost = attempt.cost || *dialled.value;
    if (core->node_.link_with(remote->id)) {
      attempt.result = SendResult();
      co_return attempt;
    }
    if (remote->connections == connections_before) {
      attempt.result = SendResult(SendError::wrong_node,
                                  fmt::format("{}: another node answers at {}", node_text(remote->id), quote(address)));
    } else {
      attempt.result = SendResult(SendError::connect_failed,
                                  fmt::format("{}: the connection to {} ended at once: {}", node_text(remote->id),
                                              quote(address), remote->end.to_string()));
    }
  }
  co_return attempt;
}

SendResult NetworkCore::dial_failed(Remote& remote, const std::exception_ptr& failure) {
  bool itself = false;
  try {
    std::rethrow_exception(failure);
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) throw;
    itself = thrown.code() == error::dialled_self;
  } catch (...) {
    // A network of the application's own may throw anything.
  }
  ++dials_;
  ++remote.metrics.dials;
  return {itself ? SendError::wrong_node : SendError::connect_failed, node_text(remote.id) + ": " + words_of(failure)};
}

} // namespace trunkline

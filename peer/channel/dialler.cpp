#include "peer/channel/dialler.hpp"

#include "async/within.hpp"
#include "circuit/trunk.hpp"
#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace trunkline {

using namespace asio::experimental::awaitable_operators;
using boost::system::system_error;

/// Counts an outbound connection in flight: it takes one of the places before it is a link.
class Dialler::Dialling {
 public:
  explicit Dialling(Dialler& dialler) : dialler_(dialler) { ++dialler_.dialling_; }
  Dialling(const Dialling&) = delete;
  Dialling& operator=(const Dialling&) = delete;
  ~Dialling() { --dialler_.dialling_; }

 private:
  Dialler& dialler_;
};

std::optional<NodeId> Dialler::connected_at(const std::string& address, bool also_draining) {
  for (const LinkInfo& link : state_.node().links()) {
    if (link.draining && !also_draining) continue;
    const std::vector<std::string> known = state_.book().find(link.node);
    if (link.remote == address || std::find(known.begin(), known.end(), address) != known.end()) return link.node;
  }
  return std::nullopt;
}

awaitable<NodeId> Dialler::connect(Alive alive, std::string address) {
  if (!state_.is_running())
    throw_error(error::node_closed, quote(address) + " cannot be dialled: this network is not running");
  std::optional<NodeId> node = connected_at(address, false);
  if (node) co_return *node;
  if (!make_room())
    throw_error(error::connect_failed,
                fmt::format("{} is not dialled: connections_outbound_max {} reached, and none is idle", quote(address),
                            state_.options().connections_outbound_max));
  const Dialling dialling(*this);
  const bool made = co_await state_.node().dial(address);
  dials_ += made;
  node = connected_at(address, true);
  if (!node) throw_error(error::connect_failed, "the connection to " + quote(address) + " was lost at once");
  state_.book().add_if_room(*node, address);
  state_.remotes().get(*node)->one_shot = false; // asked for by name: it stays
  co_return *node;
}

awaitable<SendResult> Dialler::ensure_connected(Alive alive, RemotePointer remote, bool patient) {
  for (;;) {
    if (!state_.is_running()) co_return SendResult(SendError::closed, "this network stops");
    connections_.update();
    if (state_.node().link_with(remote->id)) co_return SendResult();
    if (!remote->connecting && state_.now() < remote->next_attempt && !has_new_address(*remote)) {
      if (!remote->failure) {
        SendResult again = remote->failure;
        again.text += "; not tried again yet";
        co_return again;
      }
      co_await (remote->changed.wait() || sleep_until(remote->next_attempt)); // after a loss
      continue;
    }
    if (!std::exchange(remote->connecting, true)) state_.tasks().spawn(attempt(alive, remote));
    while (remote->connecting && state_.is_running() && !state_.node().link_with(remote->id))
      co_await remote->changed.wait();
    if (!state_.is_running() || remote->connecting || remote->failure) continue;
    if (!patient || remote->failure.error != SendError::connection_limit) co_return remote->failure;
    const Duration look_again =
        std::max<Duration>(in_nanoseconds(state_.options().evict_idle_after) / 4, std::chrono::milliseconds(10));
    co_await (connections_.changed() || sleep_for(look_again));
  }
}

/// Whether the book has an address that it did not have when the last attempt failed.
bool Dialler::has_new_address(const Remote& remote) {
  if (remote.failure) return false; // after a loss: the addresses are good
  const std::vector<std::string>& before = remote.addresses_before;
  const std::vector<std::string> known = state_.book().find(remote.id);
  return std::any_of(known.begin(), known.end(), [&before](const std::string& address) {
    return std::find(before.begin(), before.end(), address) == before.end();
  });
}

/// One attempt for all senders that wait. It goes on when one of them is cancelled.
awaitable<void> Dialler::attempt(Alive alive, RemotePointer remote) {
  struct Connecting {
    Remote& remote;
    ~Connecting() {
      remote.connecting = false;
      remote.changed.notify_all();
    }
  };
  const Connecting connecting{*remote};
  Attempt outcome = co_await try_addresses(remote);
  if (!outcome.result && outcome.cost && state_.now() >= remote->next_attempt) { // otherwise counted as a loss
    ++remote->failures;
    remote->next_attempt = state_.now() + state_.backoff(remote->failures);
  }
  remote->failure = std::move(outcome.result);
  if (!remote->failure) remote->addresses_before = state_.book().find(remote->id);
  connections_.end_one_shot(*remote, 0); // its senders may all have given up
}

bool Dialler::make_room() {
  while (connections_.count(true) + dialling_ >= state_.options().connections_outbound_max)
    if (!connections_.evict(true, nullptr)) return false;
  return true;
}

awaitable<Dialler::Attempt> Dialler::try_addresses(RemotePointer remote) {
  const NetworkOptions& options = state_.options();
  Attempt attempt;
  std::vector<std::string> addresses = state_.book().find(remote->id);
  if (addresses.empty() && options.resolver) {
    attempt.cost = true;
    try {
      addresses = co_await within(in_nanoseconds(options.node.connect_deadline), options.resolver->resolve(remote->id));
    } catch (...) {
      state_.log("dial", LogLevel::warning,
                 fmt::format("{} cannot be resolved: {}", node_text(remote->id), words_of(std::current_exception())));
    }
  }
  if (state_.node().link_with(remote->id)) co_return attempt; // the far node has dialled meanwhile
  if (addresses.empty()) {
    attempt.result = SendResult(SendError::unknown_node, node_text(remote->id) + " has no known address");
    co_return attempt;
  }
  if (!make_room()) {
    attempt.result =
        SendResult(SendError::connection_limit, fmt::format("{}: connections_outbound_max {} reached, and none is idle",
                                                            node_text(remote->id), options.connections_outbound_max));
    co_return attempt;
  }
  const Dialling dialling(*this);
  for (const std::string& address : addresses) {
    const std::uint64_t connections_before = remote->connections;
    const Outcome<bool> dialled = co_await outcome_of(state_.node().dial(address));
    connections_.update();
    if (dialled.failure) {
      attempt.result = dial_failed(*remote, dialled.failure);
      attempt.cost = true;
      continue;
    }
    dials_ += *dialled.value;
    remote->metrics.dials += *dialled.value;
    attempt.cost = attempt.cost || *dialled.value;
    if (state_.node().link_with(remote->id)) {
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

SendResult Dialler::dial_failed(Remote& remote, const std::exception_ptr& failure) {
  bool itself = false;
  try {
    std::rethrow_exception(failure);
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) throw;
    itself = thrown.code() == error::dialled_self;
  } catch (...) {
    // A medium of the application's own may throw anything.
  }
  ++dials_;
  ++remote.metrics.dials;
  return {itself ? SendError::wrong_node : SendError::connect_failed, node_text(remote.id) + ": " + words_of(failure)};
}

} // namespace trunkline

// The part of a network that sends: connections by need, a circuit per node and channel, deadlines, acks, broadcasts.
#include "async/within.hpp"
#include "circuit/live_trunk.hpp"
#include "peer/network_core.hpp"
#include "peer/quote.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::net {
namespace {

using namespace asio::experimental::awaitable_operators;
using boost::system::system_error;

constexpr std::size_t taken_recently_max = 256;
constexpr Duration close_deadline = std::chrono::seconds(1); // for the far side to agree to the end of a connection

bool is_aborted(const system_error& thrown) { return thrown.code() == asio::error::operation_aborted; }

std::string node_text(const NodeId& node) { return "node " + node.to_string(); }

Fragment fragment_of(std::int32_t op, std::int64_t number, Message& message) {
  Fragment fragment(op);
  fragment.part = number;
  fragment.payload = message.payload.slice(0, message.payload.size()); // a large one is shared, for another attempt
  fragment.args = message.metadata;
  return fragment;
}

} // namespace

// Results.

SendResult NetworkCore::note(Remote& remote, ChannelState& channel, std::size_t bytes, SendResult result) {
  for (Traffic* const traffic : {static_cast<Traffic*>(&remote.metrics), &channel.traffic}) {
    if (result) {
      ++traffic->messages_sent;
      traffic->bytes_sent += bytes;
    } else {
      ++traffic->send_failures[static_cast<std::size_t>(result.error)];
    }
  }
  remote.used = now();
  return result;
}

SendResult NetworkCore::failure_of(const Remote& remote, const system_error& thrown) const {
  const std::string text = node_text(remote.id) + ": " + trunkline::text_of(thrown);
  if (phase_ != Phase::running) return {SendError::closed, "this network stops; " + text};
  if (thrown.code() == error::fragment_too_large) return {SendError::too_large, text};
  if (thrown.code() == error::no_service) return {SendError::unknown_channel, text};
  if (thrown.code() == error::circuit_limit_reached) return {SendError::connection_limit, text};
  if (thrown.code() == error::timed_out) return {SendError::timed_out, text};
  return {SendError::connection_lost, text};
}

// Sending.

awaitable<SendResult> NetworkCore::send(CorePointer core, std::shared_ptr<ChannelState> channel, NodeId to,
                                        Message message, Duration deadline, Kind kind) {
  if (core->phase_ != Phase::running)
    co_return SendResult(SendError::closed,
                         core->phase_ == Phase::idle ? "this network is not started" : "this network stops");
  if (to == core->node_.id() || to.empty())
    co_return SendResult(to.empty() ? SendError::unknown_node : SendError::itself,
                         node_text(to) + " cannot be sent to");
  const RemotePointer remote = core->remote(to);
  const std::size_t bytes = message.payload.size();

  // Most messages find their circuit open and with credit: nothing waits, and no timer is set.
  if (const std::shared_ptr<Line> line = kind == Kind::pooled ? core->usable_line(*remote, *channel) : nullptr;
      line && remote->metrics.queue_bytes == 0 && !line->circuit.congested()) {
    Fragment fragment(op_message);
    fragment.payload = std::move(message.payload);
    fragment.args = std::move(message.metadata);
    SendResult result;
    SendOutcome outcome = SendOutcome::no_credit;
    try {
      outcome = line->circuit.send_one_way(fragment);
    } catch (const system_error& thrown) {
      result = core->failure_of(*remote, thrown);
    }
    if (outcome == SendOutcome::taken) {
      ++core->reuses_;
      ++remote->metrics.reuses;
    }
    if (outcome == SendOutcome::taken || !result) co_return core->note(*remote, *channel, bytes, std::move(result));
    message.payload = std::move(fragment.payload);
    message.metadata = std::move(fragment.args);
  }

  const std::size_t queued = remote->metrics.queue_bytes;
  if (queued > 0 && queued + bytes > core->options_.queue_bytes_max)
    co_return core->note(*remote, *channel, bytes,
                         SendResult(SendError::queue_full,
                                    fmt::format("{}: {} bytes wait already, and {} more exceed queue_bytes_max {}",
                                                node_text(to), queued, bytes, core->options_.queue_bytes_max)));
  struct Sending {
    NetworkCore& core;
    Remote& remote;
    ChannelState& channel;
    std::size_t bytes;
    Sending(NetworkCore& of, Remote& far, ChannelState& on, std::size_t size)
        : core(of), remote(far), channel(on), bytes(size) {
      ++core.sends_running_;
      ++remote.busy;
      remote.metrics.queue_bytes += bytes;
      channel.traffic.queue_bytes += bytes;
    }
    Sending(const Sending&) = delete;
    ~Sending() {
      --core.sends_running_;
      --remote.busy;
      remote.metrics.queue_bytes -= bytes;
      channel.traffic.queue_bytes -= bytes;
      core.sends_changed_.notify_all();
    }
  };
  const Sending sending(*core, *remote, *channel, bytes);
  if (kind != Kind::one_shot) {
    remote->one_shot = false;
  } else if (!remote->connecting && !core->node_.trunk_with(to)) {
    remote->one_shot = true;
  }
  if (core->node_.trunk_with(to)) {
    ++core->reuses_;
    ++remote->metrics.reuses;
  }
  if (deadline <= Duration::zero()) deadline = core->options_.send_deadline;
  SendResult result;
  try {
    result = co_await within(deadline, send_waiting(core, channel, remote, std::move(message), kind));
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) throw;
    result = core->failure_of(*remote, thrown);
  }
  if (kind == Kind::one_shot) co_await close_one_shot(core, remote);
  co_return core->note(*remote, *channel, bytes, std::move(result));
}

awaitable<SendResult> NetworkCore::send_waiting(CorePointer core, std::shared_ptr<ChannelState> channel,
                                                RemotePointer remote, Message message, Kind kind) {
  for (;;) {
    SendResult result = co_await ensure_connected(core, remote);
    if (!result) co_return result;
    if (kind == Kind::one_shot) {
      result = co_await write_once(core, channel, remote, std::move(message));
      co_return result;
    }
    bool again = false;
    result = co_await send_on_line(core, channel, remote, message, kind, again);
    if (!again) co_return result;
  }
}

/// Sets `again` when nothing was sent and another connection may do better.
awaitable<SendResult> NetworkCore::send_on_line(CorePointer core, std::shared_ptr<ChannelState> channel,
                                                RemotePointer remote, Message message, Kind kind, bool& again) {
  std::shared_ptr<Line> line = core->usable_line(*remote, *channel);
  if (!line) {
    const auto found = remote->lines.find(channel->name);
    if (found != remote->lines.end()) core->retire(remote, std::shared_ptr<Line>(found->second));
    const auto before = remote->retiring.find(channel->name);
    if (before != remote->retiring.end()) {
      // What was sent on the circuit before comes first.
      const std::shared_ptr<Line> retiring = before->second;
      while (!retiring->ended) co_await retiring->changed.wait();
      again = true;
      co_return SendResult();
    }
  }
  SendResult result;
  std::int64_t number = 0;
  struct Waiting {
    std::shared_ptr<Line> line;
    std::int64_t number = 0;
    ~Waiting() {
      if (line) line->waiting.erase(number);
    }
  } waiting;
  try {
    if (!line) line = core->open_line(remote, *channel);
    if (kind == Kind::acked) {
      if (line->waiting.size() >= core->options_.acks_outstanding_max)
        co_return SendResult(SendError::queue_full,
                             fmt::format("{}: acks_outstanding_max {} messages wait for their ack",
                                         node_text(remote->id), core->options_.acks_outstanding_max));
      number = ++line->number_last;
      line->waiting.emplace(number, false);
      waiting.line = line;
      waiting.number = number;
    }
    Fragment fragment = fragment_of(kind == Kind::acked ? op_acked : op_message, number, message);
    co_await line->circuit.send(std::move(fragment));
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) throw;
    result = core->failure_of(*remote, thrown);
    again = result.error == SendError::connection_lost;
    if (again && line) line->over = true;
    co_return result;
  }
  if (kind == Kind::acked) result = co_await wait_for_ack(core, remote, line, number);
  co_return result;
}

awaitable<SendResult> NetworkCore::wait_for_ack(CorePointer core, RemotePointer remote, std::shared_ptr<Line> line,
                                                std::int64_t number) {
  for (;;) {
    if (line->waiting[number]) co_return SendResult();
    if (line->ended) {
      const bool unknown = line->end.code == error::no_service;
      const bool stops = core->phase_ != Phase::running;
      co_return SendResult(stops     ? SendError::closed
                           : unknown ? SendError::unknown_channel
                                     : SendError::connection_lost,
                           fmt::format("{}: no ack: {}", node_text(remote->id), line->end.to_string()));
    }
    co_await line->changed.wait();
  }
}

void NetworkCore::on_ack(Line& line, std::int64_t number) {
  const auto found = line.waiting.find(number);
  if (found != line.waiting.end() && !found->second) {
    found->second = true;
    ++acks_.taken;
    line.taken_recently.push_back(number);
    if (line.taken_recently.size() > taken_recently_max) line.taken_recently.pop_front();
    line.changed.notify_all();
  } else if (std::find(line.taken_recently.begin(), line.taken_recently.end(), number) != line.taken_recently.end()) {
    ++acks_.duplicate;
  } else if (number >= 1 && number <= line.number_last) {
    ++acks_.late;
  } else {
    ++acks_.unknown;
  }
}

// Lines.

std::shared_ptr<Line> NetworkCore::usable_line(Remote& remote, const ChannelState& channel) const {
  const auto found = remote.lines.find(channel.name);
  if (found == remote.lines.end()) return nullptr;
  const Line& line = *found->second;
  const Trunk& machine = line.circuit.trunk()->machine();
  return line.over || !line.circuit.is_open() || machine.draining() || machine.over() ? nullptr : found->second;
}

std::shared_ptr<Line> NetworkCore::open_line(const RemotePointer& remote, const ChannelState& channel) {
  CircuitOptions options(channel.name);
  auto line = std::make_shared<Line>(
      peer_->prefer_extant("node://" + remote->id.to_string(), network_service, std::nullopt, std::move(options)));
  remote->lines[channel.name] = line;
  tasks_.spawn(read_line(shared_from_this(), remote, channel.name, line));
  return line;
}

/// What was sent on it arrives first; its reader sees the far side agree.
void NetworkCore::retire(const RemotePointer& remote, const std::shared_ptr<Line>& line) {
  for (auto entry = remote->lines.begin(); entry != remote->lines.end(); ++entry) {
    if (entry->second != line) continue;
    line->over = true;
    if (!line->ended) remote->retiring[entry->first] = line;
    remote->lines.erase(entry);
    if (line->circuit.is_open()) line->circuit.finish();
    return;
  }
}

/// Hears acks and the end of a line.
awaitable<void> NetworkCore::read_line(CorePointer core, RemotePointer remote, std::string channel,
                                       std::shared_ptr<Line> line) {
  struct Ending {
    Remote& remote;
    const std::string& channel;
    Line& line;
    ~Ending() {
      line.over = line.ended = true;
      for (auto* const lines : {&remote.lines, &remote.retiring})
        if (const auto found = lines->find(channel); found != lines->end() && found->second.get() == &line)
          lines->erase(found);
      line.changed.notify_all();
      remote.changed.notify_all();
    }
  };
  const Ending ending{*remote, channel, *line};
  try {
    for (;;) {
      const std::optional<Fragment> fragment = co_await line->circuit.receive();
      if (!fragment) break;
      if (fragment->op == op_ack) {
        core->on_ack(*line, fragment->part);
      } else {
        ++remote->metrics.drops;
      }
    }
    line->over = true; // whoever hears nothing more from us has given it up
    line->circuit.close();
    line->end = co_await line->circuit.ended();
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) throw;
    line->end = End(thrown.code(), trunkline::text_of(thrown));
    if (thrown.code() == error::no_service) {
      ++remote->metrics.send_failures[static_cast<std::size_t>(SendError::unknown_channel)];
      core->log(LogLevel::info, fmt::format("{}: {}", node_text(remote->id), line->end.to_string()));
    }
  }
}

// One shot.

awaitable<SendResult> NetworkCore::write_once(CorePointer core, std::shared_ptr<ChannelState> channel,
                                              RemotePointer remote, Message message) {
  SendResult result;
  try {
    CircuitOptions options(channel->name);
    Circuit circuit = core->peer_->prefer_extant("node://" + remote->id.to_string(), network_service,
                                                 fragment_of(op_message, 0, message), std::move(options));
    circuit.finish();
    co_await circuit.finish_acknowledged();
    const std::optional<Fragment> nothing = co_await circuit.receive(); // its end
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) throw;
    result = core->failure_of(*remote, thrown);
  }
  co_return result;
}

awaitable<void> NetworkCore::close_one_shot(CorePointer core, RemotePointer remote) {
  if (!remote->one_shot || remote->busy > 1 || remote->circuits_in > 0 || !remote->lines.empty()) co_return;
  const std::optional<TrunkView> view = core->node_.trunk_with(remote->id);
  if (!view || !view->dialled) co_return;
  remote->one_shot = false;
  core->node_.end_trunk(view->trunk, close_deadline, End());
  const auto is_there = [&core, &view] {
    const std::vector<TrunkView> all = core->node_.trunks();
    return std::any_of(all.begin(), all.end(), [&view](const TrunkView& open) { return open.trunk == view->trunk; });
  };
  while (core->phase_ == Phase::running && is_there()) co_await core->connections_changed_.wait();
}

// Connecting.

awaitable<SendResult> NetworkCore::ensure_connected(CorePointer core, RemotePointer remote) {
  for (;;) {
    if (core->phase_ != Phase::running) co_return SendResult(SendError::closed, "this network stops");
    if (core->node_.trunk_with(remote->id)) co_return SendResult();
    if (!remote->connecting && core->now() < remote->next_attempt) {
      if (!remote->failure) {
        SendResult again = remote->failure;
        again.text += "; not tried again yet";
        co_return again;
      }
      co_await (remote->changed.wait() || sleep_until(remote->next_attempt)); // after a loss
      continue;
    }
    if (!std::exchange(remote->connecting, true)) core->tasks_.spawn(connect_remote(core, remote));
    while (remote->connecting && core->phase_ == Phase::running && !core->node_.trunk_with(remote->id))
      co_await remote->changed.wait();
    if (core->phase_ == Phase::running && !remote->connecting && !remote->failure) co_return remote->failure;
  }
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
  SendResult result = co_await try_addresses(core, remote);
  if (!result) {
    ++remote->failures;
    remote->next_attempt = core->now() + core->backoff(remote->failures);
  }
  remote->failure = std::move(result);
}

/// Doubled with each failure, and up to a quarter more, so that many who lost the same node do not come back at once.
Duration NetworkCore::backoff(std::uint32_t failures) const {
  Duration wait = options_.redial_backoff_min;
  for (std::uint32_t i = 1; i < failures && wait < options_.redial_backoff_max; ++i) wait *= 2;
  wait = std::min<Duration>(wait, options_.redial_backoff_max);
  return wait + wait / 4 * static_cast<int>(random() % 256) / 256;
}

awaitable<SendResult> NetworkCore::try_addresses(CorePointer core, RemotePointer remote) {
  std::vector<std::string> addresses = core->options_.book.find(remote->id);
  if (addresses.empty() && core->options_.resolver) {
    try {
      addresses = co_await within(core->options_.node.connect_deadline, core->options_.resolver->resolve(remote->id));
    } catch (const std::exception& failure) {
      core->log(LogLevel::warning, fmt::format("{} cannot be resolved: {}", node_text(remote->id), failure.what()));
    }
  }
  if (core->node_.trunk_with(remote->id)) co_return SendResult(); // it was faster
  if (addresses.empty()) co_return SendResult(SendError::unknown_node, node_text(remote->id) + " has no known address");

  while (core->connections(true) + core->dialling_ >= core->options_.connections_outbound_max) {
    const std::shared_ptr<LiveTrunk> evicted = core->evict(true, nullptr);
    if (!evicted)
      co_return SendResult(SendError::connection_limit,
                           fmt::format("{}: connections_outbound_max {} reached, and none is idle",
                                       node_text(remote->id), core->options_.connections_outbound_max));
  }
  ++core->dialling_;
  struct Dialling {
    NetworkCore& core;
    ~Dialling() { --core.dialling_; }
  };
  const Dialling dialling{*core};
  SendResult result;
  for (const std::string& address : addresses) {
    try {
      const bool dialled = co_await core->node_.dial(address);
      core->dials_ += dialled;
      remote->metrics.dials += dialled;
      if (core->node_.trunk_with(remote->id)) co_return SendResult();
      result = SendResult(SendError::wrong_node,
                          fmt::format("{}: another node answers at {}", node_text(remote->id), quote(address)));
    } catch (const system_error& thrown) {
      if (is_aborted(thrown)) throw;
      ++core->dials_;
      ++remote->metrics.dials;
      const bool itself = thrown.code() == error::dialled_self;
      result = SendResult(itself ? SendError::wrong_node : SendError::connect_failed,
                          node_text(remote->id) + ": " + trunkline::text_of(thrown));
    }
  }
  co_return result;
}

// Broadcasts.

struct NetworkCore::Broadcast {
  std::shared_ptr<ChannelState> channel;
  std::vector<NodeId> to;
  Message message;
  Kind kind;
  TimePoint due;
  std::vector<SendResult> results;
  std::size_t next = 0;
};

awaitable<std::vector<SendResult>> NetworkCore::broadcast(CorePointer core, std::shared_ptr<ChannelState> channel,
                                                          std::vector<NodeId> to, Message message,
                                                          BroadcastOptions options) {
  if (options.deadline <= Duration::zero()) options.deadline = core->options_.send_deadline;
  if (options.concurrency == 0) options.concurrency = std::max<std::size_t>(1, core->options_.broadcast_concurrency);
  const auto all = std::make_shared<Broadcast>();
  all->channel = std::move(channel);
  all->results.resize(to.size());
  all->to = std::move(to);
  all->message = std::move(message);
  all->kind = options.acked ? Kind::acked : Kind::pooled;
  all->due = core->now() + options.deadline;
  Tasks tasks(core->executor_); // goes when this is cancelled, and they with it
  for (std::size_t i = 0; i < std::min(options.concurrency, all->to.size()); ++i)
    tasks.spawn(broadcast_some(core, all));
  co_await tasks.join();
  co_return std::move(all->results);
}

awaitable<void> NetworkCore::broadcast_some(CorePointer core, std::shared_ptr<Broadcast> all) {
  while (all->next < all->to.size()) {
    const std::size_t mine = all->next++;
    const Duration left = all->due - core->now();
    if (left <= Duration::zero()) {
      all->results[mine] =
          SendResult(SendError::timed_out, node_text(all->to[mine]) + ": the deadline passed before its turn");
      ++all->channel->traffic.send_failures[static_cast<std::size_t>(SendError::timed_out)];
      continue;
    }
    Message copy(all->message.payload.slice(0, all->message.payload.size()), all->message.metadata);
    all->results[mine] = co_await send(core, all->channel, all->to[mine], std::move(copy), left, all->kind);
  }
}

} // namespace trunkline::net

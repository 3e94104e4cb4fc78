// The part of a network that receives: circuits of others, their messages, processors, acks.
#include "async/within.hpp"
#include "circuit/trunk.hpp"
#include "peer/channel/core.hpp"
#include "fragment/quote.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace trunkline {
namespace {

constexpr std::size_t unknown_channels_logged_max = 256;

/// A circuit's turn to give what it has to the processor of its channel. A far node has one circuit per channel;
/// another one comes beside it for a one-shot write, and after a loss, when what had arrived before still waits.
class Turn {
 public:
  Turn(std::shared_ptr<Remote> remote, const std::string& channel)
      : remote_(std::move(remote)), queue_(remote_->turns.try_emplace(channel).first) {
    place_.emplace(queue_->second, 0, true);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    place_.reset();
    if (queue_->second.messages() == 0) remote_->turns.erase(queue_);
  }
  awaitable<void> come() {
    while (!place_->is_next(nullptr)) co_await place_->changed();
  }

 private:
  std::shared_ptr<Remote> remote_;
  std::map<std::string, Outbox>::iterator queue_;
  std::optional<Outbox::Place> place_;
};

/// A circuit that a far node has open to us, from the moment it came.
struct CountedCircuit {
  explicit CountedCircuit(std::shared_ptr<Remote> far) : remote(std::move(far)) { ++remote->circuits_in; }
  CountedCircuit(const CountedCircuit&) = delete;
  CountedCircuit& operator=(const CountedCircuit&) = delete;
  ~CountedCircuit() { --remote->circuits_in; }

  std::shared_ptr<Remote> remote;
};

} // namespace

awaitable<void> NetworkCore::serve(std::weak_ptr<NetworkCore> weak, LocalPeer& peer, CircuitInbox& inbox) {
  for (;;) {
    std::optional<Circuit> circuit = co_await inbox.next();
    const CorePointer core = weak.lock();
    if (!circuit || !core) co_return;
    // Who it is, is what the connection says; nothing that a sender writes is asked.
    const RemoteNode* const far = circuit->trunk()->machine().remote();
    if (!far) continue; // cannot be: circuits come after the Hello
    const RemotePointer remote = core->remote(far->id);
    if (remote->circuits_in >= core->options_.channels_per_node_max) {
      circuit->close(End(error::circuit_limit_reached,
                         fmt::format("channels_per_node_max {} reached", core->options_.channels_per_node_max)));
      continue;
    }
    remote->one_shot = false; // the far side makes use of the connection, too
    auto counted = std::make_shared<CountedCircuit>(remote);
    peer.spawn([core, counted](Circuit owned) { return receive(core, counted->remote, std::move(owned)); },
               std::move(*circuit));
  }
}

/// The processor of a channel as of now; null when there is none.
ChannelState* NetworkCore::processed_channel(const std::string& name) {
  const auto found = channels_.find(name);
  return found == channels_.end() || !found->second->processor ? nullptr : found->second.get();
}

void NetworkCore::note_unknown_channel(Remote& remote, const std::string& name) {
  ++drops_unknown_channel_;
  ++remote.metrics.drops;
  if (const auto known = channels_.find(name); known != channels_.end()) ++known->second->traffic.drops;
  if (unknown_channels_logged_.size() < unknown_channels_logged_max && unknown_channels_logged_.insert(name).second)
    log(LogLevel::warning, fmt::format("a message for channel {}, which nobody processes, from node {}; said once",
                                       quote(name), remote.id.to_string()));
}

/// One circuit of a far node, to its end. That it breaks is no failure of this side.
awaitable<void> NetworkCore::receive(CorePointer core, RemotePointer remote, Circuit circuit) {
  try {
    co_await receive_all(core, remote, circuit);
  } catch (const boost::system::system_error& thrown) {
    if (is_aborted(thrown) || circuit.is_open()) throw;
  }
}

awaitable<void> NetworkCore::receive_all(CorePointer core, RemotePointer remote, Circuit& circuit) {
  for (;;) {
    std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) co_return; // they have finished, and so have we
    Turn turn(remote, circuit.name());
    co_await turn.come();
    for (; fragment; fragment = circuit.try_receive()) { // all that has arrived, before another circuit's
      remote->used = core->now();
      if (fragment->op != op_message && fragment->op != op_acked) {
        ++remote->metrics.drops;
        continue;
      }
      if (!core->processed_channel(circuit.name())) {
        core->note_unknown_channel(*remote, circuit.name());
        circuit.close(End(error::no_service, fmt::format("no processor of channel {}", quote(circuit.name()))));
        co_return;
      }
      const std::shared_ptr<ChannelState> channel = core->channels_.find(circuit.name())->second;
      co_await process(core, remote, channel, circuit, std::move(*fragment));
    }
  }
}

awaitable<void> NetworkCore::process(CorePointer core, RemotePointer remote, std::shared_ptr<ChannelState> channel,
                                     Circuit& circuit, Fragment fragment) {
  struct Busy {
    Remote& remote;
    explicit Busy(Remote& far) : remote(far) { ++remote.busy; }
    Busy(const Busy&) = delete;
    ~Busy() { --remote.busy; }
  };
  const Busy busy(*remote);
  for (Traffic* const traffic : {static_cast<Traffic*>(&remote->metrics), &channel->traffic}) {
    ++traffic->messages_received;
    traffic->bytes_received += fragment.payload.size();
  }
  const bool wants_ack = fragment.op == op_acked;
  const std::int64_t number = fragment.part;
  // A copy of the pointer: the processor may be unregistered in the middle of its call.
  const std::shared_ptr<const Processor> processor = channel->processor;
  std::exception_ptr failure;
  try {
    Message message(std::move(fragment.payload), std::move(fragment.args));
    co_await (*processor)(remote->id, std::move(message));
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    if (core->phase_ == Phase::closed) std::rethrow_exception(failure); // it was cut
    ++channel->traffic.processor_failures;
    ++remote->metrics.processor_failures;
    core->log(LogLevel::error, fmt::format("the processor of channel {} threw on a message from node {}: {}",
                                           quote(channel->name), remote->id.to_string(), words_of(failure)));
    co_return;
  }
  if (!wants_ack) co_return;
  Fragment ack(op_ack);
  ack.part = number;
  co_await circuit.send(std::move(ack));
}

// Operators: one request, fragments of counters as text, finish.

namespace {

void put(Fragment& fragment, const char* key, std::uint64_t value) { fragment.args.set(key, std::to_string(value)); }

Fragment traffic_fragment(std::int32_t op, std::string subject, const Traffic& traffic) {
  Fragment fragment(op);
  fragment.subject = std::move(subject);
  put(fragment, "messages_sent", traffic.messages_sent);
  put(fragment, "bytes_sent", traffic.bytes_sent);
  put(fragment, "messages_received", traffic.messages_received);
  put(fragment, "bytes_received", traffic.bytes_received);
  put(fragment, "processor_failures", traffic.processor_failures);
  put(fragment, "drops", traffic.drops);
  put(fragment, "queue_bytes", traffic.queue_bytes);
  put(fragment, "queue_messages", traffic.queue_messages);
  for (std::size_t i = 1; i < send_errors_count; ++i) {
    std::string key = "failed_";
    for (const char letter : to_string(static_cast<SendError>(i))) key += letter == ' ' ? '_' : letter;
    put(fragment, key.c_str(), traffic.send_failures[i]);
  }
  return fragment;
}

} // namespace

/// Whoever neither asks nor reads gives its place to another one after a while.
awaitable<void> NetworkCore::answer_operator(std::weak_ptr<NetworkCore> weak, Circuit circuit) {
  const CorePointer core = weak.lock();
  if (!core) co_return;
  if (core->operators_ >= core->options_.operators_max) { // each holds a copy of all counters while it reads
    circuit.close(
        End(error::circuit_limit_reached, fmt::format("operators_max {} reached", core->options_.operators_max)));
    co_return;
  }
  ++core->operators_;
  struct Answering {
    NetworkCore& core;
    ~Answering() { --core.operators_; }
  } const answering{*core};
  try {
    co_await within(core->options_.operator_deadline, answer_request(core, circuit));
  } catch (const boost::system::system_error& thrown) {
    if (thrown.code() != error::timed_out) throw;
    circuit.reset(End(error::timed_out, "operator_deadline passed"));
  }
}

awaitable<void> NetworkCore::answer_request(CorePointer core, Circuit& circuit) {
  const std::optional<Fragment> request = co_await circuit.receive();
  if (!request) co_return;
  const NetworkMetrics metrics = core->metrics();
  if (request->subject == "peers") {
    for (const auto& [id, peer] : metrics.peers) {
      Fragment fragment = traffic_fragment(op_operator_peer, id.to_string(), peer);
      put(fragment, "connected", peer.connected);
      put(fragment, "dialled", peer.dialled);
      put(fragment, "dials", peer.dials);
      put(fragment, "reuses", peer.reuses);
      fragment.args.set("remote", peer.remote);
      fragment.args.set("name", peer.name);
      co_await circuit.send(std::move(fragment));
    }
  } else if (request->subject == "stats") {
    Fragment total(op_operator_total);
    total.subject = core->node_.id().to_string();
    put(total, "connections_inbound", metrics.connections_inbound);
    put(total, "connections_outbound", metrics.connections_outbound);
    put(total, "connections_turned_away", metrics.connections_turned_away);
    put(total, "evictions", metrics.evictions);
    put(total, "dials", metrics.dials);
    put(total, "reuses", metrics.reuses);
    put(total, "drops_unknown_channel", metrics.drops_unknown_channel);
    put(total, "processor_failures", metrics.processor_failures);
    put(total, "queue_bytes", metrics.queue_bytes);
    put(total, "queue_messages", metrics.queue_messages);
    put(total, "acks_waiting", metrics.acks.waiting);
    put(total, "acks_taken", metrics.acks.taken);
    put(total, "acks_late", metrics.acks.late);
    put(total, "acks_duplicate", metrics.acks.duplicate);
    put(total, "acks_unknown", metrics.acks.unknown);
    co_await circuit.send(std::move(total));
    for (const auto& [name, traffic] : metrics.channels)
      co_await circuit.send(traffic_fragment(op_operator_channel, name, traffic));
  } else {
    circuit.close(
        End(error::no_service, fmt::format("no answer to {}; there are peers, stats", quote(request->subject))));
  }
}

} // namespace trunkline

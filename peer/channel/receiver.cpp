#include "peer/channel/receiver.hpp"

#include "circuit/trunk.hpp"
#include "fragment/quote.hpp"
#include "peer/channel/wire.hpp"

#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <exception>
#include <map>
#include <optional>
#include <utility>

namespace trunkline {
namespace {

constexpr std::size_t unknown_channels_logged_max = 256;

} // namespace

/// The turn of one circuit to give its messages to the processor. A far node has one circuit per channel; a second one
/// exists during a one-shot write, and after a loss while messages of the first still wait here.
class Receiver::DeliveryTurn {
 public:
  DeliveryTurn(RemotePointer remote, const std::string& channel)
      : remote_(std::move(remote)), queue_(remote_->turns.try_emplace(channel).first) {
    place_.emplace(queue_->second, 0, true);
  }
  DeliveryTurn(const DeliveryTurn&) = delete;
  DeliveryTurn& operator=(const DeliveryTurn&) = delete;
  ~DeliveryTurn() {
    place_.reset();
    if (queue_->second.messages() == 0) remote_->turns.erase(queue_);
  }
  awaitable<void> come() {
    while (!place_->is_next(nullptr)) co_await place_->changed();
  }

 private:
  RemotePointer remote_;
  std::map<std::string, Outbox>::iterator queue_;
  std::optional<Outbox::Place> place_;
};

/// Counts a circuit that a far node has open to us, from its arrival on.
class Receiver::Counted {
 public:
  explicit Counted(RemotePointer remote) : remote_(std::move(remote)) { ++remote_->circuits_in; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --remote_->circuits_in; }

  const RemotePointer& remote() const noexcept { return remote_; }

 private:
  RemotePointer remote_;
};

awaitable<void> Receiver::serve(std::weak_ptr<Receiver> weak, LocalPeer& peer, CircuitInbox& inbox) {
  for (;;) {
    std::optional<Circuit> circuit = co_await inbox.next();
    const std::shared_ptr<Receiver> receiver = weak.lock();
    if (!circuit || !receiver) co_return;
    NetworkState& state = receiver->state_;
    // The origin is the node at the far end of the connection; nothing that a sender writes is asked.
    const RemoteNode* const far = circuit->trunk()->machine().remote();
    if (!far) continue; // cannot happen: circuits come after the Hello
    const RemotePointer remote = state.remotes().get(far->id);
    if (remote->circuits_in >= state.options().channels_per_node_max) {
      circuit->close(End(error::circuit_limit_reached,
                         fmt::format("channels_per_node_max {} reached", state.options().channels_per_node_max)));
      continue;
    }
    remote->one_shot = false; // the far side uses the connection, too
    auto counted = std::make_shared<Counted>(remote);
    peer.spawn(
        [receiver, counted](Circuit owned) { return receiver->receive(receiver, counted->remote(), std::move(owned)); },
        std::move(*circuit));
  }
}

void Receiver::note_unknown_channel(Remote& remote, const std::string& name) {
  ++drops_unknown_channel_;
  ++remote.metrics.drops;
  if (const std::shared_ptr<ChannelState> known = state_.channels().find(name)) ++known->traffic.drops;
  if (unknown_channels_logged_.size() < unknown_channels_logged_max && unknown_channels_logged_.insert(name).second)
    state_.log("unknown channel", LogLevel::warning,
               fmt::format("a message for channel {}, which has no processor, from node {}; said once", quote(name),
                           remote.id.to_string()));
}

/// Receives one circuit of a far node to its end. A broken circuit is no failure of this side.
awaitable<void> Receiver::receive(Alive alive, RemotePointer remote, Circuit circuit) {
  try {
    co_await receive_all(remote, circuit);
  } catch (const boost::system::system_error& thrown) {
    if (is_aborted(thrown) || circuit.is_open()) throw;
  }
}

awaitable<void> Receiver::receive_all(RemotePointer remote, Circuit& circuit) {
  for (;;) {
    std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) co_return; // the far side has finished, and so have we
    DeliveryTurn turn(remote, circuit.name());
    co_await turn.come();
    for (; fragment; fragment = circuit.try_receive()) { // all that has arrived, before another circuit's
      remote->used = state_.now();
      if (fragment->op != op_message && fragment->op != op_acked) {
        ++remote->metrics.drops;
        continue;
      }
      const std::shared_ptr<ChannelState> channel = state_.channels().find_processed(circuit.name());
      if (!channel) {
        note_unknown_channel(*remote, circuit.name());
        circuit.close(End(error::no_service, fmt::format("no processor of channel {}", quote(circuit.name()))));
        co_return;
      }
      co_await process(remote, channel, circuit, std::move(*fragment));
    }
  }
}

awaitable<void> Receiver::process(RemotePointer remote, std::shared_ptr<ChannelState> channel, Circuit& circuit,
                                  Fragment fragment) {
  struct Busy {
    Remote& remote;
    explicit Busy(Remote& far) : remote(far) { ++remote.busy; }
    Busy(const Busy&) = delete;
    ~Busy() { --remote.busy; }
  };
  const Busy busy(*remote);
  for (Traffic* const traffic : traffic_of(*remote, *channel)) {
    ++traffic->messages_received;
    traffic->bytes_received += fragment.payload.size();
  }
  const bool wants_ack = fragment.op == op_acked;
  const std::int64_t number = fragment.part;
  // A copy of the pointer: the processor may be unregistered during its call.
  const std::shared_ptr<const Processor> processor = channel->processor;
  std::exception_ptr failure;
  try {
    Message message(std::move(fragment.payload), std::move(fragment.args));
    co_await (*processor)(remote->id, std::move(message));
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    if (state_.phase() == NetworkState::Phase::closed) std::rethrow_exception(failure); // it was cancelled
    ++channel->traffic.processor_failures;
    ++remote->metrics.processor_failures;
    state_.log("processor", LogLevel::error,
               fmt::format("the processor of channel {} threw on a message from node {}: {}", quote(channel->name),
                           remote->id.to_string(), words_of(failure)));
    co_return;
  }
  if (!wants_ack) co_return;
  Fragment ack(op_ack);
  ack.part = number;
  co_await circuit.send(std::move(ack));
}

} // namespace trunkline

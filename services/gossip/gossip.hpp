// Broadcast to all members of a book: RainTree over the channels of a network.
//
//   auto gossip = std::make_shared<gossip::Gossip>(network, options);   // the same on every member
//   gossip->set_book(gossip::Book::make(1, members));
//   gossip->start(scope);
//   gossip->broadcast("to everybody");
#pragma once

#include "async/clock.hpp"
#include "async/limited_log.hpp"
#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "async/component/component.hpp"
#include "peer/channel/network.hpp"
#include "services/gossip/machine.hpp"

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace trunkline::gossip {

struct GossipOptions {
  std::string channel = "gossip";
  MachineOptions machine; // `random` is the system's unless given
  /// Called for every message of other members once, one call after another. An exception is logged, within a rate
  /// limit, and no more.
  std::function<awaitable<void>(NodeId origin, Payload payload)> on_message;
  std::size_t deliveries_max = 1024; // waiting for on_message; beyond, no member is read from
  std::size_t deliveries_bytes_max = 16 << 20; // of those
  /// Words that wait for a connection or credit; further ones count as failed. Half of both limits is for any member,
  /// of the other half each member has an equal share: a member that takes nothing does not block sends to the others.
  std::size_t sends_outstanding_max = 4096;
  std::size_t sends_bytes_max = 32 << 20;
  std::chrono::milliseconds send_deadline{2000};
  std::function<void(const std::string&)> log; // a line for which it throws is lost, and nothing else

  GossipOptions() = default;
};

/// One member. A component: ready when it receives, done when nothing of it runs. Stop it before its network. One
/// executor; not thread safe.
class Gossip final : public Component {
 public:
  Gossip(std::shared_ptr<Network> network, GossipOptions options);

  /// Sets the members, this one included. Messages in flight go on by the book they began with, and reach members that
  /// joined later by cleanup, or from their originator.
  void set_book(std::shared_ptr<const Book> book);
  /// Begins to spread a message to all other members, and returns its id at once. Errors: as Machine::broadcast;
  /// std::logic_error while it is not ready.
  RandomId broadcast(Payload payload);

  const MachineCounters& counters() const noexcept { return machine_.counters(); }
  const Machine& machine() const noexcept { return machine_; }
  std::size_t sends_outstanding() const noexcept { return outstanding_.count; }

 protected:
  awaitable<void> run(std::shared_ptr<Scope> scope) override;

 private:
  static awaitable<void> on_word(std::weak_ptr<Component> weak, NodeId from, Message message);
  struct Outstanding {
    std::size_t count = 0;
    std::size_t bytes = 0;
  };
  class Ticket; // of one send, from its beginning to its end
  bool may_send(const Machine::Send& word) const;
  awaitable<void> send(Machine::Send word, std::unique_ptr<Ticket> ticket);
  awaitable<void> deliver_all();
  void flush();

  std::shared_ptr<Network> network_;
  GossipOptions options_;
  Clock& clock_;
  Machine machine_;
  Conduit conduit_;
  std::unique_ptr<Alarm> alarm_;
  Instant armed_for_ = Instant::max();
  std::deque<Machine::Delivery> deliveries_;
  std::size_t deliveries_bytes_ = 0;
  Outstanding outstanding_;
  std::map<NodeId, Outstanding> outstanding_of_; // only members with any
  Signal deliveries_changed_;
  LimitedLog lines_;
  Tasks tasks_;
};

} // namespace trunkline::gossip

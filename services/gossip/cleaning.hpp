// Asks the neighbours in the current book whether they have a message, and brings it to those that do not.
#pragma once

#include "services/gossip/books.hpp"
#include "services/gossip/outgoing.hpp"
#include "services/gossip/rumor.hpp"
#include "services/gossip/store.hpp"
#include "services/gossip/timers.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>

namespace trunkline::gossip {

class Cleaning {
 public:
  Cleaning(const NodeId& self, const MachineOptions& options, const Books& books, const Store& store, Timers& timers,
           Outgoing& outgoing, MachineCounters& counters)
      : self_(self), options_(options), books_(books), store_(store), timers_(timers), outgoing_(outgoing),
        counters_(counters) {}

  /// Starts the first question at a later time.
  void schedule(Rumor& rumor, Instant due);
  /// Asks both neighbours, from the beginning.
  void start(Rumor& rumor, Instant now);
  /// A neighbour has answered, acknowledged, asked us or brought the message: it need not be asked any more.
  void neighbour_has_it(Rumor& rumor, const NodeId& neighbour, Instant now);
  /// A neighbour has not answered a question, or not acknowledged the message, in time.
  void on_no_answer(Rumor& rumor, const Timer& timer, Instant now);

  void on_question(const NodeId& from, const Key& key, Instant now);
  void on_answer(const NodeId& from, const Key& key, bool wants_it, Instant now);
  void on_later(const NodeId& from, const Key& key, Instant now);

  /// The promised message has come.
  void fulfil(const Key& key) { promises_.erase(key); }
  std::size_t promises() const noexcept { return promises_.size(); }

 private:
  struct Promise {
    NodeId by;
    Instant until;
    std::set<NodeId> before; // members that promised it and did not bring it
  };

  void ask_next(Rumor& rumor, std::size_t side_number, Instant now);
  void ask(Rumor& rumor, std::size_t side_number, std::uint32_t tries_done, Instant now);
  void give(Rumor& rumor, std::size_t side_number, std::uint32_t tries_done, Instant now);
  bool is_asked(const Rumor::Side& side, const NodeId& from);
  bool has_room_for_promise(const NodeId& from, Instant now);

  const NodeId& self_;
  const MachineOptions& options_;
  const Books& books_;
  const Store& store_;
  Timers& timers_;
  Outgoing& outgoing_;
  MachineCounters& counters_;
  std::map<Key, Promise> promises_; // messages that are not here yet
};

} // namespace trunkline::gossip

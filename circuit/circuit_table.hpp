// The circuits of one machine, of whatever dialect. A circuit is entered under its key while it is on the wire; when it
// has ended its handle keeps it, and when the handle is gone, too, it is buried.
#pragma once

#include "circuit/invariant.hpp"
#include "circuit/machine.hpp"

#include <boost/intrusive/list.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace trunkline {

using CircuitHook = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

/// Circuits that wait for the same thing, in the order in which they came. A circuit leaves by `hook.unlink()`.
template <class Circuit, CircuitHook Circuit::* hook> using CircuitList =
    boost::intrusive::list<Circuit, boost::intrusive::member_hook<Circuit, CircuitHook, hook>,
                           boost::intrusive::constant_time_size<false>>;

/// `Circuit` is a TrunkCircuit with the CircuitHooks `of_trunk` and `of_peer`.
template <class Circuit, class Key> class CircuitTable {
 public:
  using All = CircuitList<Circuit, &Circuit::of_trunk>;
  using OfPeer = CircuitList<Circuit, &Circuit::of_peer>;

  /// `held` counts the circuits that have ended and whose handle is still there.
  explicit CircuitTable(std::uint64_t& held) : held_(held) {}
  CircuitTable(const CircuitTable&) = delete;
  CircuitTable& operator=(const CircuitTable&) = delete;
  ~CircuitTable() {
    all_.clear_and_dispose([](Circuit* circuit) { delete circuit; });
  }

  /// A new circuit, made of `facts` and entered nowhere.
  template <class... Facts> Circuit& add(Facts&&... facts) {
    auto* circuit = new Circuit(std::forward<Facts>(facts)...);
    all_.push_back(*circuit);
    ++all_count_;
    return *circuit;
  }
  void enter(const Key& key, Circuit& circuit) { on_wire_.emplace(key, &circuit); }
  /// It is now one of the peer that it names as ours; of another one before, maybe.
  void join_peer(Circuit& circuit) {
    const PeerId& local = circuit.names->local->id;
    if (!peer_last_ || peer_last_->first != local) peer_last_ = &*of_peers_.try_emplace(local).first;
    circuit.of_peer.unlink();
    peer_last_->second.push_back(circuit);
  }
  /// One of our peers has ended; false when no circuit was ever one of it.
  bool forget_peer(const PeerId& local) {
    const auto found = of_peers_.find(local);
    if (found == of_peers_.end()) return false;
    if (peer_last_ == &*found) peer_last_ = nullptr;
    of_peers_.erase(found); // its circuits leave the list
    return true;
  }
  /// Takes it off the wire; may be called for one that was never entered.
  void leave(const Key& key, Circuit& circuit) {
    if (found_last_ == &circuit) found_last_ = nullptr;
    circuit.of_peer.unlink();
    const auto found = on_wire_.find(key);
    if (found != on_wire_.end() && found->second == &circuit) on_wire_.erase(found);
  }
  /// After it has ended: true when its handle is gone, and it is to be buried.
  bool retire(const Circuit& circuit) {
    if (circuit.released()) return true;
    ++held_;
    return false;
  }
  /// The handle of an ended circuit is gone.
  void let_go() { --held_; }
  /// Freed two `free_buried` later: events that were collected before may still name it.
  void bury(Circuit& circuit) {
    circuit.of_trunk.unlink();
    --all_count_;
    buried_.emplace_back(&circuit);
  }
  /// Calls `on_free` with each before it is freed.
  template <class OnFree> void free_buried(OnFree on_free) {
    if (!buried_before_.empty())
      std::erase_if(buried_before_, [&](const auto& circuit) {
        if (circuit->holds != 0) return false;
        on_free(*circuit);
        return true;
      });
    if (buried_before_.empty()) {
      buried_before_.swap(buried_);
    } else {
      std::ranges::move(buried_, std::back_inserter(buried_before_));
      buried_.clear();
    }
  }
  bool has_buried() const noexcept { return !buried_.empty() || !buried_before_.empty(); }

  Circuit* find(const Key& key) {
    if (found_last_ && found_last_->key() == key) return found_last_; // most frames are for the circuit of the last
    return find_on_wire(key);
  }
  bool contains(const Key& key) const { return on_wire_.contains(key); }
  bool empty() const noexcept { return on_wire_.empty(); }
  std::size_t size() const noexcept { return on_wire_.size(); }
  /// The circuits on the wire, and the ended ones that a handle keeps.
  All& all() noexcept { return all_; }
  const All& all() const noexcept { return all_; }
  std::size_t all_count() const noexcept { return all_count_; }

  /// Calls `act` for each that is on the wire, also where that takes others off. In the order in which they were
  /// opened: what is told to the outside must not depend on a hash.
  template <class Act> void for_each_on_wire(Act act) {
    std::vector<Circuit*> circuits;
    circuits.reserve(on_wire_.size());
    for (const auto& [key, circuit] : on_wire_) circuits.push_back(circuit);
    std::ranges::sort(circuits, {}, &Circuit::id);
    for (Circuit* const circuit : circuits)
      if (!circuit->ended) act(*circuit);
  }

  /// See Machine::circuits_of.
  void of_peer(const PeerId& local, std::vector<TrunkCircuit*>& into) {
    into.clear();
    const auto found = of_peers_.find(local);
    if (found == of_peers_.end()) return;
    for (Circuit& circuit : found->second)
      if (!circuit.released()) into.push_back(&circuit);
  }

  /// all == on the wire + held. Counts them when `full`.
  void check(bool full) const {
    invariant(all_count_ == on_wire_.size() + held_, "circuit table: all == on the wire + held");
    invariant(!found_last_ || !found_last_->ended, "circuit table: what was found last is on the wire");
    if (!full) return;
    std::size_t ended = 0;
    std::size_t count = 0;
    for (const Circuit& circuit : all_) {
      ++count;
      ended += circuit.ended ? 1 : 0;
    }
    std::size_t of_peers = 0;
    for (const auto& [peer, circuits] : of_peers_)
      for (const Circuit& circuit : circuits) {
        ++of_peers;
        invariant(!circuit.ended && circuit.names->local->id == peer, "circuit table: a peer's circuits name it");
      }
    invariant(of_peers <= on_wire_.size(), "circuit table: circuits of our peers <= on the wire");
    invariant(count == all_count_, "circuit table: all == circuits in the list");
    invariant(ended == held_, "circuit table: held == ended circuits in the list");
  }

 private:
  // Not in line, so that the usual case of `find` is.
  [[gnu::noinline]] Circuit* find_on_wire(const Key& key) {
    const auto found = on_wire_.find(key);
    return found == on_wire_.end() ? nullptr : found_last_ = found->second;
  }

  boost::unordered_flat_map<Key, Circuit*> on_wire_; // iterated only in sorted order
  All all_;
  std::size_t all_count_ = 0;
  std::uint64_t& held_;
  Circuit* found_last_ = nullptr;
  std::unordered_map<PeerId, OfPeer> of_peers_; // an entry stays until its peer ends; the outside sees no order of it
  typename std::unordered_map<PeerId, OfPeer>::value_type* peer_last_ = nullptr; // that a circuit came to
  std::vector<std::unique_ptr<Circuit>> buried_;
  std::vector<std::unique_ptr<Circuit>> buried_before_;
};

} // namespace trunkline

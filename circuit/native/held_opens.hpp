// Opens of the far side that wait to be handed out, because it cancels so many. They go in the order in which they came
// from each of its peers, and the peers take turns: one that opens and cancels without end delays itself first. One
// that is cancelled meanwhile is gone, and no service has heard of it.
#pragma once

#include "circuit/native/circuit.hpp"
#include "circuit/native/whole.hpp"

#include <boost/intrusive/list.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include <functional>
#include <list>
#include <memory>

namespace trunkline {

class HeldOpens {
 public:
  explicit HeldOpens(Whole& whole);
  ~HeldOpens();

  bool empty() const noexcept { return openers_.empty(); }
  void hold(NativeCircuit& circuit, std::unique_ptr<OpenRequest> open);
  /// The one whose turn it is; there has to be one.
  NativeCircuit& next() noexcept { return *openers_.front().opens.front().circuit; }
  /// Does not hold it any more. Returns what its open said; the turn passes on.
  std::unique_ptr<OpenRequest> let_go(NativeCircuit& circuit);

  /// opens_waiting == the sum over the peers, each of which has one. Sums up when `full`.
  void check(bool full) const;

 private:
  using Opens = boost::intrusive::list<
      HeldOpen, boost::intrusive::member_hook<HeldOpen, decltype(HeldOpen::of_opener), &HeldOpen::of_opener>,
      boost::intrusive::constant_time_size<false>>;
  struct Opener {
    PeerId peer;
    Opens opens; // oldest first
  };
  using Openers = std::list<Opener>;

  Whole& whole_;
  Openers openers_; // the first one's turn is next
  boost::unordered_flat_map<PeerId, Openers::iterator, std::hash<PeerId>> by_peer_;
};

} // namespace trunkline

// The circuits of a native machine: their numbers, and what the far side's opens may occupy here.
#pragma once

#include "circuit/circuit_table.hpp"
#include "circuit/native/circuit.hpp"
#include "circuit/native/frame.hpp"
#include "circuit/native/whole.hpp"

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trunkline {

class Circuits {
 public:
  /// The addressee of a frame.
  enum class Known : std::uint8_t { live, forgotten, broken };

  /// `dialled` decides the parity of our numbers.
  Circuits(Whole& whole, bool dialled);

  NativeCircuit* find(CircuitId id) { return table_.find(id); }
  /// The circuit that a frame is for. A number that was never opened breaks the trunk; one that is over is counted.
  Known find_for(wire::FrameType type, CircuitId id, NativeCircuit*& circuit) {
    circuit = table_.find(id);
    return circuit ? Known::live : find_unknown(type, id);
  }
  bool empty() const noexcept { return table_.empty(); }
  std::size_t size() const noexcept { return table_.size(); }
  /// In the order in which they were opened, those on the wire; it may end them.
  template <class Act> void for_each(Act act) { table_.for_each_on_wire(act); }
  /// Also the ended ones that a handle keeps.
  CircuitTable<NativeCircuit, CircuitId>::All& all() noexcept { return table_.all(); }
  void of_peer(const PeerId& local, std::vector<TrunkCircuit*>& into) { table_.of_peer(local, into); }
  /// The circuit is now one of the peer that it names as ours.
  void join_peer(NativeCircuit& circuit) { table_.join_peer(circuit); }
  /// One of our peers has ended; false when no circuit was ever one of it.
  bool forget_peer(const PeerId& local) { return table_.forget_peer(local); }

  /// The number of the next circuit that this side opens; numbers are never used again.
  CircuitId take_number() noexcept;
  /// The number that the far side's next open has to have.
  CircuitId expected_number() const noexcept { return next_there_; }
  void note_number_there() noexcept { next_there_ += 2; }

  /// Circuits of this side on the wire.
  std::uint32_t opened_here() const noexcept { return opened_here_; }
  /// `id` 0: a circuit that never reaches the wire.
  NativeCircuit& open_here(CircuitId id, std::shared_ptr<const CircuitNames> names);
  /// The reason why no more circuits of the far side are taken, if there is one; `strings` are the bytes of its names.
  /// circuits_max counts those that are not over, which the far side knows too; as many again that are over may be kept
  /// by services that have not let go of them.
  std::optional<End> why_no_more(std::size_t strings) const;
  NativeCircuit& open_there(CircuitId id, std::shared_ptr<const CircuitNames> names, std::size_t strings);
  /// Another peer than the one it was opened to has accepted it. Views into the old names stay valid for as long as the
  /// circuit is there.
  void rename(NativeCircuit& circuit, std::shared_ptr<const CircuitNames> names);

  /// Takes it off the wire: its number is not found any more.
  void leave(NativeCircuit& circuit) {
    if (circuit.id != 0) --(circuit.opened_here ? opened_here_ : open_there_);
    table_.leave(circuit.id, circuit);
  }
  /// After it has ended: buries it unless its handle is still there.
  void retire(NativeCircuit& circuit);
  /// The handle of an ended circuit is gone.
  void let_go(NativeCircuit& circuit);
  void free_buried() {
    if (table_.has_buried()) free_all_buried();
  }

  /// opened_here <= on the wire, open_there <= opened_there <= all. Sums everything up when `full`.
  void check(bool full) const;

 private:
  Known find_unknown(wire::FrameType type, CircuitId id);
  NativeCircuit& add(CircuitId id, bool opened_here, std::shared_ptr<const CircuitNames> names);
  void bury(NativeCircuit& circuit);
  void free_all_buried();

  Whole& whole_;
  CircuitTable<NativeCircuit, CircuitId> table_;
  CircuitId next_here_;
  CircuitId next_there_;
  std::uint32_t opened_here_ = 0;  // circuits of this side on the wire
  std::uint32_t open_there_ = 0;   // circuits of the far side on the wire
  std::uint32_t opened_there_ = 0; // circuits of the far side that are not buried
  std::size_t strings_there_ = 0; // bytes of the names that it gave them
  boost::unordered_flat_map<CircuitId, std::shared_ptr<const CircuitNames>>
      names_before_; // those that an accept replaced
};

std::shared_ptr<const CircuitNames> make_names(std::shared_ptr<const PeerName> local,
                                               std::shared_ptr<const PeerName> remote, CircuitId id, std::string name,
                                               std::string user_string);

} // namespace trunkline

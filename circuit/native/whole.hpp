// What every part of the native machine sees, and the few things that a part asks of the whole because they reach
// across parts. Apart from this, a part knows only those that its constructor names.
#pragma once

#include "circuit/machine.hpp"
#include "circuit/native/circuit.hpp"
#include "circuit/native/frame.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trunkline {

class Whole {
 public:
  Limits limits;
  Instant now{}; // of the last input
  TrunkCounters counters;
  std::vector<TrunkEvent> events; // not yet collected
  bool deadline_is_nearer = false; // by what the application took; cleared as events are collected

  TrunkEvent& emit(TrunkEvent::Kind kind, NativeCircuit* circuit = nullptr) {
    return events.emplace_back(kind, circuit);
  }

  /// Ends the trunk because the far side broke the protocol or a limit; both sides get the reason.
  virtual void violate(error reason, std::string text) = 0;
  /// Ends the trunk without a word to the far side, which speaks another protocol.
  virtual void refuse_connection(End cause) = 0;
  /// Resets the circuit, and tells the far side.
  virtual void reset_circuit(NativeCircuit& circuit, End reason) = 0;
  /// The same because of what the far side said on it: that counts as a reset of its own.
  virtual void reset_provoked(NativeCircuit& circuit, End reason) = 0;
  /// Ends the circuit without telling the far side, which knows already.
  virtual void end_circuit(NativeCircuit& circuit, End reason) = 0;
  /// A whole control frame has arrived.
  virtual void on_control(wire::FrameType type, std::span<const std::byte> body) = 0;

 protected:
  Whole(Limits own, Instant begins) : limits(std::move(own)), now(begins) {}
  Whole(const Whole&) = delete;
  Whole& operator=(const Whole&) = delete;
  ~Whole() = default;
};

} // namespace trunkline

#include "circuit/owned_circuit.hpp"

#include "circuit/trunk.hpp"

#include <boost/assert.hpp>

#include <utility>

namespace trunkline {

OwnedCircuit::OwnedCircuit(const Circuit& circuit) : trunk_(circuit.trunk()), state_(circuit.state()) {
  if (state_->owner) state_->owner->hand_over();
  state_->own(*this);
}

OwnedCircuit::OwnedCircuit(OwnedCircuit&& other) noexcept
    : trunk_(std::move(other.trunk_)), state_(std::exchange(other.state_, nullptr)), names_(std::move(other.names_)) {
  if (state_) state_->owner = this;
}

OwnedCircuit::~OwnedCircuit() {
  if (TrunkCircuit* const dropped = give_back()) trunk_->release(*dropped);
}

void OwnedCircuit::close() {
  if (TrunkCircuit* const dropped = give_back()) trunk_->close_and_release(*dropped);
}

void OwnedCircuit::reset(End reason) {
  if (TrunkCircuit* const dropped = give_back()) trunk_->reset_and_release(*dropped, std::move(reason));
}

/// The circuit, when its handle is gone and it is the caller's to release; null otherwise.
TrunkCircuit* OwnedCircuit::give_back() noexcept {
  if (!state_) return nullptr;
  TrunkCircuit* const state = std::exchange(state_, nullptr);
  names_ = state->names;
  return state->disown() ? state : nullptr;
}

/// To the task that holds the handle now.
void OwnedCircuit::hand_over() noexcept {
  BOOST_ASSERT(state_->handle == Handle::owned_by_task);
  names_ = state_->names;
  state_ = nullptr;
}

} // namespace trunkline

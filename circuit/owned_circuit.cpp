#include "circuit/owned_circuit.hpp"

#include "circuit/held_circuit.hpp"
#include "circuit/trunk.hpp"

#include <boost/asio/post.hpp>

#include <exception>
#include <memory>
#include <utility>

namespace trunkline {

OwnedCircuit::OwnedCircuit(const Circuit& circuit) : trunk_(circuit.trunk()), state_(circuit.state()), opened_here_(state_->opened_here), at_(&circuit) {
  if (state_->owner) state_->owner->hand_over();
  state_->own(*this);
}

OwnedCircuit::OwnedCircuit(OwnedCircuit&& other) noexcept
    : trunk_(std::move(other.trunk_)), state_(std::exchange(other.state_, nullptr)), names_(std::move(other.names_)),
      opened_here_(other.opened_here_), at_(other.at_), home_(other.home_), task_(other.task_), cancelled_for_(std::move(other.cancelled_for_)),
      torn_(other.torn_) {
  if (state_) state_->owner = this;
}

OwnedCircuit::~OwnedCircuit() { release(); }

void OwnedCircuit::close() {
  if (torn_) return release(); // the function caught the exception: half a stream
  if (TrunkCircuit* const dropped = give_back()) trunk_->close_and_release(*dropped);
}

void OwnedCircuit::release() {
  if (TrunkCircuit* const dropped = give_back()) trunk_->release(*dropped);
}

void OwnedCircuit::reset(End reason) {
  if (TrunkCircuit* const dropped = give_back()) trunk_->reset_and_release(*dropped, std::move(reason));
}

void OwnedCircuit::drop(const Circuit* at, bool assigned) noexcept {
  if (at == home_ && !assigned) {
    state_->drop_handle(); // with the function's frame; how the function ended decides
  } else if (std::uncaught_exceptions() == 0) {
    abandon();
  } else {
    state_->drop_handle();
    torn_ = true;
    abandon_later();
  }
}

void OwnedCircuit::ended() {
  if (!task_ || state_->closed_there || state_->closed_here() || state_->holds > 0) return;
  if (!state_->end) return; // both sides had finished: everything was taken
  cancelled_for_ = *state_->end;
  std::exchange(task_, nullptr)->cancel();
}

/// At once; this has nothing left to decide.
void OwnedCircuit::abandon() noexcept {
  TrunkCircuit& state = *state_;
  state.disown();
  hand_over();
  trunk_->release(state);
}

/// In a turn of its own, unless the exception has left the function by then.
void OwnedCircuit::abandon_later() noexcept {
  try {
    asio::post(trunk_->executor(), [held = std::make_shared<const HeldCircuit>(trunk_, state_)] {
      OwnedCircuit* const owner = held->state->owner;
      if (owner && owner->torn_) owner->abandon();
    });
  } catch (const std::exception&) {} // no memory: when the function has ended
}

/// The circuit, when its handle is gone and it is the caller's to release; null otherwise.
TrunkCircuit* OwnedCircuit::give_back() noexcept {
  if (!state_) return nullptr;
  TrunkCircuit* const state = std::exchange(state_, nullptr);
  names_ = state->names;
  return state->disown() ? state : nullptr;
}

/// To the task that holds the handle now, or to nobody.
void OwnedCircuit::hand_over() noexcept {
  names_ = state_->names;
  state_ = nullptr;
}

} // namespace trunkline

// Sending and taking the fragments of one direction of a circuit, in every way that the API has, with each step told to
// the checkers at the moment in which it happened.
#pragma once

#include "circuit/circuit.hpp"
#include "tests/sim/stage.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace trunkline::sim {

/// How a stream is read.
enum class Pace : std::uint8_t {
  at_once,
  slow, // with pauses
  cancelling, // every receive is cancelled after a while, and tried again
  hurried, // every receive has a deadline, and is tried again
};

Pace draw_pace(Random& random);

/// Takes fragments until the end, or until `most` were taken. Throws what the circuit ends with. Returns whether the
/// end was seen.
awaitable<bool> take_all(std::shared_ptr<Circuit> circuit, Stage& stage, int way, Pace pace, Random random,
                         std::uint64_t most = UINT64_MAX);

/// Takes error fragments until the end.
awaitable<void> take_complaints(std::shared_ptr<Circuit> circuit, Stage& stage);

/// Sends so many fragments, each of up to so many bytes: waiting, not waiting, cancelled and tried again.
awaitable<void> send_all(std::shared_ptr<Circuit> circuit, Stage& stage, int way, std::uint64_t count,
                         std::size_t bytes_max, Random random);

/// Takes one and sends one, until the end: the way back is finished when the way forth is.
awaitable<void> answer_all(std::shared_ptr<Circuit> circuit, Stage& stage);

/// Finishes a direction; with `wait`, until the far side's application has taken all of it.
awaitable<void> finish(std::shared_ptr<Circuit> circuit, Stage& stage, int way, bool wait);

} // namespace trunkline::sim

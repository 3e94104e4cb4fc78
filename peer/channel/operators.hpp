// Answers `trunkline net peers` and `stats`: one request per circuit, answered with fragments of counters as text.
#pragma once

#include "circuit/circuit.hpp"
#include "peer/channel/state.hpp"

#include <cstdint>
#include <functional>
#include <memory>

namespace trunkline {

class Operators {
 public:
  Operators(NetworkState& state, std::function<NetworkMetrics()> metrics)
      : state_(state), metrics_(std::move(metrics)) {}

  /// One circuit of an operator. At operator_deadline it is reset, so that a silent operator does not keep a place.
  static awaitable<void> answer(std::weak_ptr<Operators> weak, Circuit circuit);

 private:
  awaitable<void> answer_request(Alive alive, Circuit& circuit);

  NetworkState& state_;
  std::function<NetworkMetrics()> metrics_;
  std::uint32_t answering_ = 0;
};

} // namespace trunkline

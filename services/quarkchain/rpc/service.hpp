// What the four services have in common: how many requests were refused, and for which nothing was implemented.
//
// Each service is written against RpcServer alone: its `server` serves any number of circuits, over the cluster framing
// or a native trunk, whoever dialled. Handlers keep what they use; a service may be dropped while they run.
#pragma once

#include "services/quarkchain/rpc/rpc.hpp"

#include <cstdint>
#include <memory>
#include <utility>

namespace trunkline::quarkchain {

struct ServiceCounters {
  std::uint64_t refused = 0; // answered with an error_code, or closed where there is none
  std::uint64_t unserved = 0; // NotImplemented: answered as the opcode table states
};

struct ServiceOptions {
  RpcLimits limits;
  LogSink log;

  ServiceOptions() = default;
  explicit ServiceOptions(LogSink to) : log(std::move(to)) {}
};

} // namespace trunkline::quarkchain

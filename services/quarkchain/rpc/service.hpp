// What one kind of connection serves, ready made, and how often it was of no use.
//
// A service is written against RpcServer alone: its `server` serves any number of circuits, over the cluster framing or
// a native trunk, whoever dialled. Handlers keep what they use; a service may be dropped while they run.
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

/// A handle.
class Service {
 public:
  Service(std::shared_ptr<RpcServer> server, std::shared_ptr<ServiceCounters> counters)
      : server_(std::move(server)), counters_(std::move(counters)) {}

  const std::shared_ptr<RpcServer>& server() const noexcept { return server_; }
  const ServiceCounters& counters() const noexcept { return *counters_; }

 private:
  std::shared_ptr<RpcServer> server_;
  std::shared_ptr<ServiceCounters> counters_;
};

} // namespace trunkline::quarkchain

// What one kind of connection serves: opcode -> handler, shared by all its circuits, and what it costs together.
#pragma once

#include "async/limited_log.hpp"
#include "async/types.hpp"
#include "fragment/error.hpp"
#include "fragment/log.hpp"
#include "fragment/payload.hpp"
#include "services/quarkchain/trunk/cluster_limits.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

class RpcCircuit;

/// What a handler is given. Keeps the circuit alive, not open.
struct RpcRequest {
  std::shared_ptr<RpcCircuit> circuit;
  std::uint8_t op = 0;
  std::uint64_t rpc_id = 0; // 0 for a command
  Payload payload;
  std::string subject; // comes back with the reply; see ClusterMachine::send

  RpcRequest() = default;
  RpcRequest(std::shared_ptr<RpcCircuit> on, std::uint8_t operation, std::uint64_t id, Payload bytes, std::string about)
      : circuit(std::move(on)), op(operation), rpc_id(id), payload(std::move(bytes)), subject(std::move(about)) {}
};

/// The payload of the reply. Throwing closes the circuit: the protocol has no reply that says so.
using RpcRequestFunc = std::function<awaitable<Payload>(RpcRequest)>;
using RpcCommandFunc = std::function<awaitable<void>(RpcRequest)>;

struct RpcCounters {
  std::uint64_t requests = 0;
  std::uint64_t commands = 0;
  std::uint64_t calls = 0;
  std::uint64_t replies = 0;              // that somebody waited for
  std::uint64_t late_replies = 0;         // to calls that were cancelled or timed out; dropped
  std::uint64_t calls_timed_out = 0;
  std::uint64_t calls_delayed = 0;        // waited because calls_in_flight_max had no reply yet
  std::uint64_t requests_delayed = 0;     // waited for one of requests_in_flight_max, or the bytes of requests
  std::uint64_t handlers_failed = 0;      // each closed its circuit, as does each of the following
  std::uint64_t unknown_opcodes = 0;
  std::uint64_t unexpected_replies = 0;   // also requests that nobody here serves
  std::uint64_t ids_out_of_order = 0;
  std::uint64_t commands_with_id = 0;
};

/// What one kind of connection serves. Fill it before its first circuit; circuits share it.
class RpcServer {
 public:
  /// `kind` names the connections in log lines ("master", "slave", "peer").
  explicit RpcServer(std::string kind, RpcLimits limits = RpcLimits(), LogSink log = {});
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  // Errors, each: std::invalid_argument for an opcode that is there already, or an empty function.
  /// A request that is answered with `reply_op`.
  void serve(std::uint8_t op, std::string name, std::uint8_t reply_op, RpcRequestFunc function);
  /// A command: its rpc id is 0, and nothing is sent back.
  void hear(std::uint8_t op, std::string name, RpcCommandFunc function);
  /// An opcode that exists and has no handler here: a reply, or a request that is taken for one. Those that are not
  /// even known close the circuit.
  void know(std::uint8_t op, std::string name);
  /// Whether one of the three was said of it.
  bool has(std::uint8_t op) const noexcept { return entries_[op] != nullptr; }

  /// Hears once of each circuit that has ended, after its calls were woken. Set before the first circuit.
  std::function<void(RpcCircuit&, const End&)> on_ended;

  const std::string& kind() const noexcept { return kind_; }
  const RpcLimits& limits() const noexcept { return limits_; }
  const RpcCounters& counters() const noexcept { return counters_; }
  /// "141 GET_ACCOUNT_DATA_REQUEST"; the number alone for one that is not known.
  std::string name_of(std::uint8_t op) const;
  /// A line that far sides can cause as often as they like; see LimitedLog.
  void log(const char* kind, LogLevel level, std::string_view text, TimePoint now) noexcept {
    lines_.write(kind, level, text, now);
  }

  // For its circuits.

  enum class Kind : std::uint8_t { reply, request, command };
  struct Entry {
    Kind kind = Kind::reply;
    std::uint8_t reply_op = 0;
    std::string name;
    RpcRequestFunc request;
    RpcCommandFunc command;
  };
  /// Null for an opcode that is not known.
  const Entry* find(std::int32_t op) const noexcept;
  RpcCounters& count() noexcept { return counters_; }

  /// Whether requests of so many bytes more may run, of all circuits together. One may always.
  bool has_room(std::size_t bytes) const noexcept {
    return running_bytes_ == 0 || running_bytes_ + bytes <= limits_.requests_of_kind_bytes_max;
  }
  void enter(std::size_t bytes) noexcept { running_bytes_ += bytes; }
  void leave(std::size_t bytes) noexcept { running_bytes_ -= bytes; }
  std::size_t running_bytes() const noexcept { return running_bytes_; }
  /// Circuits none of whose requests run, so that nothing of theirs would come back to what waits.
  void starve(std::weak_ptr<RpcCircuit> circuit) { starved_.push_back(std::move(circuit)); }
  std::vector<std::weak_ptr<RpcCircuit>> take_starved() noexcept { return std::exchange(starved_, {}); }

 private:
  Entry& add(std::uint8_t op, std::string name, Kind kind);

  std::string kind_;
  RpcLimits limits_;
  LimitedLog lines_;
  RpcCounters counters_;
  std::size_t running_bytes_ = 0; // of the requests of all circuits
  std::vector<std::weak_ptr<RpcCircuit>> starved_;
  std::array<std::unique_ptr<Entry>, 256> entries_; // by opcode
};

} // namespace trunkline::quarkchain

// Requests, replies and commands over one Circuit, by the rules of the QuarkChain cluster protocol. It knows no
// dialect: over the cluster framing a rpc id is the id on the wire, over a native trunk it is the fragment's `part`.
// Both ends are alike.
//
//   RpcServer      what one kind of connection serves: opcode -> handler, shared by all its circuits
//   RpcCircuit     one circuit with its own ids, pending calls and running handlers
//
// A frame is what its opcode says, looked up in the server: a command (rpc id 0, no reply), a request (ids strictly
// increasing, 0 only as the very first), or else a reply, which is matched by id alone. What breaks these rules, and a
// handler that throws, closes this circuit and nothing else; on a control circuit that is the connection.
#pragma once

#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "async/types.hpp"
#include "circuit/circuit.hpp"
#include "peer/node.hpp"
#include "services/quarkchain/trunk/cluster_limits.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
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
  void log(LogLevel level, std::string_view text) const;

 private:
  friend class RpcCircuit;
  enum class Kind : std::uint8_t { unknown, reply, request, command };
  struct Entry {
    Kind kind = Kind::unknown;
    std::uint8_t reply_op = 0;
    std::string name;
    RpcRequestFunc request;
    RpcCommandFunc command;
  };
  Entry& add(std::uint8_t op, std::string name, Kind kind);

  std::string kind_;
  RpcLimits limits_;
  LogSink log_;
  RpcCounters counters_;
  std::size_t running_bytes_ = 0; // of the requests of all circuits
  std::vector<std::weak_ptr<RpcCircuit>> starved_; // none of whose requests run, for requests_of_kind_bytes_max
  std::array<std::unique_ptr<Entry>, 256> entries_; // by opcode
};

/// A reply as it came. Its opcode was not compared with anything.
struct RpcReply {
  std::uint8_t op = 0;
  Payload payload;
};

/// One circuit that speaks rpc. Its owner closes it: handlers and callers keep it alive meanwhile. One executor.
class RpcCircuit final : public std::enable_shared_from_this<RpcCircuit>, private CircuitListener {
 public:
  /// Takes over a circuit and begins to read it.
  static std::shared_ptr<RpcCircuit> start(Circuit circuit, std::shared_ptr<RpcServer> server);
  ~RpcCircuit();
  RpcCircuit(const RpcCircuit&) = delete;
  RpcCircuit& operator=(const RpcCircuit&) = delete;

  /// Sends a request and waits for the reply with its id. Any number at once, up to calls_in_flight_max; ids are given
  /// in the order in which the requests reach the wire. Cancelled before that: nothing is sent and no id is used;
  /// later: the reply is dropped when it comes. Errors: error::timed_out after `deadline` (zero: never); when the
  /// circuit is not open, or ends first, what it ended with, error::circuit_closed for a clean end.
  awaitable<RpcReply> call(std::uint8_t op, Payload payload, Duration deadline = Duration::zero()) {
    return call_on(shared_from_this(), op, std::move(payload), deadline);
  }
  /// Sends a command, after everything that was sent before; waits only for room. Errors: as for `call`.
  awaitable<void> command(std::uint8_t op, Payload payload) {
    return command_on(shared_from_this(), op, std::move(payload));
  }

  /// Ends it: pending calls fail, running handlers are cancelled, what was sent arrives. Idempotent.
  void close(End reason = {});
  /// Takes no more requests or commands: those that come are dropped, which a dialect without words cannot tell the far
  /// side. Those that run go on, and calls too.
  void stop_serving() noexcept { serving_ = false; }
  /// Waits until no handler runs and no call waits.
  awaitable<void> idle() { return idle_on(shared_from_this()); }
  /// Waits until it has ended and says how.
  awaitable<End> ended() { return ended_on(shared_from_this()); }
  /// How it ended, or null while it lives.
  const End* end() const noexcept { return end_.get(); }
  bool is_open() const noexcept { return !end_; }

  /// The name of the circuit: its route.
  const std::string& name() const noexcept { return circuit_.name(); }
  /// The far end as a log line names it.
  const std::string& remote() const noexcept { return circuit_.remote_peer().url; }
  /// Another circuit of the same connection, to a route.
  Circuit new_circuit(const std::string& route) { return circuit_.new_circuit(CircuitOptions(route)); }
  RpcServer& server() const noexcept { return *server_; }
  std::size_t calls_pending() const noexcept;
  std::size_t requests_running() const noexcept { return running_; }
  std::size_t requests_waiting() const noexcept { return waiting_.size(); }

  /// For its owner: whose it is. Not touched here.
  std::weak_ptr<void> owner;

 private:
  struct Call; // a call of ours, in its coroutine's frame
  struct Sender; // who waits for room, in order
  struct Slot; // a handler's place among the running ones
  using Pointer = std::shared_ptr<RpcCircuit>;

  RpcCircuit(Circuit circuit, std::shared_ptr<RpcServer> server);
  void on_circuit_event(const TrunkEvent& event) override;
  // Coroutines keep the circuit alive, so they are static and take it by value.
  static awaitable<RpcReply> call_on(Pointer self, std::uint8_t op, Payload payload, Duration deadline);
  static awaitable<void> command_on(Pointer self, std::uint8_t op, Payload payload);
  static awaitable<void> idle_on(Pointer self);
  static awaitable<End> ended_on(Pointer self);

  // rpc_receive.cpp: what the far side says.
  void read();
  void on_fragment(Fragment& fragment);
  void on_reply(Fragment& fragment);
  void admit(RpcRequest request);
  bool has_room(const RpcRequest& request) const noexcept;
  void note_delay();
  awaitable<void> handle(RpcRequest request);
  static awaitable<void> run(Slot slot, RpcRequest request, const RpcServer::Entry& entry);
  void leave_slot(std::size_t bytes);
  void run_waiting();
  static void feed_starved(RpcServer& server);
  Tasks& tasks();
  bool full() const noexcept { return waiting_bytes_ >= server_->limits_.requests_waiting_bytes_max; }
  bool reads_on() const noexcept;
  void violate(std::uint64_t& counter, const std::string& text);
  void on_end(End reason);

  // rpc.cpp: what we say.
  bool try_send(Fragment& fragment, Call* call);
  awaitable<void> send(Fragment& fragment, Call* call); // of a coroutine that keeps the circuit
  void wake_sender();
  [[noreturn]] void throw_end() const;
  void note_change() {
    if (changed_.has_waiters()) changed_.notify_all();
  }

  struct Calls; // what only a circuit that has called needs
  Calls& calls();

  Circuit circuit_;
  std::shared_ptr<RpcServer> server_;
  std::unique_ptr<End> end_;
  bool serving_ = true;
  bool reading_ = false; // in `read`
  bool delay_logged_ = false;
  bool read_ahead_logged_ = false;
  bool calls_logged_ = false;

  // Requests of the far side.
  std::optional<std::uint64_t> request_id_last_;
  std::uint32_t running_ = 0;
  std::size_t running_bytes_ = 0;
  bool starved_ = false; // in the server's list
  std::list<RpcRequest> waiting_; // for a place among the running ones
  std::size_t waiting_bytes_ = 0;
  std::unique_ptr<Tasks> tasks_; // handlers; made for the first

  // What we send.
  std::uint64_t call_id_last_ = 0;
  std::list<Sender*> senders_;
  std::unique_ptr<Calls> calls_; // made for the first

  Signal changed_; // something ended: a handler, a call, the circuit
};

} // namespace trunkline::quarkchain

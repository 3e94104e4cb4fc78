// Requests, replies and commands over one Circuit, by the rules of the QuarkChain cluster protocol. It knows no
// dialect: over the cluster framing a rpc id is the id on the wire, over a native trunk it is the fragment's `part`.
// Both ends are alike.
//
// An RpcServer says what is served; an RpcCircuit is one circuit with its own ids, pending calls and running handlers.
//
// A frame is what its opcode says, looked up in the server: a command (rpc id 0, no reply), a request (ids strictly
// increasing, 0 only as the very first), or else a reply, which is matched by id alone. What breaks these rules, and a
// handler that throws, closes this circuit and nothing else; on a control circuit that is the connection.
#pragma once

#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "async/types.hpp"
#include "circuit/circuit.hpp"
#include "services/quarkchain/rpc/calls.hpp"
#include "services/quarkchain/rpc/server.hpp"

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline::quarkchain {

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
  TimePoint now() const;
  std::size_t calls_pending() const noexcept;
  std::size_t requests_running() const noexcept { return running_; }
  std::size_t requests_waiting() const noexcept { return waiting_.size(); }

  /// For its owner: whose it is. Not touched here.
  std::weak_ptr<void> owner;

 private:
  struct Slot; // a handler's place among the running ones
  using Pointer = std::shared_ptr<RpcCircuit>;

  RpcCircuit(Circuit circuit, std::shared_ptr<RpcServer> server);
  void on_circuit_event(const TrunkEvent& event) override;
  // Coroutines keep the circuit alive, so they are static and take it by value.
  static awaitable<RpcReply> call_on(Pointer self, std::uint8_t op, Payload payload, Duration deadline);
  static awaitable<void> command_on(Pointer self, std::uint8_t op, Payload payload);
  static awaitable<void> idle_on(Pointer self);
  static awaitable<End> ended_on(Pointer self);

  // What the far side says.
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
  bool full() const noexcept { return waiting_bytes_ >= server_->limits().requests_waiting_bytes_max; }
  bool reads_on() const noexcept;
  void violate(std::uint64_t& counter, const std::string& text);
  void on_end(End reason);

  // What we say.
  bool try_send(Fragment& fragment, RpcCalls::Call* call);
  awaitable<void> send(Fragment& fragment, RpcCalls::Call* call); // of a coroutine that keeps the circuit
  void wake_sender();
  [[noreturn]] void throw_end() const;
  void note_change() {
    if (changed_.has_waiters()) changed_.notify_all();
  }

  RpcCalls& calls();

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
  std::list<Signal*> senders_; // in the order in which they came
  std::unique_ptr<RpcCalls> calls_; // made for the first

  Signal changed_; // something ended: a handler, a call, the circuit
};

} // namespace trunkline::quarkchain

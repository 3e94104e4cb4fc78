// A way to the far end of an RpcCircuit that speaks messages: what may be sent to it is known to the compiler.
//
//   GasPriceRequest request;
//   request.branch.value = branch;
//   const GasPriceResponse reply = co_await slave.within(5s).ask(request);
#pragma once

#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/protocol/opcodes.hpp"
#include "services/quarkchain/rpc/refusal.hpp"
#include "services/quarkchain/rpc/rpc.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::quarkchain {

/// What a client speaks on and how long it waits. A circuit that is not there fails every call.
struct CallVia {
  std::shared_ptr<RpcCircuit> circuit;
  Duration deadline = Duration::zero(); // zero: for as long as the circuit is open

  CallVia(std::shared_ptr<RpcCircuit> on, Duration within) : circuit(std::move(on)), deadline(within) {}
};

/// Sends an encoded request. Errors: as RpcCircuit::call; error::circuit_closed without a circuit.
awaitable<RpcReply> raw_call(CallVia via, std::uint8_t op, Payload payload);
awaitable<void> raw_command(CallVia via, std::uint8_t op, Payload payload);

[[noreturn]] void throw_bad_reply(const CallVia& via, std::uint8_t op, const RpcReply& reply, const DecodeError& error);
[[noreturn]] void throw_refused(const CallVia& via, std::uint8_t op, std::uint32_t code);

/// The reply's opcode is not compared with anything, as pyquarkchain does.
template <class Request> awaitable<typename Rpc<Request>::Reply> reply_to(CallVia via, awaitable<RpcReply> call) {
  constexpr auto op = static_cast<std::uint8_t>(Rpc<Request>::code);
  const RpcReply raw = co_await std::move(call);
  typename Rpc<Request>::Reply reply;
  DecodeError error;
  if (!decode(raw.payload.bytes(), reply, error)) throw_bad_reply(via, op, raw, error);
  if constexpr (SaysError<typename Rpc<Request>::Reply>)
    if (reply.error_code != 0) throw_refused(via, op, reply.error_code);
  co_return reply;
}

template <class Reply> awaitable<std::optional<Reply>> unless_refused(awaitable<Reply> call) {
  std::optional<Reply> reply;
  try {
    reply = co_await std::move(call);
  } catch (const Refused&) { // nothing
  }
  co_return reply;
}

/// A handle; copies speak on the same circuit. It keeps the circuit alive, not open. `sender` is what we are.
///
/// What is sent is encoded before a method returns: it need not live on. Cancelled: the reply is dropped when it comes.
/// Errors of each: error::timed_out after the deadline; what the connection ended with, error::circuit_closed for a
/// null circuit; error::cannot_decode for a reply that is none; Refused, with the error_code of the far end.
template <Senders sender> class Client {
 public:
  explicit Client(std::shared_ptr<RpcCircuit> circuit, Duration deadline = Duration::zero())
      : via_(std::move(circuit), deadline) {}
  /// The same far end, with a deadline for each call.
  Client within(Duration deadline) const { return Client(via_.circuit, deadline); }
  const std::shared_ptr<RpcCircuit>& circuit() const noexcept { return via_.circuit; }

  template <class Request>
    requires((Rpc<Request>::senders & sender) != 0)
  awaitable<typename Rpc<Request>::Reply> ask(const Request& request) const {
    return reply_to<Request>(via_, raw_call(via_, static_cast<std::uint8_t>(Rpc<Request>::code), encoded(request)));
  }
  /// The same, and nothing for any error_code: pyquarkchain says "not found" so.
  template <class Request> awaitable<std::optional<typename Rpc<Request>::Reply>> find(const Request& request) const {
    return unless_refused(ask(request));
  }
  /// Sends a command: waits for room only, and nobody answers.
  template <auto code>
    requires((MessageOf<code>::senders & sender) != 0)
  awaitable<void> tell(const typename MessageOf<code>::type& command) const {
    return raw_command(via_, static_cast<std::uint8_t>(code), encoded(command));
  }

 private:
  CallVia via_;
};

/// A master's way to a slave, a slave's to its master, and to another slave.
using SlaveClient = Client<from_master>;
using MasterClient = Client<from_slave>;
using XshardClient = Client<between_slaves>;

} // namespace trunkline::quarkchain

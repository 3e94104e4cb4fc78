// A request as a message and its reply as a message, over any RpcCircuit; and the circuits' servers, typed likewise.
// Internal to the clients and services: those have the protocol's methods by name.
#pragma once

#include "services/quarkchain/backend/backend.hpp"
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/protocol/opcodes.hpp"
#include "services/quarkchain/rpc/rpc.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace trunkline::quarkchain {

template <class Request> inline constexpr auto op_code = static_cast<std::uint8_t>(Rpc<Request>::code);

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

template <class Reply>
concept SaysError = requires(Reply reply) { reply.error_code; };

template <class Request> awaitable<typename Rpc<Request>::Reply> reply_to(CallVia via, awaitable<RpcReply> call) {
  const RpcReply raw = co_await std::move(call);
  typename Rpc<Request>::Reply reply;
  DecodeError error;
  if (!decode(raw.payload.bytes(), reply, error)) throw_bad_reply(via, op_code<Request>, raw, error);
  if constexpr (SaysError<typename Rpc<Request>::Reply>)
    if (reply.error_code != 0) throw_refused(via, op_code<Request>, reply.error_code);
  co_return reply;
}

/// The reply to a request. The request is encoded before this returns, so it need not live on. The reply's opcode is
/// not compared with anything, as pyquarkchain does. Errors: as raw_call; error::cannot_decode for a reply that is
/// none; Refused for an error_code other than 0.
template <class Request>
awaitable<typename Rpc<Request>::Reply> typed_call(const CallVia& via, const Request& request) {
  return reply_to<Request>(via, raw_call(via, op_code<Request>, encoded(request)));
}

} // namespace trunkline::quarkchain

#include "services/quarkchain/rpc/client.hpp"

#include "fragment/error.hpp"

namespace trunkline::quarkchain {
namespace {

void require_circuit(const CallVia& via) {
  if (!via.circuit) throw_error(error::circuit_closed, "there is no connection");
}

} // namespace

awaitable<RpcReply> raw_call(CallVia via, std::uint8_t op, Payload payload) {
  require_circuit(via);
  co_return co_await via.circuit->call(op, std::move(payload), via.deadline);
}

awaitable<void> raw_command(CallVia via, std::uint8_t op, Payload payload) {
  require_circuit(via);
  co_await via.circuit->command(op, std::move(payload));
}

void throw_bad_reply(const CallVia& via, std::uint8_t op, const RpcReply& reply, const DecodeError& error) {
  throw_error(error::cannot_decode,
              fmt::format("reply {} of {} bytes to {}, from {}: {}", reply.op, reply.payload.size(),
                          via.circuit->server().name_of(op), via.circuit->remote(), error.text()));
}

void throw_refused(const CallVia& via, std::uint8_t op, std::uint32_t code) {
  throw Refused(code, fmt::format("{} was refused with error_code {}, from {}", via.circuit->server().name_of(op), code,
                                  via.circuit->remote()));
}

} // namespace trunkline::quarkchain

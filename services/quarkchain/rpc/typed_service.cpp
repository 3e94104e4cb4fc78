#include "services/quarkchain/rpc/typed_service.hpp"

#include "fragment/quote.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

awaitable<Payload> unserved(const OpInfo* op, std::shared_ptr<ServiceCounters> counters, RpcRequest request) {
  const NotImplemented left_out(op->name.data());
  std::optional<Payload> reply = reply_for(left_out, *op, request, *counters);
  if (!reply) throw left_out;
  co_return std::move(*reply);
}

awaitable<void> unheard(const OpInfo* op, std::shared_ptr<ServiceCounters> counters, RpcRequest request) {
  const NotImplemented left_out(op->name.data());
  reply_for(left_out, *op, request, *counters);
  if (op->unserved == Unserved::close) throw left_out;
  co_return;
}

} // namespace

std::optional<Payload> reply_for(const std::exception& failure, const OpInfo& op, const RpcRequest& request,
                                 ServiceCounters& counters) {
  const auto* const refused = dynamic_cast<const Refused*>(&failure);
  ++(refused ? counters.refused : counters.unserved);
  const RpcCircuit& circuit = *request.circuit;
  circuit.server().log(
      "refused", LogLevel::info,
      fmt::format("{} {}, {}: {} was {}: {}", circuit.server().kind(), circuit.remote(), circuit.name(),
                  circuit.server().name_of(op.code), refused ? "refused" : "not served", escape(failure.what(), 1024)),
      circuit.now());
  // A reply without an error_code cannot say that something was refused.
  if (!op.fallback || (refused && op.unserved != Unserved::error)) return std::nullopt;
  return op.fallback(refused ? refused->code() : static_cast<std::uint32_t>(Refusal::failed));
}

void serve_rest(RpcServer& server, OpTable table, std::uint8_t senders,
                const std::shared_ptr<ServiceCounters>& counters) {
  for (const OpInfo& row : ops(table)) {
    if (server.has(row.code)) continue;
    const OpInfo* const op = &row;
    if ((op->senders & senders) == 0 || op->op_class == OpClass::reply) {
      server.know(op->code, std::string(op->name));
    } else if (op->op_class == OpClass::request) {
      server.serve(op->code, std::string(op->name), op->reply,
                   [op, counters](RpcRequest request) { return unserved(op, counters, std::move(request)); });
    } else {
      server.hear(op->code, std::string(op->name),
                  [op, counters](RpcRequest request) { return unheard(op, counters, std::move(request)); });
    }
  }
}

} // namespace trunkline::quarkchain

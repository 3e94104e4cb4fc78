// Serves whatever answers messages: `serve` walks the opcode table. Internal to the services.
//
// An answerer is a class with an `on` for each message that it takes, awaitable<Reply> on(Request) and
// awaitable<void> on(Command); that of a message which it passes on may be a template. It is copied for each request,
// its `circuit` is set to the one on which that came, and it lives until the answer is there. What a sender may send
// and nobody takes is served as the opcode table states, and so is what throws NotImplemented.
#pragma once

#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/protocol/opcodes.hpp"
#include "services/quarkchain/rpc/refusal.hpp"
#include "services/quarkchain/rpc/service.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::quarkchain {

template <class Answerer, class Message>
concept Takes = requires(Answerer answerer, Message message) { answerer.on(std::move(message)); };

/// What comes of a failure: the reply, or nothing where the opcode has no reply that says so. Counts and logs it.
std::optional<Payload> reply_for(const std::exception& failure, const OpInfo& op, const RpcRequest& request,
                                 ServiceCounters& counters);
/// Serves all that is left of a table: by its policy what these may send, as a reply what they may not.
void serve_rest(RpcServer& server, OpTable table, std::uint8_t senders,
                const std::shared_ptr<ServiceCounters>& counters);

/// The reply to a request for what is not here; nothing where the reply has no words for it.
template <class Reply> std::optional<Payload> filler_for(const Refused& refused) {
  if constexpr (requires(Reply reply) { reply.error_code, reply.minor_block; }) {
    if (!dynamic_cast<const NotFound*>(&refused)) return std::nullopt;
    Reply reply;
    reply.error_code = refused.code();
    reply.minor_block = filler_minor_block();
    return encoded(reply);
  }
  return std::nullopt;
}

template <class Request, class Answerer> awaitable<Payload> answered(const OpInfo* op,
                                                                     std::shared_ptr<ServiceCounters> counters,
                                                                     Answerer answerer, RpcRequest request) {
  using Reply = Rpc<Request>::Reply;
  Request message = decoded<Request>(request.payload.bytes());
  answerer.circuit = request.circuit;
  std::optional<Payload> instead;
  try {
    Reply reply = co_await answerer.on(std::move(message));
    if constexpr (SaysError<Reply>) reply.error_code = 0; // who refuses throws
    co_return encoded(reply);
  } catch (const Refused& refused) {
    instead = filler_for<Reply>(refused);
    if (!instead) instead = reply_for(refused, *op, request, *counters);
    if (!instead) throw;
  } catch (const NotImplemented& left_out) {
    instead = reply_for(left_out, *op, request, *counters);
    if (!instead) throw;
  }
  co_return std::move(*instead);
}

template <class Command, class Answerer> awaitable<void> taken(const OpInfo* op,
                                                               std::shared_ptr<ServiceCounters> counters,
                                                               Answerer answerer, RpcRequest request) {
  Command message = decoded<Command>(request.payload.bytes());
  answerer.circuit = request.circuit;
  try {
    co_await answerer.on(std::move(message));
  } catch (const NotImplemented& left_out) {
    reply_for(left_out, *op, request, *counters);
    if (op->unserved != Unserved::ignore) throw;
  } catch (const Refused& refused) {
    reply_for(refused, *op, request, *counters);
    throw;
  }
}

/// A service of all that `sender` may send. `kind` names its connections in log lines.
template <Senders sender, class Answerer>
Service serve(std::string kind, const ServiceOptions& options, const Answerer& answerer) {
  constexpr OpTable table = table_of(sender);
  const auto counters = std::make_shared<ServiceCounters>();
  const auto server = std::make_shared<RpcServer>(std::move(kind), options.limits, options.log);
  for_each_op<table>([&]<auto code>() {
    using Message = MessageOf<code>::type;
    if constexpr ((MessageOf<code>::senders & sender) != 0 && Takes<Answerer, Message>) {
      const OpInfo* const op = find_op(table, static_cast<std::uint8_t>(code));
      if constexpr (IsRequest<Message>) {
        server->serve(op->code, std::string(op->name), op->reply, [op, counters, answerer](RpcRequest request) {
          return answered<Message>(op, counters, answerer, std::move(request));
        });
      } else {
        server->hear(op->code, std::string(op->name), [op, counters, answerer](RpcRequest request) {
          return taken<Message>(op, counters, answerer, std::move(request));
        });
      }
    }
  });
  serve_rest(*server, table, sender, counters);
  return Service(server, counters);
}

} // namespace trunkline::quarkchain

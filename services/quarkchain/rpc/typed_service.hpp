// Fills an RpcServer with answers that speak messages. Internal to the services.
//
// A service is one overload set, `answer(Context, Request)` and `hear(Context, Command)`; a context is copied for each
// request and keeps what the answer needs. What a sender may send and nobody answers is served as the opcode table
// states, and so is what throws NotImplemented.
#pragma once

#include "services/quarkchain/rpc/typed_call.hpp"
#include "services/quarkchain/rpc/service.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace trunkline::quarkchain {

/// What comes of a failure: the reply, or nothing where the opcode has no reply that says so. Counts and logs it.
std::optional<Payload> reply_for(const std::exception& failure, const OpInfo& op, const RpcRequest& request,
                                 ServiceCounters& counters);
/// Serves all that is left of a table: by its policy what these may send, as a reply what they may not.
void serve_rest(RpcServer& server, OpTable table, std::uint8_t senders,
                const std::shared_ptr<ServiceCounters>& counters);

template <class Context> class TypedService {
 public:
  TypedService(OpTable table, std::uint8_t senders, std::string kind, const ServiceOptions& options, Context context)
      : table_(table), senders_(senders), context_(std::move(context)),
        server_(std::make_shared<RpcServer>(std::move(kind), options.limits, options.log)) {}

  template <class Request> void serve(awaitable<typename Rpc<Request>::Reply> (*answer)(Context, Request)) {
    const OpInfo* const op = find_op(table_, op_code<Request>);
    server_->serve(op->code, std::string(op->name), op->reply,
                   [answer, op, counters = counters_, context = context_](RpcRequest request) {
                     return answered<Request>(answer, op, counters, context, std::move(request));
                   });
  }
  template <class Command> void hear(std::uint8_t code, awaitable<void> (*take)(Context, Command)) {
    const OpInfo* const op = find_op(table_, code);
    server_->hear(op->code, std::string(op->name),
                  [take, op, counters = counters_, context = context_](RpcRequest request) {
                    return heard<Command>(take, op, counters, context, std::move(request));
                  });
  }
  /// What was not named falls under the table's policy.
  std::shared_ptr<RpcServer> finish() {
    serve_rest(*server_, table_, senders_, counters_);
    return server_;
  }
  const std::shared_ptr<ServiceCounters>& counters() const noexcept { return counters_; }

 private:
  template <class Request>
  static awaitable<Payload> answered(awaitable<typename Rpc<Request>::Reply> (*answer)(Context, Request),
                                     const OpInfo* op, std::shared_ptr<ServiceCounters> counters, Context context,
                                     RpcRequest request) {
    Request message = decoded<Request>(request.payload.bytes());
    context.circuit = request.circuit;
    std::optional<Payload> instead;
    try {
      const typename Rpc<Request>::Reply reply = co_await answer(std::move(context), std::move(message));
      co_return encoded(reply);
    } catch (const Refused& refused) {
      instead = reply_for(refused, *op, request, *counters);
      if (!instead) throw;
    } catch (const NotImplemented& left_out) {
      instead = reply_for(left_out, *op, request, *counters);
      if (!instead) throw;
    }
    co_return std::move(*instead);
  }

  template <class Command> static awaitable<void> heard(awaitable<void> (*take)(Context, Command), const OpInfo* op,
                                                        std::shared_ptr<ServiceCounters> counters, Context context,
                                                        RpcRequest request) {
    Command message = decoded<Command>(request.payload.bytes());
    context.circuit = request.circuit;
    try {
      co_await take(std::move(context), std::move(message));
    } catch (const NotImplemented& left_out) {
      reply_for(left_out, *op, request, *counters);
      if (op->unserved != Unserved::ignore) throw;
    } catch (const Refused& refused) {
      reply_for(refused, *op, request, *counters);
      throw;
    }
  }

  OpTable table_;
  std::uint8_t senders_;
  Context context_;
  std::shared_ptr<ServiceCounters> counters_ = std::make_shared<ServiceCounters>();
  std::shared_ptr<RpcServer> server_;
};

} // namespace trunkline::quarkchain

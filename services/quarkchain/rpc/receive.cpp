// What the far side says: which frame is a command, a request or a reply, and the handlers that run for it.
#include "services/quarkchain/rpc/rpc.hpp"

#include "circuit/trunk.hpp"
#include "fragment/quote.hpp"
#include "services/quarkchain/rpc/calls.hpp"

#include <boost/asio/error.hpp>
#include <fmt/format.h>

#include <exception>
#include <utility>

namespace trunkline::quarkchain {

void RpcCircuit::read() {
  if (reading_) return; // the running one looks again
  struct Reading {
    bool& flag;
    explicit Reading(bool& reading) : flag(reading) { flag = true; }
    ~Reading() { flag = false; }
  };
  const Reading reading(reading_);
  while (!end_ && reads_on()) {
    std::optional<Fragment> fragment = circuit_.try_receive();
    if (!fragment) return;
    on_fragment(*fragment);
  }
}

/// Replies come behind requests: while a call of ours waits for one, requests that wait may not keep it from us, or the
/// handlers that make the calls, and with them the requests, would wait for ever.
bool RpcCircuit::reads_on() const noexcept {
  if (!full()) return true;
  return calls_pending() > 0 && waiting_bytes_ < server_->limits_.requests_read_ahead_bytes_max;
}

void RpcCircuit::on_fragment(Fragment& fragment) {
  RpcCounters& counters = server_->counters_;
  const bool is_opcode = fragment.op >= 0 && fragment.op <= 0xFF;
  const RpcServer::Entry* const entry =
      is_opcode ? server_->entries_[static_cast<std::size_t>(fragment.op)].get() : nullptr;
  if (!entry) return violate(counters.unknown_opcodes, fmt::format("opcode {} is not known", fragment.op));
  const auto op = static_cast<std::uint8_t>(fragment.op);
  const auto rpc_id = static_cast<std::uint64_t>(fragment.part);
  switch (entry->kind) {
    case RpcServer::Kind::unknown:
    case RpcServer::Kind::reply: return on_reply(fragment);
    case RpcServer::Kind::command:
      if (rpc_id != 0)
        return violate(counters.commands_with_id,
                       fmt::format("command {} has rpc id {}, expected 0", server_->name_of(op), rpc_id));
      ++counters.commands;
      break;
    case RpcServer::Kind::request:
      if (request_id_last_ && rpc_id <= *request_id_last_)
        return violate(counters.ids_out_of_order, fmt::format("request {} has rpc id {}, expected more than {}",
                                                              server_->name_of(op), rpc_id, *request_id_last_));
      request_id_last_ = rpc_id;
      ++counters.requests;
      break;
  }
  if (serving_)
    admit(RpcRequest(shared_from_this(), op, rpc_id, std::move(fragment.payload), std::move(fragment.subject)));
}

void RpcCircuit::on_reply(Fragment& fragment) {
  RpcCounters& counters = server_->counters_;
  const auto rpc_id = static_cast<std::uint64_t>(fragment.part);
  const auto op = static_cast<std::uint8_t>(fragment.op);
  if (calls_) {
    const auto found = calls_->pending.find(rpc_id);
    if (found != calls_->pending.end()) {
      Call& call = *found->second;
      calls_->pending.erase(found);
      ++counters.replies;
      call.done = true;
      call.reply.emplace();
      call.reply->op = op;
      call.reply->payload = std::move(fragment.payload);
      return call.changed.notify_all();
    }
    if (calls_->was_given_up(rpc_id)) {
      ++counters.late_replies;
      return;
    }
  }
  violate(counters.unexpected_replies,
          fmt::format("{} with rpc id {} is not served here, and answers no call", server_->name_of(op), rpc_id));
}

// Handlers.

namespace {

std::size_t cost_of(const RpcRequest& request) noexcept { return request.payload.size() + frame_cost_bytes; }

} // namespace

struct RpcCircuit::Slot {
  Slot(Pointer circuit, std::size_t of_request) : of(std::move(circuit)), bytes(of_request) {
    ++of->running_;
    of->running_bytes_ += bytes;
    of->server_->running_bytes_ += bytes;
  }
  Slot(Slot&&) noexcept = default;
  Slot& operator=(Slot&&) = delete;
  ~Slot() {
    if (of) of->leave_slot(bytes);
  }
  Pointer of;
  std::size_t bytes;
};

/// Whatever its size, one request is always let in.
bool RpcCircuit::has_room(const RpcRequest& request) const noexcept {
  const RpcLimits& limits = server_->limits_;
  const std::size_t bytes = cost_of(request);
  return running_ < limits.requests_in_flight_max &&
         (running_ == 0 || running_bytes_ + bytes <= limits.requests_in_flight_bytes_max) &&
         (server_->running_bytes_ == 0 || server_->running_bytes_ + bytes <= limits.requests_of_kind_bytes_max);
}

/// A handler runs up to its first wait before the next frame is looked at: what it answers at once is sent, whatever
/// comes next.
void RpcCircuit::admit(RpcRequest request) {
  if (waiting_.empty() && has_room(request)) return tasks().start(handle(std::move(request)));
  ++server_->counters_.requests_delayed;
  waiting_bytes_ += cost_of(request);
  waiting_.push_back(std::move(request));
  note_delay();
  if (running_ == 0) run_waiting();
}

void RpcCircuit::note_delay() {
  const RpcLimits& limits = server_->limits_;
  const auto say = [this](const std::string& what) {
    server_->log(LogLevel::warning, fmt::format("{} {}: {}", server_->kind(), circuit_.remote_peer().url, what));
  };
  if (waiting_bytes_ >= limits.requests_read_ahead_bytes_max && !std::exchange(read_ahead_logged_, true))
    say(fmt::format(
        "{} bytes of requests of {} wait, requests_read_ahead_bytes_max is {}: it is not read, and {} calls "
        "of ours wait for replies",
        waiting_bytes_, name(), limits.requests_read_ahead_bytes_max, calls_pending()));
  if (std::exchange(delay_logged_, true)) return;
  if (running_ >= limits.requests_in_flight_max)
    return say(fmt::format("requests_in_flight_max {} of {} are being handled, further ones wait",
                           limits.requests_in_flight_max, name()));
  const bool own = running_ > 0 && running_bytes_ + cost_of(waiting_.back()) > limits.requests_in_flight_bytes_max;
  say(fmt::format("{} bytes of requests {} are being handled, {} is {}: further ones wait",
                  own ? running_bytes_ : server_->running_bytes_,
                  own ? "of " + name() : "of " + server_->kind() + " connections",
                  own ? "requests_in_flight_bytes_max" : "requests_of_kind_bytes_max",
                  own ? limits.requests_in_flight_bytes_max : limits.requests_of_kind_bytes_max));
}

Tasks& RpcCircuit::tasks() {
  if (!tasks_) tasks_ = std::make_unique<Tasks>(circuit_.trunk()->executor());
  return *tasks_;
}

awaitable<void> RpcCircuit::handle(RpcRequest request) {
  const RpcServer::Entry& entry = *server_->entries_[request.op];
  const std::size_t bytes = cost_of(request);
  return run(Slot(shared_from_this(), bytes), std::move(request), entry);
}

/// A handler has ended, or never began.
void RpcCircuit::leave_slot(std::size_t bytes) {
  --running_;
  running_bytes_ -= bytes;
  server_->running_bytes_ -= bytes;
  note_change();
  run_waiting();
  feed_starved(*server_);
}

/// Those that have room now. Where nothing of ours runs that would come back here, the server does.
void RpcCircuit::run_waiting() {
  if (end_ || waiting_.empty()) return;
  while (!waiting_.empty() && has_room(waiting_.front())) {
    RpcRequest request = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_bytes_ -= cost_of(request);
    tasks().spawn(handle(std::move(request))); // posted: one that ends at once would come back here
  }
  if (!waiting_.empty() && running_ == 0 && !std::exchange(starved_, true))
    server_->starved_.push_back(weak_from_this());
  read();
}

void RpcCircuit::feed_starved(RpcServer& server) {
  if (server.starved_.empty()) return;
  for (const std::weak_ptr<RpcCircuit>& weak : std::exchange(server.starved_, {}))
    if (const auto circuit = weak.lock()) {
      circuit->starved_ = false;
      circuit->run_waiting();
    }
}

awaitable<void> RpcCircuit::run(Slot slot, RpcRequest request, const RpcServer::Entry& entry) {
  RpcCircuit& self = *slot.of;
  const std::uint8_t op = request.op;
  try {
    if (entry.kind == RpcServer::Kind::command) {
      co_await entry.command(std::move(request));
      co_return;
    }
    Fragment reply(entry.reply_op);
    reply.part = static_cast<std::int64_t>(request.rpc_id);
    reply.subject = std::move(request.subject);
    reply.payload = co_await entry.request(std::move(request));
    if (self.end_) co_return; // nobody hears it any more
    if (!self.senders_.empty() || !self.try_send(reply, nullptr)) co_await self.send(reply, nullptr);
    co_return;
  } catch (const std::exception& failure) {
    if (self.end_) co_return; // cancelled, or its reply was too late
    self.violate(self.server_->counters_.handlers_failed,
                 fmt::format("handler of {} failed: {}", self.server_->name_of(op), text_of(failure)));
  } catch (...) {
    if (!self.end_)
      self.violate(self.server_->counters_.handlers_failed,
                   fmt::format("handler of {} failed", self.server_->name_of(op)));
    throw;
  }
}

/// Closes this circuit and nothing else; on a control circuit that is the connection.
void RpcCircuit::violate(std::uint64_t& counter, const std::string& text) {
  ++counter;
  server_->log(LogLevel::warning,
               fmt::format("{} {}, {}: {}", server_->kind(), circuit_.remote_peer().url, name(), text));
  const bool failed = &counter == &server_->counters_.handlers_failed;
  close(End(failed ? error::handler_failed : error::protocol_violation_on_circuit, text));
}

} // namespace trunkline::quarkchain

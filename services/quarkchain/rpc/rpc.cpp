#include "services/quarkchain/rpc/rpc.hpp"

#include "circuit/trunk.hpp"
#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"

#include <fmt/format.h>

#include <exception>
#include <utility>

namespace trunkline::quarkchain {

RpcCircuit::RpcCircuit(Circuit circuit, std::shared_ptr<RpcServer> server)
    : circuit_(std::move(circuit)), server_(std::move(server)) {}

RpcCircuit::~RpcCircuit() = default;

std::shared_ptr<RpcCircuit> RpcCircuit::start(Circuit circuit, std::shared_ptr<RpcServer> server) {
  const Pointer self(new RpcCircuit(std::move(circuit), std::move(server)));
  self->circuit_.set_listener(self.get());
  self->read();
  if (const std::optional<End> end = self->circuit_.end()) self->on_end(*end);
  return self;
}

RpcCalls& RpcCircuit::calls() {
  if (!calls_) calls_ = std::make_unique<RpcCalls>(server_->limits().late_replies_max, [this] { note_change(); });
  return *calls_;
}

std::size_t RpcCircuit::calls_pending() const noexcept { return calls_ ? calls_->pending() : 0; }

void RpcCircuit::on_circuit_event(const TrunkEvent& event) {
  switch (event.kind) {
    case TrunkEvent::Kind::readable: return read();
    case TrunkEvent::Kind::writable: return wake_sender();
    case TrunkEvent::Kind::ended: {
      const Pointer self = shared_from_this(); // whoever hears of the end may let go
      read(); // what came before
      return on_end(event.circuit->end ? *event.circuit->end : End());
    }
    default: return;
  }
}

void RpcCircuit::close(End reason) {
  if (end_) return;
  const Pointer self = shared_from_this();
  circuit_.close(reason);
  on_end(std::move(reason));
}

void RpcCircuit::on_end(End reason) {
  if (end_) return;
  end_ = std::make_unique<End>(std::move(reason));
  waiting_.clear();
  waiting_bytes_ = 0;
  if (tasks_) tasks_->cancel();
  if (calls_) calls_->end();
  for (Signal* sender : senders_) sender->notify_all();
  changed_.notify_all();
  if (server_->on_ended) server_->on_ended(*this, *end_);
}

void RpcCircuit::throw_end() const {
  if (end_->clean()) throw_error(error::circuit_closed, "the connection was closed");
  throw boost::system::system_error(end_->code, end_->text);
}

awaitable<void> RpcCircuit::idle_on(Pointer self) {
  while (!self->end_ && (self->running_ > 0 || (self->calls_ && self->calls_->admitted() > 0)))
    co_await self->changed_.wait();
}

awaitable<End> RpcCircuit::ended_on(Pointer self) {
  while (!self->end_) co_await self->changed_.wait();
  End end = *self->end_;
  co_return end;
}

// Sending.

/// Sends now or not at all. A call takes its id in the moment in which it reaches the wire.
bool RpcCircuit::try_send(Fragment& fragment, RpcCalls::Call* call) {
  if (call) fragment.part = static_cast<std::int64_t>(call->next_id());
  if (circuit_.send_one_way(fragment) != SendOutcome::queued) return false;
  if (call) call->sent();
  return true;
}

awaitable<void> RpcCircuit::send(Fragment& fragment, RpcCalls::Call* call) {
  if (end_) throw_end();
  if (senders_.empty() && try_send(fragment, call)) co_return;

  struct Place {
    Place(RpcCircuit& circuit, RpcCalls::Call* waiting) : of(circuit), call_of(waiting) {
      at = of.senders_.insert(of.senders_.end(), &turn);
      if (call_of) call_of->set_sender(&turn);
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() {
      if (call_of) call_of->set_sender(nullptr);
      of.senders_.erase(at);
      of.wake_sender();
    }
    RpcCircuit& of;
    RpcCalls::Call* call_of;
    Signal turn;
    std::list<Signal*>::iterator at;
  } place(*this, call);
  for (;;) {
    co_await place.turn.wait();
    co_await throw_if_cancelled();
    if (end_) throw_end();
    if (call && call->done()) co_return; // timed out
    if (senders_.front() == &place.turn && try_send(fragment, call)) co_return;
  }
}

void RpcCircuit::wake_sender() {
  if (!senders_.empty()) senders_.front()->notify_all();
}

awaitable<void> RpcCircuit::command_on(Pointer self, std::uint8_t op, Payload payload) {
  Fragment fragment(op, std::move(payload));
  co_await self->send(fragment, nullptr);
}

awaitable<RpcReply> RpcCircuit::call_on(Pointer self, std::uint8_t op, Payload payload, Duration deadline) {
  if (self->end_) self->throw_end();
  Fragment fragment(op, std::move(payload));
  RpcCalls& calls = self->calls();
  RpcCalls::Call call(calls);
  if (deadline > Duration::zero())
    call.set_deadline(after(self->circuit_.trunk()->now(), deadline), self->circuit_.trunk()->executor());
  const std::uint32_t calls_max = self->server_->limits().calls_in_flight_max;
  if (calls.admitted() >= calls_max) {
    ++self->server_->count().calls_delayed;
    if (!std::exchange(self->calls_logged_, true))
      self->server_->log(LogLevel::warning,
                         fmt::format("{} {}: calls_in_flight_max {} of {} wait for replies, further ones wait",
                                     self->server_->kind(), self->circuit_.remote_peer().url, calls_max, self->name()));
  }
  while (!self->end_ && !call.done() && calls.admitted() >= calls_max) {
    co_await calls.room();
    co_await throw_if_cancelled();
  }
  call.admit();
  if (!call.done() && (self->end_ || !self->senders_.empty() || !self->try_send(fragment, &call)))
    co_await self->send(fragment, &call);
  if (self->full()) self->read(); // its reply may come behind what was left unread

  while (!call.done()) co_await call.changed();
  if (call.reply()) co_return std::move(*call.reply());
  if (!call.timed_out()) self->throw_end();
  ++self->server_->count().calls_timed_out;
  throw_error(error::timed_out, fmt::format("no reply to {} within its deadline, from {}", self->server_->name_of(op),
                                            self->circuit_.remote_peer().url));
}

// What the far side says: which frame is a command, a request or a reply, and the handlers that run for it.

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
  return calls_pending() > 0 && waiting_bytes_ < server_->limits().requests_read_ahead_bytes_max;
}

void RpcCircuit::on_fragment(Fragment& fragment) {
  RpcCounters& counters = server_->count();
  const RpcServer::Entry* const entry = server_->find(fragment.op);
  if (!entry) return violate(counters.unknown_opcodes, fmt::format("opcode {} is not known", fragment.op));
  const auto op = static_cast<std::uint8_t>(fragment.op);
  const auto rpc_id = static_cast<std::uint64_t>(fragment.part);
  switch (entry->kind) {
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
  RpcCounters& counters = server_->count();
  const auto rpc_id = static_cast<std::uint64_t>(fragment.part);
  const auto op = static_cast<std::uint8_t>(fragment.op);
  const RpcCalls::Heard heard = calls_ ? calls_->on_reply(rpc_id, op, fragment.payload) : RpcCalls::Heard::nobody;
  switch (heard) {
    case RpcCalls::Heard::waiting: ++counters.replies; return;
    case RpcCalls::Heard::given_up: ++counters.late_replies; return;
    case RpcCalls::Heard::nobody: break;
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
    of->server_->enter(bytes);
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
  const RpcLimits& limits = server_->limits();
  const std::size_t bytes = cost_of(request);
  return running_ < limits.requests_in_flight_max &&
         (running_ == 0 || running_bytes_ + bytes <= limits.requests_in_flight_bytes_max) && server_->has_room(bytes);
}

/// A handler runs up to its first wait before the next frame is looked at: what it answers at once is sent, whatever
/// comes next.
void RpcCircuit::admit(RpcRequest request) {
  if (waiting_.empty() && has_room(request)) return tasks().start(handle(std::move(request)));
  ++server_->count().requests_delayed;
  waiting_bytes_ += cost_of(request);
  waiting_.push_back(std::move(request));
  note_delay();
  if (running_ == 0) run_waiting();
}

void RpcCircuit::note_delay() {
  const RpcLimits& limits = server_->limits();
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
                  own ? running_bytes_ : server_->running_bytes(),
                  own ? "of " + name() : "of " + server_->kind() + " connections",
                  own ? "requests_in_flight_bytes_max" : "requests_of_kind_bytes_max",
                  own ? limits.requests_in_flight_bytes_max : limits.requests_of_kind_bytes_max));
}

Tasks& RpcCircuit::tasks() {
  if (!tasks_) tasks_ = std::make_unique<Tasks>(circuit_.trunk()->executor());
  return *tasks_;
}

awaitable<void> RpcCircuit::handle(RpcRequest request) {
  const RpcServer::Entry& entry = *server_->find(request.op);
  const std::size_t bytes = cost_of(request);
  return run(Slot(shared_from_this(), bytes), std::move(request), entry);
}

/// A handler has ended, or never began.
void RpcCircuit::leave_slot(std::size_t bytes) {
  --running_;
  running_bytes_ -= bytes;
  server_->leave(bytes);
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
  if (!waiting_.empty() && running_ == 0 && !std::exchange(starved_, true)) server_->starve(weak_from_this());
  read();
}

void RpcCircuit::feed_starved(RpcServer& server) {
  for (const std::weak_ptr<RpcCircuit>& weak : server.take_starved())
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
    self.violate(self.server_->count().handlers_failed,
                 fmt::format("handler of {} failed: {}", self.server_->name_of(op), text_of(failure)));
  } catch (...) {
    if (!self.end_)
      self.violate(self.server_->count().handlers_failed,
                   fmt::format("handler of {} failed", self.server_->name_of(op)));
    throw;
  }
}

/// Closes this circuit and nothing else; on a control circuit that is the connection.
void RpcCircuit::violate(std::uint64_t& counter, const std::string& text) {
  ++counter;
  server_->log(LogLevel::warning,
               fmt::format("{} {}, {}: {}", server_->kind(), circuit_.remote_peer().url, name(), text));
  const bool failed = &counter == &server_->count().handlers_failed;
  close(End(failed ? error::handler_failed : error::protocol_violation_on_circuit, text));
}

} // namespace trunkline::quarkchain

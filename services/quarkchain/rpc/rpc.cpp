// What a circuit says: calls, commands, and the order in which they and the replies of handlers reach the wire.
#include "services/quarkchain/rpc/rpc.hpp"

#include "circuit/trunk.hpp"
#include "services/quarkchain/rpc/calls.hpp"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

namespace trunkline::quarkchain {

// The server.

RpcServer::RpcServer(std::string kind, RpcLimits limits, LogSink log)
    : kind_(std::move(kind)), limits_(limits), log_(std::move(log)) {
  limits_.check();
}

RpcServer::Entry& RpcServer::add(std::uint8_t op, std::string name, Kind kind) {
  if (entries_[op])
    throw std::invalid_argument(
        fmt::format("opcode {} is registered twice, as {} and {}", op, entries_[op]->name, name));
  entries_[op] = std::make_unique<Entry>();
  entries_[op]->kind = kind;
  entries_[op]->name = std::move(name);
  return *entries_[op];
}

void RpcServer::serve(std::uint8_t op, std::string name, std::uint8_t reply_op, RpcRequestFunc function) {
  if (!function) throw std::invalid_argument(fmt::format("no function for request {} {}", op, name));
  Entry& entry = add(op, std::move(name), Kind::request);
  entry.reply_op = reply_op;
  entry.request = std::move(function);
}

void RpcServer::hear(std::uint8_t op, std::string name, RpcCommandFunc function) {
  if (!function) throw std::invalid_argument(fmt::format("no function for command {} {}", op, name));
  add(op, std::move(name), Kind::command).command = std::move(function);
}

void RpcServer::know(std::uint8_t op, std::string name) { add(op, std::move(name), Kind::reply); }

std::string RpcServer::name_of(std::uint8_t op) const {
  return entries_[op] ? fmt::format("{} {}", op, entries_[op]->name) : std::to_string(op);
}

void RpcServer::log(LogLevel level, std::string_view text) const {
  if (log_) log_(level, text);
}

// The circuit.

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

RpcCircuit::Calls& RpcCircuit::calls() {
  if (!calls_) calls_ = std::make_unique<Calls>();
  return *calls_;
}

std::size_t RpcCircuit::calls_pending() const noexcept { return calls_ ? calls_->pending.size() : 0; }

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
  if (calls_) {
    for (const auto& [id, call] : std::exchange(calls_->pending, {})) {
      call->done = true;
      call->changed.notify_all();
    }
    calls_->room.notify_all();
    if (calls_->alarm)
      calls_->alarm->cancel(); // whoever keeps a circuit that has ended must not keep its context running
  }
  for (Sender* sender : senders_) sender->turn.notify_all();
  changed_.notify_all();
  if (server_->on_ended) server_->on_ended(*this, *end_);
}

void RpcCircuit::throw_end() const {
  if (end_->clean()) throw_error(error::circuit_closed, "the connection was closed");
  throw boost::system::system_error(end_->code, end_->text);
}

awaitable<void> RpcCircuit::idle_on(Pointer self) {
  while (!self->end_ && (self->running_ > 0 || (self->calls_ && self->calls_->admitted > 0)))
    co_await self->changed_.wait();
}

awaitable<End> RpcCircuit::ended_on(Pointer self) {
  while (!self->end_) co_await self->changed_.wait();
  End end = *self->end_;
  co_return end;
}

// Sending.

/// Sends now or not at all. A call takes its id in the moment in which it reaches the wire.
bool RpcCircuit::try_send(Fragment& fragment, Call* call) {
  if (call) fragment.part = static_cast<std::int64_t>(call_id_last_ + 1);
  if (circuit_.send_one_way(fragment) != SendOutcome::queued) return false;
  if (!call) return true;
  call->id = ++call_id_last_;
  call->calls.pending.emplace(call->id, call);
  return true;
}

awaitable<void> RpcCircuit::send(Fragment& fragment, Call* call) {
  if (end_) throw_end();
  if (senders_.empty() && try_send(fragment, call)) co_return;

  struct Place {
    Place(RpcCircuit& circuit, Call* waiting) : of(circuit), call_of(waiting) {
      at = of.senders_.insert(of.senders_.end(), &sender);
      if (call_of) call_of->sender = &sender;
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() {
      if (call_of) call_of->sender = nullptr;
      of.senders_.erase(at);
      of.wake_sender();
    }
    RpcCircuit& of;
    Call* call_of;
    Sender sender;
    std::list<Sender*>::iterator at;
  } place(*this, call);
  for (;;) {
    co_await place.sender.turn.wait();
    co_await throw_if_cancelled();
    if (end_) throw_end();
    if (call && call->done) co_return; // timed out
    if (senders_.front() == &place.sender && try_send(fragment, call)) co_return;
  }
}

void RpcCircuit::wake_sender() {
  if (!senders_.empty()) senders_.front()->turn.notify_all();
}

awaitable<void> RpcCircuit::command_on(Pointer self, std::uint8_t op, Payload payload) {
  Fragment fragment(op, std::move(payload));
  co_await self->send(fragment, nullptr);
}

awaitable<RpcReply> RpcCircuit::call_on(Pointer self, std::uint8_t op, Payload payload, Duration deadline) {
  if (self->end_) self->throw_end();
  Fragment fragment(op, std::move(payload));
  Call call(*self);
  if (deadline > Duration::zero()) {
    call.due = self->circuit_.trunk()->now() + deadline;
    call.calls.deadlines.emplace(call.due, &call);
    call.calls.arm(self->circuit_.trunk()->executor());
  }
  const std::uint32_t calls_max = self->server_->limits_.calls_in_flight_max;
  if (call.calls.admitted >= calls_max) {
    ++self->server_->counters_.calls_delayed;
    if (!std::exchange(self->calls_logged_, true))
      self->server_->log(LogLevel::warning,
                         fmt::format("{} {}: calls_in_flight_max {} of {} wait for replies, further ones wait",
                                     self->server_->kind(), self->circuit_.remote_peer().url, calls_max, self->name()));
  }
  while (!self->end_ && !call.done && call.calls.admitted >= calls_max) {
    co_await call.calls.room.wait();
    co_await throw_if_cancelled();
  }
  call.admitted = true;
  ++call.calls.admitted;
  if (!call.done && (self->end_ || !self->senders_.empty() || !self->try_send(fragment, &call)))
    co_await self->send(fragment, &call);
  if (self->full()) self->read(); // its reply may come behind what was left unread

  while (!call.done) co_await call.changed.wait();
  if (call.reply) co_return std::move(*call.reply);
  if (!call.timed_out) self->throw_end();
  ++self->server_->counters_.calls_timed_out;
  throw_error(error::timed_out, fmt::format("no reply to {} within its deadline, from {}", self->server_->name_of(op),
                                            self->circuit_.remote_peer().url));
}

// Deadlines: one alarm for all calls of a circuit.

void RpcCircuit::Calls::arm(const Executor& executor) {
  if (!alarm) alarm = Clock::of(executor).make_alarm(executor);
  const TimePoint due = deadlines.begin()->first;
  if (due >= armed_for) return; // it rings early, finds nothing due and is set again
  armed_for = due;
  alarm->set(due, [this, executor] {
    armed_for = TimePoint::max();
    on_alarm(Clock::of(executor).now());
    if (!deadlines.empty()) arm(executor);
  });
}

void RpcCircuit::Calls::on_alarm(TimePoint now) {
  while (!deadlines.empty() && deadlines.begin()->first <= now) {
    Call& call = *deadlines.begin()->second;
    deadlines.erase(deadlines.begin());
    call.due = TimePoint::max();
    if (call.done) continue;
    call.done = true;
    call.timed_out = true;
    if (call.sender) call.sender->turn.notify_all();
    room.notify_all();
    call.changed.notify_all();
  }
}

} // namespace trunkline::quarkchain

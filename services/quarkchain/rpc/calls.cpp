#include "services/quarkchain/rpc/calls.hpp"

namespace trunkline::quarkchain {

RpcCalls::Call::~Call() {
  if (due_ != TimePoint::max()) calls_.forget_deadline(*this);
  if (!admitted_) return;
  --calls_.admitted_;
  calls_.room_.notify_one();
  if (id_ != 0 && calls_.pending_.erase(id_) > 0) calls_.give_up(id_);
  calls_.note_change_();
}

void RpcCalls::Call::set_deadline(TimePoint due, const Executor& executor) {
  due_ = due;
  calls_.deadlines_.emplace(due_, this);
  calls_.arm(executor);
}

void RpcCalls::Call::admit() noexcept {
  admitted_ = true;
  ++calls_.admitted_;
}

void RpcCalls::Call::sent() {
  id_ = ++calls_.id_last_;
  calls_.pending_.emplace(id_, this);
}

RpcCalls::Heard RpcCalls::on_reply(std::uint64_t rpc_id, std::uint8_t op, Payload& payload) {
  const auto found = pending_.find(rpc_id);
  if (found == pending_.end()) {
    const bool late = given_up_.erase(rpc_id) > 0 || (rpc_id != 0 && rpc_id <= late_up_to_);
    return late ? Heard::given_up : Heard::nobody;
  }
  Call& call = *found->second;
  pending_.erase(found);
  call.done_ = true;
  call.reply_.emplace();
  call.reply_->op = op;
  call.reply_->payload = std::move(payload);
  call.changed_.notify_all();
  return Heard::waiting;
}

void RpcCalls::end() {
  for (const auto& [id, call] : std::exchange(pending_, {})) {
    call->done_ = true;
    call->changed_.notify_all();
  }
  room_.notify_all();
  if (alarm_) alarm_->cancel(); // whoever keeps a circuit that has ended must not keep its context running
}

void RpcCalls::give_up(std::uint64_t rpc_id) {
  given_up_.insert(rpc_id);
  if (given_up_.size() <= late_replies_max_) return;
  late_up_to_ = *given_up_.begin();
  given_up_.erase(given_up_.begin());
}

void RpcCalls::forget_deadline(const Call& call) {
  for (auto [at, end] = deadlines_.equal_range(call.due_); at != end; ++at)
    if (at->second == &call) {
      deadlines_.erase(at);
      return;
    }
}

// Deadlines: one alarm for all calls.

void RpcCalls::arm(const Executor& executor) {
  if (!alarm_) alarm_ = Clock::of(executor).make_alarm(executor);
  const TimePoint due = deadlines_.begin()->first;
  if (due >= armed_for_) return; // it rings early, finds nothing due and is set again
  armed_for_ = due;
  alarm_->set(due, [this, executor] {
    armed_for_ = TimePoint::max();
    on_alarm(Clock::of(executor).now());
    if (!deadlines_.empty()) arm(executor);
  });
}

void RpcCalls::on_alarm(TimePoint now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    Call& call = *deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    call.due_ = TimePoint::max();
    if (call.done_) continue;
    call.done_ = true;
    call.timed_out_ = true;
    if (call.sender_) call.sender_->notify_all();
    room_.notify_all();
    call.changed_.notify_all();
  }
}

} // namespace trunkline::quarkchain

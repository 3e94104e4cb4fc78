// The calls of one circuit: which were sent and wait for their replies, how many at a time, and until when.
#pragma once

#include "async/clock.hpp"
#include "async/signal.hpp"
#include "async/types.hpp"
#include "fragment/payload.hpp"

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

namespace trunkline::quarkchain {

/// A reply as it came. Its opcode was not compared with anything.
struct RpcReply {
  std::uint8_t op = 0;
  Payload payload;
};

class RpcCalls {
 public:
  /// One call, in its coroutine's frame: admitted, sent, done; done without a reply when it timed out or the circuit
  /// ended. Ends what it is part of when it goes.
  class Call {
   public:
    explicit Call(RpcCalls& calls) : calls_(calls) {}
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    ~Call();

    /// Wakes it, and whoever waits for room for it, at this time.
    void set_deadline(TimePoint due, const Executor& executor);
    /// Takes one of calls_in_flight_max.
    void admit() noexcept;
    /// The id that it has once it is sent.
    std::uint64_t next_id() const noexcept { return calls_.id_last_ + 1; }
    void sent();
    bool done() const noexcept { return done_; }
    bool timed_out() const noexcept { return timed_out_; }
    std::optional<RpcReply>& reply() noexcept { return reply_; }
    awaitable<void> changed() { return changed_.wait(); }
    /// Who is woken too when it times out: its place among those who wait for room on the wire.
    void set_sender(Signal* sender) noexcept { sender_ = sender; }

   private:
    friend class RpcCalls;
    RpcCalls& calls_;
    std::uint64_t id_ = 0; // from when it was sent
    bool admitted_ = false;
    bool done_ = false;
    bool timed_out_ = false;
    std::optional<RpcReply> reply_;
    TimePoint due_ = TimePoint::max();
    Signal* sender_ = nullptr;
    Signal changed_;
  };
  /// Whom a reply was for.
  enum class Heard : std::uint8_t { waiting, given_up, nobody };

  /// `note_change` hears that an admitted call has gone.
  RpcCalls(std::size_t late_replies_max, std::function<void()> note_change)
      : late_replies_max_(late_replies_max), note_change_(std::move(note_change)) {}

  std::size_t pending() const noexcept { return pending_.size(); }
  std::uint32_t admitted() const noexcept { return admitted_; }
  /// A call has left, or the circuit has ended.
  awaitable<void> room() { return room_.wait(); }
  /// Takes the payload of a reply that somebody waits for.
  Heard on_reply(std::uint64_t rpc_id, std::uint8_t op, Payload& payload);
  /// The circuit has ended: all calls are done.
  void end();

 private:
  void give_up(std::uint64_t rpc_id);
  void forget_deadline(const Call& call);
  void arm(const Executor& executor);
  void on_alarm(TimePoint now);

  std::size_t late_replies_max_;
  std::function<void()> note_change_;
  std::uint64_t id_last_ = 0;
  boost::unordered_flat_map<std::uint64_t, Call*> pending_; // sent, not answered
  std::uint32_t admitted_ = 0;        // of calls_in_flight_max: pending, and waiting for room on the wire
  Signal room_;
  std::set<std::uint64_t> given_up_;  // sent, then cancelled or timed out, not answered; the oldest are forgotten
  std::uint64_t late_up_to_ = 0;      // and every id up to here counts as given up
  std::multimap<TimePoint, Call*> deadlines_;
  TimePoint armed_for_ = TimePoint::max();
  std::unique_ptr<Alarm> alarm_;      // made for the first deadline
};

} // namespace trunkline::quarkchain

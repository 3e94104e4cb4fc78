#include "circuit/native/keepalive.hpp"

#include "circuit/invariant.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline {
namespace {

constexpr std::chrono::microseconds round_trip_min{50};

} // namespace

Keepalive::Keepalive(Whole& whole, Writer& writer, const FarPeers& far_peers)
    : whole_(whole), writer_(writer), far_peers_(far_peers), interval_(in_nanoseconds(whole.limits.keepalive_interval)),
      write_deadline_(in_nanoseconds(whole.limits.write_deadline)) {}

void Keepalive::heard() {
  heard_at_ = whole_.now + std::chrono::nanoseconds(off_by_one("keepalive"));
  asked_ = false;
}

void Keepalive::connected() {
  if (std::exchange(connected_, true)) return;
  connected_at_ = heard_at_ = ping_at_ = whole_.now;
}

void Keepalive::put_pong() {
  if (has_pong()) writer_.put_pong(*std::exchange(pong_due_, std::nullopt));
}

void Keepalive::write_began() {
  writing_ = true;
  writing_since_ = whole_.now;
  if (ping_ == Ping::in_output) ping_ = Ping::in_write;
}

void Keepalive::written() {
  writing_ = false;
  if (ping_ != Ping::in_write) return;
  ping_ = Ping::written;
  ping_at_ = whole_.now; // what it waited for our own output says nothing about the far side
}

void Keepalive::ping() {
  ping_ = Ping::in_output; // an earlier one may be on its way
  ping_at_ = whole_.now;
  asked_ = true;
  timed_ = true;
  writer_.put_ping(++ping_number_);
}

void Keepalive::heard_ping(std::uint64_t number) {
  if (pong_due_) ++whole_.counters.pings_coalesced;
  pong_due_ = number;
}

void Keepalive::defer_pong() { pong_at_ = whole_.now + std::chrono::seconds(1); }

void Keepalive::heard_pong(std::uint64_t number) {
  if (!std::exchange(timed_, false) || number != ping_number_) return;
  ++answers_;
  whole_.counters.round_trip = whole_.now - ping_at_;
  round_trip_ = std::max<std::chrono::nanoseconds>(round_trip_min, whole_.counters.round_trip);
}

bool Keepalive::wants_ping() const {
  return (connected_ && !asked_ && whole_.now >= after(heard_at_, interval_)) ||
         (says_little() && whole_.now >= after(writing_since_, interval_));
}

End Keepalive::tick(bool& pinged) {
  const Limits& limits = whole_.limits;
  const Instant now = whole_.now;
  if (connected_ && !far_peers_.introduced() && now >= after(connected_at_, limits.handshake_deadline))
    return End(error::handshake_timeout,
               fmt::format("no hello within handshake_deadline {} ms", limits.handshake_deadline.count()));
  if (connected_ && asked_ && ping_ == Ping::written && now >= dead_at())
    return End(error::keepalive_timeout,
               fmt::format("nothing heard for twice keepalive_interval {} ms", limits.keepalive_interval.count()));
  if (writing_ && now >= after(writing_since_, write_deadline_))
    return End(error::write_timeout,
               fmt::format("output not written within write_deadline {} ms", limits.write_deadline.count()));
  pinged = wants_ping();
  if (pinged) ping();
  return End();
}

void Keepalive::check() const {
  invariant(heard_at_ <= whole_.now, "keepalive: heard_at <= now");
  invariant(ping_ != Ping::in_write || writing_, "keepalive: a ping is in a write only while there is one");
  invariant(round_trip_ >= round_trip_min, "keepalive: round_trip >= round_trip_min");
}

} // namespace trunkline

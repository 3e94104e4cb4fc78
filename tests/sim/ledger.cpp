#include "tests/sim/ledger.hpp"

#include "circuit/limits.hpp"
#include "fragment/error.hpp"
#include "tests/sim/stage.hpp"

#include <boost/asio/error.hpp>

#include <algorithm>
#include <chrono>

namespace trunkline::sim {
namespace {

/// For so long a fault may be noticed after it is over: silence is death after twice keepalive_interval.
constexpr Duration aftermath = std::chrono::seconds(60);

/// What a connection that is gone leaves its circuits with.
bool is_loss(const boost::system::error_code& code) {
  return code == error::trunk_lost || code == error::connect_failed || code == error::keepalive_timeout ||
         code == error::write_timeout || code == error::handshake_timeout || code == error::node_closed ||
         code == error::draining || code == error::peer_ended;
}

} // namespace

std::string Ledger::open(const std::string& kind, const std::string& opener, const std::string& server) {
  const std::string name = streams_.open(kind);
  Entry& entry = entries_[name];
  entry.opener = opener;
  entry.server = server;
  entry.opened_at = world_.now();
  return name;
}

void Ledger::runs(const std::string& host) { down_until_[host] = world_.now(); }

void Ledger::strike(const std::string& one, const std::string& other, Duration lasts) {
  TimePoint& until = struck_until_[pair_of(one, other)];
  until = std::max(until, world_.now() + lasts);
}

void Ledger::ends_link(const std::string& one, const std::string& other, TimePoint deadline) {
  link_ends_[pair_of(one, other)].push_back(deadline);
}

void Ledger::ended(const std::string& circuit, const boost::system::error_code& code, const std::string& text) {
  ++ends_;
  Entry& entry = of(circuit);
  entry.is_over = true;
  if (is_refusal(code)) streams_.refused(circuit, text);
  if (is_excused(entry, code, text, circuit)) return;
  violations_.report("circuit " + circuit + " from " + entry.opener + " to " + entry.server +
                     " ended for no reason of its own: " + text);
}

bool Ledger::is_excused(const Entry& entry, const boost::system::error_code& code, const std::string& text,
                        const std::string& circuit) const {
  const bool broken = was_down(entry.opener, entry.opened_at) || was_down(entry.server, entry.opened_at) ||
                      was_struck(entry.opener, entry.server, entry.opened_at);
  const bool link_ended = was_link_ended(entry);
  if (link_ended && text.find(link_end) != std::string::npos) return true;
  // A handle's next circuit, after its trunk is over and before there is another one to that node.
  if (link_ended && code == error::trunk_lost && text.find("the trunk is closed") != std::string::npos) return true;
  if (is_refusal(code)) {
    const bool limited = !entry.refusal.empty() && text.find(entry.refusal) != std::string::npos;
    const bool ended = broken || entry.server_ends; // it ended with its node, or alone
    return limited || is_at_limit(entry, text) || (ended && code == error::no_peer);
  }
  if (code == error::protocol_violation_on_circuit)
    return !entry.refusal.empty() && text.find(entry.refusal) != std::string::npos;
  if (code == error::circuit_reset) return entry.given_up && text.find(circuit) != std::string::npos;
  if (code == error::circuit_abandoned) // or its task was cancelled
    return entry.given_up || entry.server_ends || broken || link_ended;
  if (code == error::handler_failed) return entry.throws;
  if (code == error::circuit_closed) return entry.closed || entry.given_up || entry.server_ends || broken || link_ended;
  // A direction that is dead, and not yet noticed, loses the credit that a reader gives.
  if (code == error::stalled) return broken || entry.pause_max >= stall_deadline(entry);
  if (code == error::timed_out || code == error::deadline_passed) return world_.now() >= entry.deadline;
  if (code == error::peer_ended && (entry.peer_ends || entry.server_ends)) return true;
  const bool may_be_refused = has_limits(entry) && !streams_.is_served(circuit);
  if (code == asio::error::operation_aborted) // a service whose caller is gone, a task whose node or circuit is
    return broken || may_be_refused || link_ended || entry.given_up || entry.peer_ends || entry.server_ends ||
           world_.now() >= entry.deadline || entry.pause_max >= stall_deadline(entry);
  if (code == error::draining && was_link_ended(entry.opener, entry.server, entry.opened_at, world_.now()))
    return true; // it lived for as long as its connection was given
  // A handle's next circuit, on a connection that lives on for those that it had.
  if (code == error::draining && link_ended && text.find("the trunk takes no new circuits") != std::string::npos)
    return true;
  return is_loss(code) && broken;
}

bool Ledger::is_at_limit(const Entry& entry, const std::string& text) const {
  for (const std::string& host : {entry.opener, entry.server}) {
    const Limits& limits = limits_of(host);
    const auto is_named = [&](const char* name, auto member) {
      return limits.*member != usual_.*member && text.find(name) != std::string::npos;
    };
    if (is_named("circuits_max", &Limits::circuits_max) || is_named("open_backlog_max", &Limits::open_backlog_max) ||
        is_named("circuit_strings_bytes_max", &Limits::circuit_strings_bytes_max) ||
        is_named("control_frames_per_second_max", &Limits::control_frames_per_second_max) ||
        is_named("trunk_memory_bytes_max", &Limits::trunk_memory_bytes_max))
      return true;
  }
  return false;
}

Duration Ledger::time_for_memory(const std::string& circuit) const {
  const Entry& entry = entries_.at(circuit);
  Duration longest{};
  for (const std::string& host : {entry.opener, entry.server}) {
    const Limits& limits = limits_of(host);
    // Looked for four times in a deadline, so that it is noticed a quarter late at most, and begins as late.
    if (limits.trunk_memory_bytes_max < usual_.trunk_memory_bytes_max)
      longest = std::max<Duration>(longest, limits.stall_deadline + limits.stall_deadline / 2);
  }
  return longest;
}

Duration Ledger::stall_deadline(const Entry& entry) const {
  return std::min(limits_of(entry.opener).stall_deadline, limits_of(entry.server).stall_deadline);
}

void Ledger::failed(const std::string& host, const std::string& act, const boost::system::system_error& failure) {
  failed(host, host, act, failure);
}

void Ledger::failed(const std::string& host, const std::string& other, const std::string& act,
                    const boost::system::system_error& failure) {
  const auto code = failure.code();
  const TimePoint now = world_.now();
  const bool gone = is_loss(code) || code == asio::error::operation_aborted;
  if (gone && (was_down(host, now) || was_down(other, now) || was_struck(host, other, now))) return;
  violations_.report("act " + act + " on " + host + (other == host ? std::string() : " with " + other) +
                     " failed: " + failure.what());
}

void Ledger::link_over(const std::string& host, const LinkInfo& link) {
  ++ends_;
  // One that drained had no circuit left to lose: two nodes that dial each other keep one connection of two.
  const bool drained = link.draining && (link.end.clean() || link.end.code == error::draining);
  const TimePoint now = world_.now();
  if (was_link_ended(host, link.name, now, TimePoint::max()) &&
      link.end.to_string().find(link_end) != std::string::npos)
    return;
  if (drained || was_down(host, now) || was_down(link.name, now) || was_struck(host, link.name, now)) return;
  violations_.report("a trunk of " + host + " with " + link.name +
                     " ended, and nobody wanted it: " + link.end.to_string());
}

void Ledger::check_arrivals() {
  for (const auto& [name, entry] : entries_) {
    if (!entry.is_left_behind || entry.given_up || !entry.refusal.empty()) continue;
    if (entry.pause_max >= stall_deadline(entry)) continue; // its reader may have lost it
    if (entry.server_ends || was_link_ended(entry)) continue;
    if (entry.deadline != TimePoint::max()) continue; // it may have passed before its service had seen the end
    if (has_limits(entry) && !streams_.is_served(name)) continue; // it may have been refused, and nobody hears of that
    if (was_down(entry.opener, entry.opened_at) && !entry.is_drained) continue;
    if (was_down(entry.server, entry.opened_at) || was_struck(entry.opener, entry.server, entry.opened_at)) continue;
    if (!streams_.is_complete(name, forth))
      violations_.report("circuit " + name + " from " + entry.opener + " to " + entry.server +
                         " was finished and left behind, and not all of it arrived");
  }
}

bool Ledger::was_down(const std::string& host, TimePoint since) const {
  const auto found = down_until_.find(host);
  return found != down_until_.end() && (found->second == TimePoint::max() || found->second + aftermath >= since);
}

bool Ledger::was_struck(const std::string& one, const std::string& other, TimePoint since) const {
  const auto found = struck_until_.find(pair_of(one, other));
  return found != struck_until_.end() && found->second + aftermath >= since;
}

bool Ledger::was_link_ended(const Entry& entry) const {
  return was_link_ended(entry.opener, entry.server, entry.opened_at, TimePoint::max());
}

bool Ledger::was_link_ended(const std::string& one, const std::string& other, TimePoint since, TimePoint until) const {
  const auto found = link_ends_.find(pair_of(one, other));
  return found != link_ends_.end() && std::ranges::any_of(found->second, [&](TimePoint deadline) {
           return deadline <= until && deadline + aftermath >= since;
         });
}

} // namespace trunkline::sim

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
  if (is_refusal(code)) {
    const bool limited = !entry.refusal.empty() && text.find(entry.refusal) != std::string::npos;
    return limited || (broken && code == error::no_peer); // it ended with its node
  }
  if (code == error::circuit_reset) return entry.given_up && text.find(circuit) != std::string::npos;
  if (code == error::circuit_abandoned) return entry.given_up || broken; // or its task was cancelled
  if (code == error::handler_failed) return entry.throws;
  if (code == error::circuit_closed) return entry.closed || entry.given_up || broken;
  if (code == error::stalled) return entry.pause_max >= Limits().stall_deadline;
  if (code == error::timed_out || code == error::deadline_passed) return world_.now() >= entry.deadline;
  if (code == error::peer_ended && entry.peer_ends) return true;
  if (code == asio::error::operation_aborted) // a service whose caller is gone, a task whose node is
    return broken || entry.given_up || entry.peer_ends || world_.now() >= entry.deadline ||
           entry.pause_max >= Limits().stall_deadline;
  return is_loss(code) && broken;
}

void Ledger::failed(const std::string& host, const std::string& act, const boost::system::system_error& failure) {
  const auto code = failure.code();
  const bool gone = is_loss(code) || code == asio::error::operation_aborted;
  if (gone && was_down(host, world_.now())) return;
  violations_.report("act " + act + " on " + host + " failed: " + failure.what());
}

void Ledger::link_over(const std::string& host, const LinkInfo& link) {
  ++ends_;
  // One that drained had no circuit left to lose: two nodes that dial each other keep one connection of two.
  const bool drained = link.draining && (link.end.clean() || link.end.code == error::draining);
  const TimePoint now = world_.now();
  if (drained || was_down(host, now) || was_down(link.name, now) || was_struck(host, link.name, now)) return;
  violations_.report("a trunk of " + host + " with " + link.name +
                     " ended, and nobody wanted it: " + link.end.to_string());
}

void Ledger::check_arrivals() {
  for (const auto& [name, entry] : entries_) {
    if (!entry.is_left_behind || entry.given_up || !entry.refusal.empty()) continue;
    if (entry.pause_max >= Limits().stall_deadline) continue; // its reader may have lost it
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

} // namespace trunkline::sim

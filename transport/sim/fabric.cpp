#include "transport/sim/fabric.hpp"

#include "fragment/deadline.hpp"
#include "transport/sim/accept_queue.hpp"
#include "transport/sim/connection.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

namespace trunkline::sim {
namespace {

/// The connections in the order of their numbers; what one does with them may forget some.
std::vector<std::shared_ptr<Connection>> snapshot(const Fabric& fabric) {
  std::vector<std::shared_ptr<Connection>> all;
  all.reserve(fabric.connections.size());
  for (const auto& [number, connection] : fabric.connections) all.push_back(connection);
  return all;
}

/// Whether what this end sends goes from one to the other.
bool is_from_to(const Connection& connection, int end, std::string_view from, std::string_view to) {
  return connection.host(end).name == from && connection.host(1 - end).name == to;
}

/// Of everything that is in flight from one to the other.
void retransmit(const Fabric& fabric, std::string_view from, std::string_view to) {
  for (const auto& connection : snapshot(fabric))
    for (const int end : {0, 1})
      if (is_from_to(*connection, end, from, to)) connection->retransmit(end);
}

} // namespace

Host& Fabric::host(const std::string& name) {
  Host& found = hosts[name];
  found.name = name;
  return found;
}

Host* Fabric::find_host(std::string_view name) {
  const auto found = hosts.find(name);
  return found == hosts.end() ? nullptr : &found->second;
}

Link& Fabric::link(const std::string& from, const std::string& to) {
  const auto [entry, is_new] = links.try_emplace(std::pair(from, to));
  if (is_new) entry->second.options = link_options;
  return entry->second;
}

bool Fabric::passes(const std::string& from, const std::string& to) {
  return link(from, to).passes(schedule->now()) && host(to).state != HostState::powered_off;
}

std::shared_ptr<Connection> Fabric::connect(Host& dialler, Host& listener, const std::string& address) {
  const std::uint64_t number = ++connections_made_;
  const auto connection = std::make_shared<Connection>(*this, number, dialler, listener, address);
  connections.emplace(number, connection);
  trace("connect", dialler.name, address);
  return connection;
}

void Fabric::partition(const std::string& one, const std::string& other) {
  trace("partition", one, other);
  link(one, other).partitioned = true;
  link(other, one).partitioned = true;
}

void Fabric::heal(const std::string& one, const std::string& other) {
  if (!link(one, other).partitioned) return;
  trace("heal", one, other);
  link(one, other).partitioned = false;
  link(other, one).partitioned = false;
  for (const auto& connection : snapshot(*this))
    for (const int end : {0, 1})
      if (is_from_to(*connection, end, one, other) || is_from_to(*connection, end, other, one))
        connection->retransmit(end);
}

void Fabric::heal_all() {
  for (auto& [names, between] : links) {
    const bool was_for_ever = between.stalled_until == TimePoint::max();
    between.stalled_until = std::min(between.stalled_until, schedule->now());
    if (was_for_ever) retransmit(*this, names.first, names.second); // no delivery is scheduled for never
    heal(names.first, names.second);
  }
  for (auto& [name, host] : hosts) restart(host);
}

void Fabric::stall(const std::string& from, const std::string& to, Duration time) {
  trace("stall", from, to);
  Link& stalled = link(from, to);
  stalled.stalled_until = std::max(stalled.stalled_until, after(schedule->now(), time));
}

std::size_t Fabric::reset(std::string_view one, std::string_view other) {
  trace("reset", one, other);
  std::size_t count = 0;
  for (const auto& connection : snapshot(*this)) {
    if (!is_from_to(*connection, 0, one, other) && !is_from_to(*connection, 0, other, one)) continue;
    connection->reset();
    ++count;
  }
  return count;
}

std::size_t Fabric::lose_one_way(std::string_view from, std::string_view to) {
  trace("lose", from, to);
  std::size_t count = 0;
  for (const auto& connection : snapshot(*this))
    for (const int end : {0, 1}) {
      if (!is_from_to(*connection, end, from, to)) continue;
      connection->lose_from(end);
      ++count;
    }
  return count;
}

void Fabric::crash(Host& host, Crash how) {
  if (host.state != HostState::up) return;
  trace("crash", host.name, how == Crash::silent ? "silent" : "reset");
  host.state = how == Crash::silent ? HostState::powered_off : HostState::process_gone;
  for (const auto& connection : snapshot(*this))
    for (const int end : {0, 1})
      if (&connection->host(end) == &host) connection->crash(end, how);
  const auto gone = std::exchange(host.listening, {});
  for (const auto& [address, queue] : gone) queue->fail();
  if (host.on_crash) host.on_crash();
}

void Fabric::restart(Host& host) {
  if (host.state == HostState::up) return;
  trace("restart", host.name, {});
  host.state = HostState::up;
  for (const auto& connection : snapshot(*this))
    for (const int end : {0, 1})
      if (&connection->host(1 - end) == &host) connection->retransmit(end);
  if (host.on_restart) host.on_restart();
}

void Fabric::trace(std::string_view what, std::uint64_t connection, std::uint64_t detail) {
  hash.mix(what);
  hash.mix(static_cast<std::uint64_t>(schedule->now().time_since_epoch().count()));
  hash.mix(connection);
  hash.mix(detail);
  if (on_trace)
    on_trace(to_text(schedule->now()) + " " + std::string(what) + " " + std::to_string(connection / 2) +
             (connection % 2 == 0 ? "<" : ">") + " " + std::to_string(detail));
}

void Fabric::trace(std::string_view what, std::string_view one, std::string_view other) {
  hash.mix(what);
  hash.mix(static_cast<std::uint64_t>(schedule->now().time_since_epoch().count()));
  hash.mix(one);
  hash.mix(other);
  if (on_trace)
    on_trace(to_text(schedule->now()) + " " + std::string(what) + " " + std::string(one) + " " + std::string(other));
}

std::string to_text(TimePoint time) {
  const auto since = std::chrono::duration_cast<std::chrono::microseconds>(time - Schedule::start).count();
  char text[40];
  std::snprintf(text, sizeof text, "%lld.%06lld s", static_cast<long long>(since / 1'000'000),
                static_cast<long long>(since % 1'000'000));
  return text;
}

} // namespace trunkline::sim

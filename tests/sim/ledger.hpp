// Checks that every end has somebody who is to blame for it. A program that keeps the rules is never broken off: a
// trunk ends because the program or a fault ended it, a circuit for a reason of its own, a refusal names a limit that
// the program set, and what was finished arrives.
//
// The program says beforehand what it is about to do to a circuit, and the source of faults which hosts it strikes.
#pragma once

#include "async/types.hpp"
#include "circuit/limits.hpp"
#include "peer/node.hpp"
#include "tests/sim/stream_checker.hpp"
#include "tests/sim/violations.hpp"
#include "transport/sim/world.hpp"

#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::sim {

class Ledger {
 public:
  /// What the two sides of one circuit have done, or are about to do, that can end it.
  struct Entry {
    std::string opener; // hosts
    std::string server;
    std::string user_string;
    TimePoint opened_at{};
    bool given_up = false;       // reset by one side, or dropped before it was finished
    bool closed = false;         // by one side, which takes nothing any more
    bool throws = false;         // its service leaves by an exception
    bool peer_ends = false;      // one of its peers is ended while it lives
    bool server_ends = false;    // the one that serves it, which takes nothing more then
    TimePoint deadline = TimePoint::max(); // that the program gave it
    Duration pause_max{};        // how long its reader reads nothing, at a time
    std::string refusal;         // words of the limit that it runs into; empty when there is none
    bool is_left_behind = false; // finished, and the handle dropped: nobody will hear how it ended
    bool is_drained = false;     // its opener's node waits for it before it closes
    bool is_over = false;        // an end was told to the opener
  };

  Ledger(World& world, Violations& violations, StreamChecker& streams)
      : world_(world), violations_(violations), streams_(streams) {}

  // What the program does.
  /// A circuit is about to be opened; returns its name.
  std::string open(const std::string& kind, const std::string& opener, const std::string& server);
  Entry& of(const std::string& circuit) { return entries_.at(circuit); }
  bool knows(const std::string& circuit) const { return entries_.contains(circuit); }
  /// Its connections may end from now on, until a while after `runs`.
  void closes(const std::string& host) { down_until_[host] = TimePoint::max(); }
  void runs(const std::string& host);
  bool is_closing(const std::string& host) const {
    const auto found = down_until_.find(host);
    return found != down_until_.end() && found->second == TimePoint::max();
  }
  /// A host has other limits than the defaults.
  void limit(const std::string& host, const Limits& limits) { limits_[host] = limits; }
  const Limits& limits_of(const std::string& host) const {
    const auto found = limits_.find(host);
    return found == limits_.end() ? usual_ : found->second;
  }
  /// A connection between two hosts is about to be ended, with `link_end` as the reason; circuits that live longer than
  /// until `deadline` are reset.
  void ends_link(const std::string& one, const std::string& other, TimePoint deadline);
  static constexpr const char* link_end = "the program ends this connection";

  /// How much longer an answer may take because a host was given little memory for a trunk: readers that pause may hold
  /// all of it until they lose it.
  Duration time_for_memory(const std::string& circuit) const;

  // What the world does.
  /// Connections between two hosts may break from now on, until a while after `lasts`.
  void strike(const std::string& one, const std::string& other, Duration lasts = {});

  // What is told.
  /// How a circuit ended, as an exception or an End says it.
  void ended(const std::string& circuit, const boost::system::error_code& code, const std::string& text);
  void ended(const std::string& circuit, const boost::system::system_error& failure) {
    ended(circuit, failure.code(), failure.what());
  }
  void ended(const std::string& circuit, const End& end) {
    if (!end.clean()) ended(circuit, end.code, end.to_string());
  }
  /// What an act failed with, apart from any circuit.
  void failed(const std::string& host, const std::string& act, const boost::system::system_error& failure);
  /// The same where it had to do with another host.
  void failed(const std::string& host, const std::string& other, const std::string& act,
              const boost::system::system_error& failure);
  void link_over(const std::string& host, const LinkInfo& link);
  /// Everything has ended: whatever was finished and left behind must have arrived.
  void check_arrivals();

  std::uint64_t ends() const noexcept { return ends_; }
  /// Services and tasks of a host that were to fail.
  std::uint64_t throws_at(const std::string& host) const {
    const auto found = throws_.find(host);
    return found == throws_.end() ? 0 : found->second;
  }
  void note_throw(const std::string& circuit) {
    of(circuit).throws = true;
    ++throws_[of(circuit).server];
  }
  /// A task that works on a circuit that its host opened fails with it, which is a failure of that host.
  void note_failed_task(const std::string& circuit) { ++throws_[of(circuit).opener]; }

 private:
  bool is_excused(const Entry& entry, const boost::system::error_code& code, const std::string& text,
                  const std::string& circuit) const;
  /// The far side is full, and says so with the name of a limit that one of both hosts was given.
  bool is_at_limit(const Entry& entry, const std::string& text) const;
  bool has_limits(const Entry& entry) const { return limits_.contains(entry.opener) || limits_.contains(entry.server); }
  Duration stall_deadline(const Entry& entry) const;
  bool was_down(const std::string& host, TimePoint since) const;
  bool was_struck(const std::string& one, const std::string& other, TimePoint since) const;
  /// A connection between both was ended by the program, with a deadline before `until`.
  bool was_link_ended(const Entry& entry) const;
  bool was_link_ended(const std::string& one, const std::string& other, TimePoint since, TimePoint until) const;
  static std::pair<std::string, std::string> pair_of(const std::string& one, const std::string& other) {
    return one < other ? std::pair(one, other) : std::pair(other, one);
  }

  World& world_;
  Violations& violations_;
  StreamChecker& streams_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, TimePoint> down_until_;
  std::map<std::pair<std::string, std::string>, TimePoint> struck_until_;
  std::map<std::pair<std::string, std::string>, std::vector<TimePoint>> link_ends_; // deadlines
  std::map<std::string, Limits> limits_;
  Limits usual_;
  std::map<std::string, std::uint64_t> throws_;
  std::uint64_t ends_ = 0;
};

} // namespace trunkline::sim

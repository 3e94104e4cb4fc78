// Accepted connections that have not said their Hello yet, and which of them gives way when there are too many: silent
// connections cost an attacker nothing, so they must not keep out a peer that speaks.
#pragma once

#include "async/types.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace trunkline {

/// Counts them by host. One that has something to say does so at once and leaves, so the oldest is the one that has
/// nothing to say. Not thread safe.
class Newcomers {
 public:
  using Who = const void*;

  /// How long one of a host beyond its share is left alone: many that come at once have all yet to speak.
  static constexpr Duration patience = std::chrono::seconds(1);

  /// `max` of them, and of one host `per_host_max`. An IPv6 host counts with its /64 network, which belongs to one
  /// subscriber; those without a host (they are on this machine) are only bounded by `max`.
  Newcomers(std::size_t max, std::size_t per_host_max) : max_(max), per_host_max_(per_host_max) {}

  /// Who has to go before one of this host may come: of a host at its share the oldest, when it has been silent for
  /// `patience`; at the limit the oldest of the host that has most. Null while there is room.
  Who who_goes(std::string_view host, TimePoint now) const;
  /// Who has to go where others than newcomers leave no room for one of this host: the oldest of the host that has most.
  /// One of a host that has no more than this host would have goes only when it has been silent for `patience`, so that
  /// connections in great numbers push out none that have yet to speak. Null when there is none.
  Who who_gives_way(std::string_view host, TimePoint now) const;
  void add(Who who, std::string_view host, TimePoint now);
  /// Has spoken, or is gone; nothing happens where it is not here.
  void erase(Who who);
  std::size_t size() const noexcept { return entries_.size(); }
  std::size_t max() const noexcept { return max_; }

 private:
  struct Entry {
    Who who;
    std::string network;
    TimePoint came_at;
  };

  const Entry* oldest_of_most() const;

  std::size_t max_;
  std::size_t per_host_max_;
  std::map<std::size_t, Entry> entries_; // by number, in the order in which they came
  std::map<Who, std::size_t> numbers_;
  std::map<std::string, std::size_t, std::less<>> counts_; // by network
  std::size_t number_last_ = 0;
};

} // namespace trunkline

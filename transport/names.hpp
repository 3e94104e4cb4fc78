// Names of hosts as addresses, each looked up on a thread of its own, because the system's resolver blocks and cannot
// be interrupted. A lookup that hangs delays no other name, and no caller that has given it up. Why so:
// docs/decisions/0055-names-on-threads.md.
#pragma once

#include "async/types.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/system/error_code.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace trunkline {

/// Looks names up. May be used from several threads and contexts; all who ask for one name share one lookup.
class Names {
 public:
  struct Answer {
    boost::system::error_code failure;
    std::vector<asio::ip::address> addresses; // in the order in which they are to be tried; not empty without a failure
    bool queued = false; // timed out, and never asked for: lookups_max others had no answer yet
  };
  /// Blocks until it knows; called on threads of Names, for different hosts at the same time. What it throws is a
  /// failure of this lookup.
  using Ask = std::function<Answer(const std::string& host)>;

  static constexpr std::size_t lookups_max_default = 64;

  /// Further names wait while lookups_max are being asked for.
  explicit Names(Ask ask, std::size_t lookups_max = lookups_max_default);
  /// Lookups that run are left to themselves; their threads end with them and touch nothing but their own state.
  ~Names() = default;

  /// The system's resolver, one for the process (and another one for a process that it forks).
  static std::shared_ptr<Names> system();
  /// getaddrinfo.
  static Answer ask_system(const std::string& host);

  /// After the deadline the failure is asio::error::timed_out. Cancelled: throws operation_aborted at once. Nothing of
  /// a lookup that was given up keeps the context's run() from returning.
  awaitable<Answer> look_up(std::string host, Duration deadline) const;
  /// The same for a caller that may block, at most until the deadline.
  Answer look_up_blocking(const std::string& host, Duration deadline) const;

  /// Threads that ask now.
  std::size_t lookups_running() const;

 private:
  struct State;
  class Asker;
  static awaitable<Answer> look_up(std::shared_ptr<State> state, std::string host, Duration deadline);

  std::shared_ptr<State> state_;
};

} // namespace trunkline

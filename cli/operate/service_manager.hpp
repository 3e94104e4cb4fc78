// What systemd and a service say to each other, by its plain protocols: a socket for words about the service, and
// descriptors that are handed over. sd_notify(3) and sd_listen_fds(3) describe them; any other supervisor may speak them.
#pragma once

#include "async/types.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::cli {

/// Says how the program is doing to whoever started it; nothing where nobody wants to know.
class ServiceManager {
 public:
  /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
  ServiceManager();

  /// It serves from now on, or again after `reloading`.
  void ready(std::string_view status) const;
  void reloading() const;
  void stopping() const;
  /// How often `alive` has to be said, half of what is asked for, so that one late word is no death; zero: never.
  std::chrono::microseconds watchdog_interval() const noexcept { return watchdog_interval_; }
  void alive() const { say("WATCHDOG=1"); }

 private:
  void say(std::string_view words) const;

  std::string socket_; // empty: nobody listens
  std::chrono::microseconds watchdog_interval_{0};
};

/// A listening socket that was handed over (LISTEN_FDS). Its taker owns it.
struct HandedSocket {
  int descriptor = -1;
  std::string address; // "tcp://127.0.0.1:7000" or "unix:/run/x.sock"
};

/// Those that were handed to this very process. To be called once. Errors: UsageError for one that is no listening
/// stream socket.
std::vector<HandedSocket> handed_sockets();

} // namespace trunkline::cli

// The signals that ask a program to end.
#pragma once

#include <boost/asio/signal_set.hpp>

#include <csignal>

namespace trunkline::cli {

/// Adds SIGINT, SIGTERM, and SIGHUP: a terminal that closes asks as politely. One that was ignored when the program
/// started, as nohup has it, stays ignored.
inline void add_end_signals(asio::signal_set& signals) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction now{};
    if (::sigaction(number, nullptr, &now) == 0 && number == SIGHUP && now.sa_handler == SIG_IGN) continue;
    signals.add(number);
  }
}

/// Keeps the same signals from arriving, or lets those arrive that came meanwhile: between two signal sets one would end
/// the program as if nobody listened.
inline void hold_end_signals(bool hold) {
  sigset_t numbers;
  sigemptyset(&numbers);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&numbers, number);
  ::pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &numbers, nullptr);
}

} // namespace trunkline::cli

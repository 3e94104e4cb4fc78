#include "cli/operate/operation.hpp"

#include "async/clock.hpp"
#include "fragment/quote.hpp"

#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <unistd.h>

#include <csignal>
#include <exception>
#include <utility>

namespace trunkline::cli {

bool Terminal::is_there() noexcept {
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::isatty(number)) return true;
  return false;
}

Operation::Operation(asio::io_context& io, Logger logger)
    : logger_(std::move(logger)), signals_(io, SIGINT, SIGTERM, SIGUSR1), tasks_(io.get_executor()) {
  struct sigaction now{};
  if (::sigaction(SIGHUP, nullptr, &now) != 0 || now.sa_handler != SIG_IGN) signals_.add(SIGHUP);
}

void Operation::on_reload(std::string what, std::function<void()> read_again) {
  reloads_.push_back({std::move(what), std::move(read_again)});
}

void Operation::ready(std::string status) {
  status_ = std::move(status);
  phase_ = Phase::ready;
  manager_.ready(status_);
  if (manager_.watchdog_interval().count() > 0) tasks_.spawn(stay_alive());
}

void Operation::stopping() {
  phase_ = Phase::stopping;
  for (const auto& done : on_stopping_) done();
  manager_.stopping();
}

std::string Operation::not_ready() const {
  switch (phase_) {
    case Phase::starting: return "it is starting";
    case Phase::ready: return {};
    case Phase::stopping: return "it is ending";
  }
  return {};
}

/// A loop that is stuck, or too busy to come to this, is what the service manager is to hear of.
awaitable<void> Operation::stay_alive() {
  for (;;) {
    manager_.alive();
    co_await sleep_for(manager_.watchdog_interval());
  }
}

awaitable<int> Operation::until_asked_to_end() {
  for (;;) {
    const int number = co_await signals_.async_wait(asio::use_awaitable);
    if (number == SIGUSR1) reopen();
    else if (number == SIGHUP && !terminal_.is_gone()) reload();
    else co_return number;
  }
}

void Operation::reload() {
  if (phase_ == Phase::ready) manager_.reloading();
  std::vector<std::string> done;
  for (const Reload& one : reloads_) {
    try {
      one.read_again();
      done.push_back(one.what);
    } catch (const std::exception& failure) {
      logger_->error("SIGHUP: {} not read again: {}", one.what, text_of(failure));
    }
  }
  const std::string kept = kept_.empty() ? "" : fmt::format("; read at the start alone: {}", fmt::join(kept_, ", "));
  if (!done.empty()) logger_->info("SIGHUP: read again: {}{}", fmt::join(done, ", "), kept);
  else if (reloads_.empty()) logger_->info("SIGHUP: there is nothing to be read again{}", kept);
  if (phase_ == Phase::ready) manager_.ready(status_);
}

void Operation::reopen() {
  try {
    if (reopen_log(logger_)) logger_->info("SIGUSR1: this is the log from here on");
    else logger_->info("SIGUSR1: the log is no file, and goes on where it is");
  } catch (const std::exception& failure) {
    logger_->error("SIGUSR1: the log goes on in the old file: {}", text_of(failure));
  }
}

void Operation::let_signals_kill() {
  signals_.remove(SIGINT);
  signals_.remove(SIGTERM);
}

void Operation::close() {
  signals_.cancel();
  tasks_.cancel();
}

const char* name_of_signal(int number) {
  switch (number) {
    case SIGHUP: return "SIGHUP";
    case SIGINT: return "SIGINT";
    default: return "SIGTERM";
  }
}

} // namespace trunkline::cli

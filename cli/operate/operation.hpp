// What all programs that run for long have in common for those who operate them: signals, the service manager, the log.
#pragma once

#include "async/tasks.hpp"
#include "async/types.hpp"
#include "cli/logger.hpp"
#include "cli/operate/service_manager.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::cli {

/// Whether this process had a terminal, and has it no more: then SIGHUP is a request to end.
class Terminal {
 public:
  bool is_gone() const noexcept { return had_ && !is_there(); }

 private:
  static bool is_there() noexcept;
  bool had_ = is_there();
};

/// From when it is made until it is gone, SIGINT, SIGTERM, SIGHUP and SIGUSR1 are heard; so it comes before anybody is
/// told that we run. SIGHUP reads again what was added with `on_reload`, SIGUSR1 opens the log file again, and neither
/// ends anything, unless the terminal is gone. A SIGHUP that was ignored at the start, as nohup has it, stays ignored.
class Operation {
 public:
  Operation(asio::io_context& io, Logger logger);

  /// Something that SIGHUP reads again; an exception leaves it as it was.
  void on_reload(std::string what, std::function<void()> read_again);
  /// Something that is read at the start alone, which SIGHUP then says.
  void keeps(std::string what) { kept_.push_back(std::move(what)); }

  /// Tells the service manager that we serve, and that we are alive as often as it wants to hear it.
  void ready(std::string status);
  /// Waits for a signal that asks for the end, and returns it. To be called again for a second one.
  awaitable<int> until_asked_to_end();
  /// Something that is done when the end begins, before anything else: closing what listens.
  void on_stopping(std::function<void()> done) { on_stopping_.push_back(std::move(done)); }
  /// The end has begun: does that, and tells the service manager.
  void stopping();
  /// Why nobody should be sent here, for /readyz; empty: there is no reason.
  std::string not_ready() const;
  /// From now on SIGINT and SIGTERM do what the system does: they end the process.
  void let_signals_kill();
  /// Lets go of the signals and stops what runs here, so that the context runs out of work.
  void close();

 private:
  void reload();
  void reopen();
  awaitable<void> stay_alive();

  enum class Phase { starting, ready, stopping };
  struct Reload {
    std::string what;
    std::function<void()> read_again;
  };

  Logger logger_;
  ServiceManager manager_;
  Terminal terminal_;
  Phase phase_ = Phase::starting;
  std::string status_;
  std::vector<Reload> reloads_;
  std::vector<std::string> kept_;
  std::vector<std::function<void()>> on_stopping_;
  asio::signal_set signals_;
  Tasks tasks_;
};

const char* name_of_signal(int number);

} // namespace trunkline::cli

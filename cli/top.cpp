// trunkline top: what a running program says of itself at its admin port, again and again.
#include "async/clock.hpp"
#include "async/within.hpp"
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "fragment/error.hpp"
#include "services/admin/http.hpp"
#include "services/sync/disk.hpp"
#include "services/sync/path.hpp"
#include "transport/address.hpp"
#include "transport/media.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

namespace trunkline::cli {
namespace {

struct TopOptions {
  std::string address = "127.0.0.1:9464";
  double seconds = 1;
  bool once = false;
};

/// The address of the admin port, "tcp://..." or "unix:...".
std::string address_of(std::string given) {
  if (const Medium* const medium = find_medium(default_media(), given); medium && !medium->has_hosts()) return given;
  if (given.starts_with("http://")) given.erase(0, 7);
  while (given.ends_with('/')) given.pop_back();
  HostPort where;
  if (parse_host_port(given, where) != HostPortFlaw::none)
    throw UsageError("\"" + sync::printable(given) + "\" is neither HOST:PORT nor unix:/path");
  return to_address("tcp", where.host, where.port);
}

/// The page that fits the terminal; all of it where there is none.
std::string target() {
  winsize size{};
  if (::isatty(STDOUT_FILENO) == 0 || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row < 3)
    return "/top";
  return "/top?columns=" + std::to_string(size.ws_col) + "&rows=" + std::to_string(size.ws_row - 1);
}

void show(const std::string& page) {
  const bool on_terminal = ::isatty(STDOUT_FILENO) != 0;
  if (on_terminal) std::fputs("\x1b[H\x1b[2J", stdout);
  std::fwrite(page.data(), 1, page.size(), stdout);
  if (!on_terminal) std::fputs("\n", stdout);
  if (std::fflush(stdout) != 0) throw sync::FileError("write", "standard output", errno);
}

awaitable<std::string> page_of(std::string address) {
  constexpr std::chrono::seconds patience{10};
  const std::shared_ptr<Medium> medium = medium_for(default_media(), address);
  admin::HttpAnswer answer = co_await admin::http_get(medium, address, target(), patience);
  if (answer.status != 200)
    throw_error(error::cannot_decode, "expected the admin port of trunkline at " + address + ", seen the status " +
                                          std::to_string(answer.status) + " of HTTP");
  co_return std::move(answer.content);
}

awaitable<void> watch(const TopOptions* options, std::string address) {
  for (;;) {
    const std::string page = co_await page_of(address);
    show(page);
    if (options->once) co_return;
    co_await sleep_for(std::chrono::nanoseconds(static_cast<std::int64_t>(options->seconds * 1e9)));
  }
}

awaitable<void> watch_until_signal(const TopOptions* options, std::string address, asio::signal_set* signals) {
  using namespace asio::experimental::awaitable_operators;
  const auto first = co_await (outcome_of(watch(options, std::move(address))) || signals->async_wait(asio::use_awaitable));
  if (first.index() == 0 && std::get<0>(first).failure) std::rethrow_exception(std::get<0>(first).failure);
}

int top(const TopOptions& options) {
  const std::string address = address_of(options.address);
  asio::io_context io(1);
  asio::signal_set signals(io, SIGINT, SIGTERM);
  std::exception_ptr failure;
  asio::co_spawn(io, watch_until_signal(&options, address, &signals), [&](std::exception_ptr thrown) {
    failure = std::move(thrown);
    signals.cancel();
  });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return static_cast<int>(ExitCode::equal);
}

} // namespace

Command add_top(CLI::App& program) {
  const auto options = std::make_shared<TopOptions>();
  CLI::App* const command =
      program.add_subcommand("top", "Show links and circuits of a running program, and what they wait for");
  command->add_option("address", options->address, "Its admin port, HOST:PORT or unix:/path")->capture_default_str();
  command->add_option("--interval", options->seconds, "How often")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 3600.0));
  command->add_flag("--once", options->once, "Print it once");
  command->footer(
      "The program runs with --admin. WAITS FOR says why a circuit does not move: for the far side's credit (its reader\n"
      "has not taken what there is), for the trunk's credit, for the writer, for a reader here, or for its peer.\n\n"
      "Exit codes: 0 shown, or ended by a signal; 1 wrong usage; 10 no connection; 12 there is no admin port; 30 timeout.\n\n"
      "Example:\n"
      "  trunkline serve --root /srv/mirror --listen tcp://127.0.0.1:7000 --admin\n"
      "  trunkline top");
  return {command, [options] { return top(*options); }};
}

} // namespace trunkline::cli

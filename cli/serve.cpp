#include "cli/command.hpp"
#include "cli/place.hpp"

#include "async/within.hpp"
#include "peer/node.hpp"
#include "services/sync/service.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <csignal>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::cli {
namespace {

struct ServeOptions {
  std::string root;
  std::vector<std::string> listen{"tcp://127.0.0.1:7070"};
  bool read_only = false;
  bool insecure = false;
  bool verbose = false;
};

void say(const std::string& line) {
  fmt::print(stderr, "{}\n", line);
  std::fflush(stderr);
}

/// Until a signal asks it to stop: then no new syncs, and those that run get ten seconds.
awaitable<void> serve_until_signal(Node& node, std::shared_ptr<sync::Service> service) {
  const Executor executor = co_await asio::this_coro::executor;
  asio::signal_set signals(executor, SIGINT, SIGTERM);
  co_await signals.async_wait(asio::use_awaitable);
  service->refuse_new();
  if (service->running_count() > 0) {
    say(fmt::format("stopping: waiting for {} running", service->running_count()));
    co_await as_result(within(std::chrono::seconds(10), service->drained()));
  }
  co_await node.close();
}

int serve(const ServeOptions& options) {
  for (const std::string& address : options.listen) {
    if (options.insecure || is_loopback(address)) continue;
    say_error(fmt::format("{} can be reached from other machines and nothing is encrypted; give --insecure if that is meant",
                          address));
    return exit_usage;
  }
  asio::io_context io(1);
  sync::ServiceOptions serving;
  serving.root = sync::Root::open(options.root);
  serving.read_only = options.read_only;
  serving.log = say;
  NodeOptions node_options;
  node_options.name = "trunkline serve";
  node_options.log = [verbose = options.verbose](LogLevel level, std::string_view line) {
    if (verbose || level >= LogLevel::warning) say(std::string(line));
  };
  Node node(io.get_executor(), std::move(node_options));
  const auto service = sync::Service::register_at(node, std::move(serving));
  for (const std::string& address : options.listen) {
    fmt::print("listening on {}\n", node.listen(address));
    std::fflush(stdout);
  }
  std::exception_ptr failure;
  asio::co_spawn(io, serve_until_signal(node, service), [&](std::exception_ptr thrown) { failure = thrown; });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return exit_ok;
}

} // namespace

void add_serve(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("serve", "Serve a directory that others sync with.");
  const auto options = std::make_shared<ServeOptions>();
  command->add_option("--root", options->root, "The directory; nothing outside of it can be read or written.")->required();
  command->add_option("--listen", options->listen, "Where to listen, as often as wanted: tcp://HOST:PORT (port 0 chooses one) or unix:SOCKET.")
      ->capture_default_str();
  command->add_flag("--read-only", options->read_only, "Others may read, not write.");
  command->add_flag("--insecure", options->insecure, "Allow addresses that other machines can reach; nothing is encrypted.");
  command->add_flag("-v,--verbose", options->verbose, "Log connections.");
  command->footer("SIGINT or SIGTERM stops it after the syncs that run.\nExample: trunkline serve --root /srv/data --listen tcp://127.0.0.1:7070");
  command->callback([options, &exit_code] {
    try {
      exit_code = serve(*options);
    } catch (...) {
      exit_code = exit_for(std::current_exception());
    }
  });
}

} // namespace trunkline::cli

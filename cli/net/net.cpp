// trunkline net: messages to nodes by channel, what nodes say of themselves, and who a broadcast reaches.
#include "cli/net/net.hpp"

#include "cli/location.hpp"
#include "cli/node.hpp"
#include "cli/operate/admin.hpp"
#include "cli/operate/link_log.hpp"
#include "cli/operate/listening.hpp"
#include "cli/operate/operation.hpp"
#include "cli/operate/running_configuration.hpp"
#include "cli/operate/trunk_limits.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <spdlog/spdlog.h>

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <iterator>
#include <utility>
#include <vector>

namespace trunkline::cli {
namespace {

awaitable<void> start_run_stop(std::shared_ptr<Network> network,
                               std::function<awaitable<ExitCode>(std::shared_ptr<Network>)> work, ExitCode* code) {
  network->start();
  co_await network->ready();
  std::exception_ptr failure;
  try {
    *code = co_await work(network);
  } catch (...) {
    failure = std::current_exception();
  }
  co_await network->stop(); // what was sent arrives first
  if (failure) std::rethrow_exception(failure);
}

} // namespace

const char* const net_exit_codes_text =
    "Exit codes: 0 sent, or answered; 1 wrong usage; 10 no connection, or it was lost; 12 the far side refuses;\n"
    "20 interrupted; 23 some of several could not be sent to, each was named; 30 timeout.";

ExitCode exit_code_of(SendError error) {
  switch (error) {
    case SendError::none: return ExitCode::equal;
    case SendError::timed_out: return ExitCode::timeout;
    case SendError::unknown_channel:
    case SendError::too_large:
    case SendError::wrong_node: return ExitCode::protocol;
    default: return ExitCode::socket;
  }
}

namespace {

void say(const std::string& line) { std::fprintf(stderr, "trunkline: %s\n", line.c_str()); }

int run(asio::io_context& io, NetworkOptions options, std::function<awaitable<ExitCode>(std::shared_ptr<Network>)> work,
        const std::function<void()>& done) {
  const auto network = std::make_shared<Network>(io.get_executor(), std::move(options));
  ExitCode code = ExitCode::equal;
  std::exception_ptr failure;
  asio::co_spawn(io, start_run_stop(network, std::move(work), &code), [&](std::exception_ptr thrown) {
    failure = thrown;
    done();
  });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return static_cast<int>(code);
}

} // namespace

int run_with_network(NetworkOptions options, const IdentityOptions& identity, const std::vector<std::string>& addresses,
                     std::function<awaitable<ExitCode>(std::shared_ptr<Network>)> work) {
  for (const std::string& address : addresses) check_dial_address(address, identity.insecure);
  NodeIdentity(identity, key_of_dialling, addresses, say).apply(options.node);
  raise_files_limit();
  asio::io_context io(1);
  return run(io, std::move(options), std::move(work), [] {});
}

int run_listening_network(ListeningNetwork settings,
                          std::function<awaitable<ExitCode>(std::shared_ptr<Network>, Operation*)> work) {
  NetworkOptions& options = settings.network;
  RunningConfiguration& running = settings.running;
  const Logger& logger = settings.logger;
  raise_files_limit();
  asio::io_context io(1);
  Operation operation(io, logger);
  NodeIdentity keys(settings.identity, key_of_listening, settings.addresses,
                    [logger](const std::string& line) { logger->warn("{}", line); });
  keys.apply(options.node);
  Listening listening(settings.tcp);
  listening.apply(options.node.media, options.node.identity);
  operation.on_stopping([&listening] { listening.close(); });
  follow_trunk_limits(running, settings.limits, options.node);
  const auto book = std::make_shared<admin::LinkBook>();
  options.node.log = sink_of(logger, book);
  options.node.on_link = [book](LinkChange change, const LinkInfo& link) { book->note(change, link); };
  AdminPort port(settings.admin, "net " + options.node.name, operation, settings.limits);
  const auto operated = [&](std::shared_ptr<Network> network) {
    port.open(network->node(), book, [network = network.get()](admin::MetricPage& page) {
      admin::add_network(page, network->metrics());
    });
    if (running.has_file()) operation.on_reload(running.file(), [&running] { running.read_again(); });
    if (keys.reloads() || running.has_file())
      operation.on_reload("keys, known nodes and policy", [&keys, network] { keys.reload(&network->node()); });
    running.follow("policy", settings.identity.policy_file, [&] { keys.set_policy(settings.identity.policy_file); });
    port.follow(running, settings.limits, logger);
    return work(std::move(network), &operation);
  };
  return run(io, std::move(options), operated, [&] {
    port.close();
    operation.close();
  });
}

std::string message_of(bool given, const std::string& text) {
  if (given) return text;
  if (::isatty(STDIN_FILENO)) std::cerr << "trunkline: the message is read from here; ctrl-d ends it" << std::endl;
  return std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
}

Command add_net(CLI::App& program) {
  CLI::App* const net = program.add_subcommand("net", "Channels between nodes, and the tree of a broadcast");
  net->require_subcommand(1);
  net->footer(
      "trunkline net COMMAND --help tells about one command.\n\nExample:\n"
      "  trunkline net listen --listen tcp://127.0.0.1:7000 --channel chat\n"
      "  trunkline net send tcp://127.0.0.1:7000 chat hello");
  const std::vector<Command> commands = {add_net_listen(*net), add_net_send(*net),  add_net_broadcast(*net),
                                         add_net_peers(*net),  add_net_stats(*net), add_net_tree(*net)};
  return {net, [commands] {
            for (const Command& command : commands)
              if (command.options->parsed()) return command.run();
            return static_cast<int>(ExitCode::usage); // require_subcommand has refused it
          }};
}

} // namespace trunkline::cli

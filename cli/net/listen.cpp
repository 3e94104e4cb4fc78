// trunkline net listen: a node that prints what arrives on its channels, until it is told to end.
#include "cli/location.hpp"
#include "cli/net/net.hpp"
#include "cli/operate/admin.hpp"
#include "cli/operate/configuration.hpp"
#include "cli/operate/limits.hpp"
#include "cli/operate/running_configuration.hpp"
#include "fragment/json_line.hpp"
#include "services/sync/path.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::cli {
namespace {

struct ListenOptions {
  std::vector<std::string> listen;
  std::vector<std::string> channels;
  std::string id;
  std::string book;
  IdentityOptions identity;
  LogOptions log;
  AdminOptions admin;
  ConfigurationOptions configuration;
  LimitOptions limits;
  bool json = false;
};

void print(const std::string& channel, const NodeId& origin, const Message& message, bool json) {
  std::string line;
  if (json) {
    JsonLine object;
    object.add("channel", channel).add("origin", origin.to_string()).add("text", message.payload.text());
    line = object.take();
  } else {
    line = channel + " " + origin.to_string() + ": " + sync::printable(message.payload.text());
  }
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

awaitable<void> show(std::string channel, NodeId origin, Message message, bool json) {
  print(channel, origin, message, json);
  co_return;
}

awaitable<ExitCode> listen_until_signal(std::shared_ptr<Network> network, Operation* operation, ListenOptions options) {
  std::vector<Conduit> conduits;
  for (const std::string& channel : options.channels)
    conduits.push_back(
        network->register_processor(channel, [channel, json = options.json](NodeId origin, Message message) {
          return show(channel, origin, std::move(message), json);
        }));
  for (const std::string& address : options.listen)
    std::printf("listening on %s\n", network->node().listen(address).c_str());
  std::printf("node %s\n", network->local_id().to_string().c_str());
  std::fflush(stdout);
  operation->ready("listening");
  (void)co_await operation->until_asked_to_end();
  operation->stopping();
  co_return ExitCode::equal;
}

void add_all_limits(LimitTable& table, NetworkOptions& network, TcpOptions& tcp, admin::PortOptions& admin) {
  add_limits(table, network);
  add_limits(table, tcp);
  add_limits(table, admin);
}

int listen(ListenOptions& options) {
  for (const std::string& address : options.listen) check_listen_address(address, options.identity.insecure);
  NetworkOptions settings;
  settings.node.name = "listen";
  settings.answers_operators = true;
  if (!options.id.empty()) {
    const std::optional<NodeId> id = NodeId::parse(options.id);
    if (!id || id->empty()) throw UsageError("--id \"" + options.id + "\" is no node id of 22 characters");
    settings.node.id = *id;
  }
  if (!options.book.empty()) settings.book.load(options.book);
  TcpOptions tcp;
  admin::PortOptions admin;
  LimitTable limits;
  add_all_limits(limits, settings, tcp, admin);
  limits.set(options.limits);
  const Logger logger = make_logger(least_level(options.log, LogLevel::warning), options.log);
  RunningConfiguration running(options.configuration, logger);
  follow_log(running, options.log, logger, [] { return LogLevel::warning; });
  ListeningNetwork network{std::move(settings), options.listen, tcp,    options.identity,
                           options.admin,       options.limits, logger, running};
  return run_listening_network(std::move(network), [&options](std::shared_ptr<Network> started, Operation* operation) {
    return listen_until_signal(std::move(started), operation, options);
  });
}

} // namespace

Command add_net_listen(CLI::App& net) {
  const auto options = std::make_shared<ListenOptions>();
  CLI::App* const command = net.add_subcommand("listen", "Print what arrives on channels");
  command->add_option("--listen", options->listen, address_forms() + "; port 0: a free one; may be repeated")
      ->required()
      ->type_name("ADDRESS")
      ->allow_extra_args(false);
  command->add_option("--channel", options->channels, "A channel to process; may be repeated")
      ->required()
      ->type_name("NAME")
      ->allow_extra_args(false);
  command
      ->add_option("--id", options->id, "The node's id, as others have it in their address books; drawn unless given")
      ->type_name("ID");
  command->add_option("--book", options->book, "An address book: lines of a node id and its addresses")
      ->type_name("FILE");
  add_admin_options(*command, options->admin);
  add_log_options(*command, options->log);
  add_identity_options(*command, options->identity, key_of_listening);
  add_policy_option(*command, options->identity);
  add_insecure_option(*command, options->identity);
  command->add_flag("--json", options->json, "One JSON object per message");
  NetworkOptions network;
  TcpOptions tcp;
  admin::PortOptions admin;
  LimitTable limits;
  add_all_limits(limits, network, tcp, admin);
  add_limit_options(*command, options->limits, limits);
  add_configuration_options(*command, options->configuration);
  command->footer(
      std::string("Prints its real addresses and its node id first. Answers `net peers` and `net stats`. Logs warnings unless\n"
                  "--log-level says more. SIGHUP reads --config, keys, known nodes and policy again, SIGUSR1 opens the log file\nagain.\n\nExample:\n"
                  "  trunkline net listen --listen tcp://127.0.0.1:7000 --channel chat\n\n") +
      net_exit_codes_text);
  return {command, [options] { return listen(*options); }};
}

} // namespace trunkline::cli

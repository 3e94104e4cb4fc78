// trunkline net send, trunkline net broadcast: a message to one node, or to several.
#include "async/within.hpp"
#include "cli/net/net.hpp"
#include "fragment/json_line.hpp"

#include <CLI/CLI.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::cli {
namespace {

struct SendOptions {
  IdentityOptions identity;
  std::vector<std::string> to;
  std::string channel;
  std::string text;
  bool text_given = false;
  bool no_ack = false;
  bool json = false;
  double seconds = 10;
};

/// What became of one target.
struct Outcome {
  std::string node;
  ExitCode code = ExitCode::equal;
  std::string failure; // in words
};

std::chrono::milliseconds deadline_of(const SendOptions& options) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(options.seconds * 1000));
}

/// What went wrong with a target, which is named once.
std::string naming(const std::string& target, const std::string& failure) {
  return failure.find(target) == std::string::npos ? target + ": " + failure : failure;
}

awaitable<void> ignore(NodeId, Message) { co_return; }

/// Connects and sends; everything that goes wrong is in the outcome.
awaitable<void> send_to(std::shared_ptr<Network> network, const Conduit* conduit, const SendOptions* options,
                        std::string address, Outcome* outcome) {
  std::exception_ptr failure;
  try {
    const NodeId node = co_await within(deadline_of(*options), network->connect(std::move(address)));
    outcome->node = node.to_string();
    Message message(options->text);
    SendResult result;
    if (options->no_ack) {
      result = co_await conduit->send(node, std::move(message), deadline_of(*options));
    } else {
      result = co_await conduit->send_acked(node, std::move(message), deadline_of(*options));
    }
    outcome->code = exit_code_of(result.error);
    if (!result) outcome->failure = result.text;
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  outcome->code = exit_code_of(failure);
  outcome->failure = line_of(failure);
}

awaitable<ExitCode> send_to_all(std::shared_ptr<Network> network, const SendOptions* options, bool several) {
  const Conduit conduit = network->register_processor(options->channel, ignore);
  std::vector<Outcome> outcomes(options->to.size());
  {
    Tasks tasks(network->executor());
    for (std::size_t i = 0; i < outcomes.size(); ++i)
      tasks.spawn(send_to(network, &conduit, options, options->to[i], &outcomes[i]));
    co_await tasks.join();
  }
  std::size_t failed = 0;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const Outcome& outcome = outcomes[i];
    const bool sent = outcome.code == ExitCode::equal;
    failed += !sent;
    if (options->json) {
      JsonLine line;
      line.add("to", options->to[i]).add("node", outcome.node).add("sent", sent).add("error", outcome.failure);
      std::printf("%s\n", line.take().c_str());
    } else if (!sent) {
      std::fprintf(stderr, "trunkline: %s\n", naming(options->to[i], outcome.failure).c_str());
    } else if (several) {
      std::printf("%s %s\n", options->to[i].c_str(), outcome.node.c_str());
    }
  }
  if (failed == 0) co_return ExitCode::equal;
  co_return failed == outcomes.size() ? outcomes.front().code : ExitCode::partial;
}

int send(SendOptions& options, bool several) {
  options.text = message_of(options.text_given, options.text);
  NetworkOptions settings;
  settings.node.name = several ? "broadcast" : "send";
  settings.node.limits.fragment_bytes_max = 64 << 20;
  settings.queue_bytes_max = std::size_t{1} << 30;
  const auto targets = static_cast<std::uint32_t>(options.to.size()); // all at once: none of them gives way
  settings.connections_outbound_max = std::max(settings.connections_outbound_max, targets);
  settings.node.trunks_max = std::max<std::size_t>(settings.node.trunks_max, targets);
  return run_with_network(std::move(settings), options.identity, options.to, [&options, several](std::shared_ptr<Network> network) {
    return send_to_all(std::move(network), &options, several);
  });
}

void add_common(CLI::App& command, SendOptions& options) {
  command.add_flag("--no-ack", options.no_ack, "Do not wait until the far side has processed it");
  command.add_flag("--json", options.json, "One JSON object per target");
  command.add_option("--timeout", options.seconds, "For each target")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 86'400.0));
  add_identity_options(command, options.identity, key_of_dialling);
  add_insecure_option(command, options.identity);
}

} // namespace

Command add_net_send(CLI::App& net) {
  const auto options = std::make_shared<SendOptions>();
  options->to.resize(1);
  CLI::App* const command = net.add_subcommand("send", "Send a message to a node");
  command->add_option("ADDRESS", options->to[0], "Where the node listens")->required()->type_name("");
  command->add_option("CHANNEL", options->channel, "The channel")->required()->type_name("");
  const CLI::Option* const text =
      command->add_option("MESSAGE", options->text, "The standard input unless given")->type_name("");
  add_common(*command, *options);
  command->footer(std::string("Example:\n  trunkline net send tcp://127.0.0.1:7000 chat hello\n\n") +
                  net_exit_codes_text);
  return {command, [options, text] {
            options->text_given = text->count() > 0;
            return send(*options, false);
          }};
}

Command add_net_broadcast(CLI::App& net) {
  const auto options = std::make_shared<SendOptions>();
  CLI::App* const command = net.add_subcommand("broadcast", "Send a message to several nodes at once");
  command->add_option("CHANNEL", options->channel, "The channel")->required()->type_name("");
  const CLI::Option* const text =
      command->add_option("MESSAGE", options->text, "The standard input unless given")->type_name("");
  command->add_option("--to", options->to, "Where a node listens; may be repeated")
      ->required()
      ->type_name("ADDRESS")
      ->allow_extra_args(false); // CHANNEL and MESSAGE may come behind it
  add_common(*command, *options);
  command->footer(
      std::string("Prints the address and the id of each node that has it, in the order of --to.\n\nExample:\n"
                  "  trunkline net broadcast chat hello --to tcp://127.0.0.1:7000 --to tcp://127.0.0.1:7001\n\n") +
      net_exit_codes_text);
  return {command, [options, text] {
            options->text_given = text->count() > 0;
            return send(*options, true);
          }};
}

} // namespace trunkline::cli

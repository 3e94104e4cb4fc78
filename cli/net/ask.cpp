// trunkline net peers, trunkline net stats: what a running node says of its connections and its channels.
#include "async/within.hpp"
#include "cli/net/net.hpp"
#include "fragment/json_line.hpp"
#include "services/sync/path.hpp"

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::cli {
namespace {

struct AskOptions {
  IdentityOptions identity;
  std::string address;
  bool json = false;
  double seconds = 10;
};

constexpr std::size_t answers_max = 100'000; // of a far side that does not stop

awaitable<std::vector<Fragment>> ask(std::shared_ptr<Network> network, std::string address, std::string what) {
  const auto me = network->node().new_peer("operator");
  Fragment request(0, what, Payload());
  Circuit circuit = me->join_or_start(address, "network.operator", std::move(request));
  circuit.finish();
  std::vector<Fragment> answers;
  for (;;) {
    std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment || answers.size() == answers_max) break;
    answers.push_back(std::move(*fragment));
  }
  me->close();
  co_return answers;
}

std::string value(const Fragment& fragment, std::string_view key) {
  const std::optional<std::string_view> found = fragment.args.find(key);
  return found ? sync::printable(*found) : std::string("-");
}

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

void print_json(const Fragment& fragment, const char* subject) {
  JsonLine line;
  line.add(subject, fragment.subject);
  for (const auto& [key, text] : fragment.args) {
    const std::optional<std::uint64_t> number = number_of(text);
    if (key == "connected" || key == "dialled") {
      line.add(key, text == "1");
    } else if (number && key != "name" && key != "remote") {
      line.add(key, *number);
    } else {
      line.add(key, text);
    }
  }
  std::printf("%s\n", line.take().c_str());
}

/// "timed out 3, closed 1"
std::string failures_of(const Fragment& fragment) {
  std::string text;
  for (const auto& [key, count] : fragment.args)
    if (key.starts_with("failed_") && count != "0")
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", sync::printable(key.substr(7)), sync::printable(count));
  return text.empty() ? "-" : text;
}

/// Columns as wide as their widest cell.
void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths.resize(std::max(widths.size(), i + 1));
      widths[i] = std::max(widths[i], row[i].size());
    }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    line.resize(line.find_last_not_of(' ') + 1);
    std::printf("%s\n", line.c_str());
  }
}

/// Those that are connected first; of the others only those to or from whom something went.
void print_peers(const std::vector<Fragment>& answers) {
  std::vector<std::vector<std::string>> rows = {
      {"NODE", "NAME", "CONNECTION", "SENT", "RECEIVED", "BYTES OUT", "BYTES IN", "QUEUED", "FAILED"}};
  std::vector<std::vector<std::string>> others;
  std::size_t idle = 0;
  for (const Fragment& peer : answers) {
    const bool connected = value(peer, "connected") == "1";
    const std::string failures = failures_of(peer);
    const std::string name = value(peer, "name");
    if (!connected && value(peer, "messages_sent") == "0" && value(peer, "messages_received") == "0" &&
        value(peer, "drops") == "0" && failures == "-") {
      ++idle;
      continue;
    }
    (connected ? rows : others)
        .push_back({sync::printable(peer.subject), name.empty() ? "-" : name,
                    connected ? (value(peer, "dialled") == "1" ? "to " : "from ") + value(peer, "remote") : "none",
                    value(peer, "messages_sent"), value(peer, "messages_received"), value(peer, "bytes_sent"),
                    value(peer, "bytes_received"), value(peer, "queue_bytes"), failures});
  }
  rows.insert(rows.end(), others.begin(), others.end());
  print_table(rows);
  if (idle > 0) std::printf("and %zu more that are not connected and have sent and got nothing\n", idle);
}

void print_stats(const std::vector<Fragment>& answers) {
  std::vector<std::vector<std::string>> rows = {
      {"CHANNEL", "SENT", "RECEIVED", "BYTES OUT", "BYTES IN", "QUEUED", "DROPPED", "THREW", "FAILED"}};
  for (const Fragment& answer : answers) {
    if (answer.op == 1) {
      std::vector<std::vector<std::string>> totals = {{"node", sync::printable(answer.subject)}};
      for (const auto& [key, text] : answer.args) totals.push_back({sync::printable(key), sync::printable(text)});
      print_table(totals);
      std::printf("\n");
    } else {
      rows.push_back({sync::printable(answer.subject), value(answer, "messages_sent"),
                      value(answer, "messages_received"), value(answer, "bytes_sent"), value(answer, "bytes_received"),
                      value(answer, "queue_bytes"), value(answer, "drops"), value(answer, "processor_failures"),
                      failures_of(answer)});
    }
  }
  print_table(rows);
}

awaitable<ExitCode> ask_and_print(std::shared_ptr<Network> network, const AskOptions* options, bool peers) {
  const auto deadline = std::chrono::milliseconds(static_cast<std::int64_t>(options->seconds * 1000));
  const std::string_view what = peers ? "peers" : "stats";
  const std::vector<Fragment> answers = co_await within(deadline, ask(network, options->address, std::string(what)));
  if (options->json) {
    for (const Fragment& answer : answers) print_json(answer, peers ? "node" : answer.op == 1 ? "node" : "channel");
  } else if (peers) {
    print_peers(answers);
  } else {
    print_stats(answers);
  }
  co_return ExitCode::equal;
}

Command add_ask(CLI::App& net, const char* name, const char* help, bool peers) {
  const auto options = std::make_shared<AskOptions>();
  CLI::App* const command = net.add_subcommand(name, help);
  command->add_option("ADDRESS", options->address, "Where the node listens")->required()->type_name("");
  command->add_flag("--json", options->json, "One JSON object per line");
  command->add_option("--timeout", options->seconds, "For the answer")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 86'400.0));
  add_identity_options(*command, options->identity, key_of_dialling);
  add_insecure_option(*command, options->identity);
  command->footer(
      fmt::format("The node must answer operators: `trunkline net listen` does, and so does a network with\n"
                  "answers_operators.\n\nExample:\n  trunkline net {} tcp://127.0.0.1:7000\n\n{}",
                  name, net_exit_codes_text));
  return {command, [options, peers] {
            NetworkOptions settings;
            settings.node.name = "operator";
            return run_with_network(std::move(settings), options->identity, {options->address}, [options, peers](std::shared_ptr<Network> network) {
              return ask_and_print(std::move(network), options.get(), peers);
            });
          }};
}

} // namespace

Command add_net_peers(CLI::App& net) { return add_ask(net, "peers", "Show the nodes that a node knows", true); }

Command add_net_stats(CLI::App& net) {
  return add_ask(net, "stats", "Show the counters of a node and its channels", false);
}

} // namespace trunkline::cli

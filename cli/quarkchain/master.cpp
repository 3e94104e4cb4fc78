// trunkline quarkchain master: a master of a cluster of slaves, Python's and ours, and a prompt to operate it.
#include "async/within.hpp"
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/location.hpp"
#include "cli/operate/listening.hpp"
#include "cli/quarkchain/limits.hpp"
#include "cli/quarkchain/node.hpp"
#include "cli/quarkchain/prompt.hpp"
#include "services/quarkchain/cluster/cluster_address.hpp"
#include "services/sync/disk.hpp"
#include "cli/line_input.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <spdlog/spdlog.h>

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::cli {
namespace {

using namespace quarkchain;

struct MasterOptions : NodeProgramOptions {
  std::vector<std::string> commands; // --exec
  std::vector<std::string> peer_listen;
  bool json = false;
  bool survives_slaves = false;
  double boot_seconds = 0;
  double request_seconds = 30;
};

std::chrono::milliseconds milliseconds_of(double seconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

/// The terminal: while the prompt stands there, what is logged goes above it.
class Screen {
 public:
  void show_prompt() {
    std::fputs("quarkchain> ", stdout);
    std::fflush(stdout);
    prompting_ = true;
  }
  /// Somebody has pressed return, and the cursor is at the beginning of a line.
  void line_was_read() { prompting_ = false; }
  void leave_prompt() {
    if (std::exchange(prompting_, false)) print("\n");
  }
  static void print(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (std::fflush(stdout) != 0) throw sync::FileError("write", "standard output", errno);
  }
  LogSink over(LogSink sink) {
    return [this, sink = std::move(sink)](LogLevel level, std::string_view line) {
      if (prompting_) std::fputs("\r\033[K", stderr);
      sink(level, line);
      if (prompting_) show_prompt();
    };
  }

 private:
  bool prompting_ = false;
};

/// Until quit or the end of the input. A command that fails says why, and that is all.
awaitable<void> serve_prompt(Operated* operated, Screen* screen) {
  Screen::print("The cluster is active. help lists the commands.\n");
  LineInput input(co_await asio::this_coro::executor);
  for (;;) {
    screen->show_prompt();
    const std::optional<std::string> line = co_await input.next();
    if (!line) co_return screen->leave_prompt();
    screen->line_was_read();
    if (means_quit(*line)) co_return;
    std::string text;
    try {
      text = co_await obey(operated, *line);
    } catch (...) {
      text = line_of(std::current_exception()) + "\n";
    }
    co_await throw_if_cancelled();
    Screen::print(text);
  }
}

/// Boots, then does what is to be done, and returns when the master shall end.
awaitable<void> operate(Operated* operated, Operation* operation, Screen* screen, const MasterOptions* options) {
  co_await operated->master.boot();
  operation->ready("the cluster is active");
  for (const std::string& address : options->peer_listen)
    Screen::print("listening for clusters on " + operated->master.listen_for_peers(address) + "\n");
  for (const std::string& line : options->commands) {
    if (means_quit(line)) co_return;
    const std::string text = co_await obey(operated, line);
    Screen::print(text);
  }
  if (!options->commands.empty()) co_return;
  const bool terminal = ::isatty(STDIN_FILENO) != 0;
  if (terminal) co_await serve_prompt(operated, screen);
  else (void)co_await operated->master.stopped();
}

awaitable<End> operate_until_end(Operated* operated, Operation* operation, Screen* screen, const MasterOptions* options,
                                 std::exception_ptr* failure) {
  using namespace asio::experimental::awaitable_operators;
  auto first = co_await (operated->master.stopped() || outcome_of(operate(operated, operation, screen, options)));
  co_await throw_if_cancelled(); // by a signal, which is no failure of what was being done
  screen->leave_prompt();
  End end;
  if (first.index() == 0) end = std::move(std::get<0>(first));
  else *failure = std::get<1>(first).failure;
  co_return end;
}

std::vector<LinkInfo> links_of(MasterNode& master) {
  std::vector<LinkInfo> links;
  for (const auto& control : master.connections().slaves())
    if (const auto connection = master.connections().slave_connections().find(*control))
      links.push_back(link_info(*connection, "slave"));
  return links;
}

void add_metrics(admin::MetricPage& page, MasterNode& master) {
  add_connection_metrics(page, {&master.connections().slave_connections(), &master.connections().connections()});
  page.add("trunkline_quarkchain_active", master.progress() == "active" ? 1 : 0);
  page.add("trunkline_quarkchain_slaves", static_cast<double>(master.slaves().size()));
  page.add("trunkline_quarkchain_peers", static_cast<double>(master.peers().size()));
  page.add("trunkline_quarkchain_requests_refused_total", static_cast<double>(master.counters().refused), "slave");
  page.add("trunkline_quarkchain_requests_unserved_total", static_cast<double>(master.counters().unserved), "slave");
}

int run_master(MasterOptions& options) {
  for (const std::string& address : options.peer_listen)
    if (!parse_location(address).is_remote())
      throw UsageError("--peer-listen: expected " + address_forms() + ", seen \"" + address + "\"");
  const NodeProgram program(options, !options.commands.empty());
  asio::io_context io(1);
  Operation operation(io, program.logger);
  Screen screen;
  const LogSink log = screen.over(sink_of(program.logger));
  MasterNodeOptions node = MasterNodeOptions::of(program.config);
  LimitTable limits;
  add_limits(limits, node);
  limits.set(options.limits);
  node.connections.log = log;
  std::vector<std::string> addresses = options.peer_listen;
  for (const auto& slave : program.config.slave_list) addresses.push_back(quarkchain::cluster_address(slave.host, slave.port));
  NodeIdentity identity(options.identity, "master.pem", addresses,
                        [logger = program.logger](const std::string& line) { logger->warn("{}", line); });
  Listening listening(tcp_options(options.limits));
  listening.apply(node.connections.media, identity.identity());
  operation.on_stopping([&listening] { listening.close(); });
  RunningConfiguration running_settings(options.settings, program.logger);
  if (running_settings.has_file()) operation.on_reload(running_settings.file(), [&] { running_settings.read_again(); });
  if (identity.reloads()) operation.on_reload("keys and known nodes", [&identity] { identity.reload(); });
  operation.keeps(options.config_file);
  node.ends_with_slave = !options.survives_slaves;
  node.boot_deadline = milliseconds_of(options.boot_seconds);
  node.request_deadline = milliseconds_of(options.request_seconds);
  const auto chain = std::make_shared<RootChain>(program.config.quarkchain,
                                                 program.open_store(program.directory_of("trunkline-master")), log);
  MasterNode master(io.get_executor(), std::move(node), chain);

  AdminPort admin_port(options.admin, "master", operation, options.limits);
  admin_port.open(io.get_executor(), [&master] { return links_of(master); }, [&master](admin::MetricPage& page) { add_metrics(page, master); });
  std::fflush(stdout);
  follow_node_options(running_settings, program, admin_port);
  follow_cluster_limits(running_settings, options.limits, master.connections().slave_connections(),
                        &master.connections().connections());
  Operated operated{master, *chain, program.config, milliseconds_of(options.request_seconds), options.json};
  std::exception_ptr failure;
  Running running;
  running.stopped = [&] { return operate_until_end(&operated, &operation, &screen, &options, &failure); };
  running.stop = [&](Duration deadline, End reason) { return master.stop(deadline, std::move(reason)); };
  running.on_signal = [&] { screen.leave_prompt(); };
  const End end = run_node(io, operation, admin_port, program, std::move(running));
  if (failure) std::rethrow_exception(failure);
  if (!end.clean()) throw boost::system::system_error(end.code, end.text);
  return static_cast<int>(ExitCode::equal);
}

} // namespace

Command add_quarkchain_master(CLI::App& quarkchain) {
  const auto options = std::make_shared<MasterOptions>();
  CLI::App* const command = quarkchain.add_subcommand("master", "Run the master of a cluster, with a prompt");
  command
      ->add_option("--exec", options->commands,
                   "Do this when the cluster is active, then end; may be repeated. The first that fails is the last")
      ->type_name("COMMAND")
      ->allow_extra_args(false);
  command
      ->add_option("--peer-listen", options->peer_listen,
                   "Take connections of other clusters there, once this one is active; may be repeated")
      ->type_name("ADDRESS")
      ->allow_extra_args(false);
  command->add_flag("--json", options->json, "What commands print: one JSON object per row");
  command->add_flag("--survive-slaves", options->survives_slaves, "Go on when a slave is lost; boot connects it again");
  command->add_option("--boot-timeout", options->boot_seconds, "For each request while booting; 0: none")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 86'400.0));
  command->add_option("--request-timeout", options->request_seconds, "For each request afterwards; 0: none")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 86'400.0));
  MasterNodeOptions node;
  LimitTable limits;
  add_limits(limits, node);
  add_operating_limits(limits);
  add_node_options(*command, *options, "the root chain is", limits);
  command->footer(
      "Dials the slaves of SLAVE_LIST, Python's or ours, for as long as it takes, and boots the cluster. On a "
      "terminal\n"
      "it then has a prompt; without one, and without --exec, it runs until SIGINT or SIGTERM. It checks linkage, no\n"
      "proof of work, and serves no JSON RPC. Other clusters meet it only where --peer-listen or meet say so.\n\n"
      "Commands:\n" +
      commands_text() +
      "\n"
      "Exit codes: 0 quit, the last command or a signal has ended it; 1 wrong usage or configuration; 10 a slave was\n"
      "lost; 11 a file cannot be read or written; 12 a slave refuses, is not the one expected, or breaks the "
      "protocol;\n"
      "30 timeout.\n\n"
      "Example:\n"
      "  trunkline quarkchain master --cluster_config cluster_config.json --exec status");
  return {command, [options] { return run_master(*options); }};
}

} // namespace trunkline::cli

#include "cli/quarkchain/node.hpp"

#include "cli/node.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <spdlog/spdlog.h>

#include <exception>
#include <utility>

namespace trunkline::cli {
namespace {

awaitable<void> wait_and_stop(const NodeProgram* program, Running node, Operation* operation, End* end) {
  using namespace asio::experimental::awaitable_operators;
  const std::chrono::seconds grace(program->options.grace_seconds);
  auto first = co_await (node.stopped() || operation->until_asked_to_end());
  operation->stopping();
  if (first.index() == 0) {
    *end = std::move(std::get<0>(first));
  } else {
    operation->let_signals_kill(); // the next one is the system's
    if (node.on_signal) node.on_signal();
    program->logger->info("{}: ending, what runs may take {} s more; a second one ends it at once",
                          name_of_signal(std::get<1>(first)), grace.count());
  }
  End reason = *end;
  co_await node.stop(grace, std::move(reason));
}

} // namespace

void add_node_options(CLI::App& command, NodeProgramOptions& options, const std::string& kept, const LimitTable& limits) {
  command
      .add_option("--cluster_config", options.config_file, "The configuration that all processes of the cluster share")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--data", options.data,
                  "Where " + kept + " kept; unless given below DB_PATH_ROOT, or in memory where that is empty")
      ->type_name("DIR");
  command.add_option("--grace", options.grace_seconds, "How long what runs may go on after SIGINT or SIGTERM")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0, 86'400));
  add_admin_options(command, options.admin);
  add_log_options(command, options.log);
  add_identity_options(command, options.identity, "master.pem or slave-ID.pem");
  command.add_flag("-q,--quiet", options.quiet, "Log only trouble, whatever LOG_LEVEL says");
  command.add_flag("-v,--verbose", options.verbose, "Log everything");
  options.ignored = add_ignored_flags(command);
  add_limit_options(command, options.limits, limits);
  add_configuration_options(command, options.settings);
}

LogLevel NodeProgram::usual_level() const {
  return options.verbose ? LogLevel::debug : options.quiet || calm ? LogLevel::warning : configured_level;
}

NodeProgram::NodeProgram(NodeProgramOptions& with, bool stays_calm) : options(with), calm(stays_calm) {
  LoadedConfig loaded = load_cluster_config(options.config_file);
  config = std::move(loaded.config);
  configured_level = log_level_of(config);
  logger = make_logger(least_level(options.log, usual_level()), options.log);
  for (const std::string& note : loaded.notes) logger->warn("{}", note);
  for (const std::string& key : loaded.unread)
    logger->info("{}: the setting {} is read by nobody", options.config_file, key);
  for (const std::string& flag : options.ignored.given())
    logger->warn("{} says nothing next to --cluster_config", flag);
  raise_files_limit();
}

std::string NodeProgram::directory_of(const std::string& name) const {
  if (!options.data.empty() || config.db_path_root.empty()) return options.data;
  return config.db_path_root + "/" + name;
}

std::unique_ptr<quarkchain::Store> NodeProgram::open_store(const std::string& directory) const {
  if (directory.empty()) {
    logger->info("keeping what comes in memory: neither --data nor DB_PATH_ROOT names a directory");
    return quarkchain::make_memory_store();
  }
  logger->info("keeping what comes in {}{}", directory, config.clean ? ", emptied because of CLEAN" : "");
  return quarkchain::open_store(directory, config.clean);
}

LinkInfo link_info(const quarkchain::ClusterConnection& connection, std::string name) {
  LinkInfo info;
  info.name = std::move(name);
  info.remote = connection.remote();
  info.remote_host = connection.remote_host();
  info.dialled = connection.dialled();
  info.identity = connection.trunk()->remote_identity();
  info.counters = connection.trunk()->machine().counters();
  info.trunk = connection.trunk();
  return info;
}

void add_connection_metrics(admin::MetricPage& page, std::initializer_list<const quarkchain::ClusterConnections*> all) {
  std::size_t open = 0;
  LinksCounters sum;
  for (const quarkchain::ClusterConnections* const connections : all) {
    open += connections->size();
    sum.accepted += connections->counters().accepted;
    sum.turned_away += connections->counters().turned_away;
    sum.dials += connections->counters().dials;
  }
  page.add("trunkline_quarkchain_connections", static_cast<double>(open));
  page.add("trunkline_quarkchain_connections_accepted_total", static_cast<double>(sum.accepted));
  page.add("trunkline_quarkchain_connections_turned_away_total", static_cast<double>(sum.turned_away));
  page.add("trunkline_quarkchain_dials_total", static_cast<double>(sum.dials));
}

void follow_node_options(RunningConfiguration& running, const NodeProgram& program, AdminPort& admin_port) {
  NodeProgramOptions& options = program.options;
  follow_log(running, options.log, program.logger, [&program] { return program.usual_level(); });
  for (bool* const flag : {&options.quiet, &options.verbose})
    running.follow(flag == &options.quiet ? "quiet" : "verbose", *flag, [&program] {
      set_log_level(program.logger, least_level(program.options.log, program.usual_level()));
    });
  running.follow("grace", options.grace_seconds, [] {});
  admin_port.follow(running, options.limits, program.logger);
}

End run_node(asio::io_context& io, Operation& operation, AdminPort& admin_port, const NodeProgram& program, Running node) {
  End end;
  std::exception_ptr failure;
  asio::co_spawn(io, wait_and_stop(&program, std::move(node), &operation, &end), [&](std::exception_ptr thrown) {
    failure = std::move(thrown);
    admin_port.close();
    operation.close();
  });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return end;
}

} // namespace trunkline::cli

#include "cli/quarkchain/node.hpp"

#include "cli/node.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <spdlog/spdlog.h>

#include <csignal>
#include <exception>
#include <utility>

namespace trunkline::cli {
namespace {

const char* name_of_signal(int signal) {
  if (signal == SIGHUP) return "SIGHUP";
  return signal == SIGINT ? "SIGINT" : "SIGTERM";
}

awaitable<void> wait_and_stop(const NodeProgram* program, Running node, asio::signal_set* signals, End* end) {
  using namespace asio::experimental::awaitable_operators;
  const std::chrono::seconds grace(program->options.grace_seconds);
  auto first = co_await (node.stopped() || signals->async_wait(asio::use_awaitable));
  if (first.index() == 0) {
    *end = std::move(std::get<0>(first));
  } else {
    signals->clear(); // the next one is the system's: it ends the process
    if (node.on_signal) node.on_signal();
    program->logger->info("{}: ending, what runs may take {} s more; a second one ends it at once",
                          name_of_signal(std::get<1>(first)), grace.count());
  }
  End reason = *end;
  co_await node.stop(grace, std::move(reason));
}

} // namespace

void add_node_options(CLI::App& command, NodeProgramOptions& options, const std::string& kept) {
  command
      .add_option("--cluster_config", options.config_file, "The configuration that all processes of the cluster share")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--data", options.data,
                  "Where " + kept + " kept; unless given below DB_PATH_ROOT, or in memory where that is empty")
      ->type_name("DIR");
  command.add_option("--grace", options.grace_seconds, "How long what runs may go on after SIGINT, SIGTERM or SIGHUP")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0, 86'400));
  add_identity_options(command, options.identity, "master.pem or slave-ID.pem");
  command.add_flag("-q,--quiet", options.quiet, "Log only trouble, whatever LOG_LEVEL says");
  command.add_flag("-v,--verbose", options.verbose, "Log everything");
  options.ignored = add_ignored_flags(command);
}

NodeProgram::NodeProgram(const NodeProgramOptions& with, bool calm) : options(with) {
  LoadedConfig loaded = load_cluster_config(options.config_file);
  config = std::move(loaded.config);
  const LogLevel configured = log_level_of(config);
  logger = make_logger(options.verbose ? LogLevel::debug : options.quiet || calm ? LogLevel::warning : configured);
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

Signals::Signals(asio::io_context& io) : io_(io), set_(io, SIGINT, SIGTERM, SIGHUP) {}

End Signals::run(const NodeProgram& program, Running node) {
  End end;
  std::exception_ptr failure;
  asio::co_spawn(io_, wait_and_stop(&program, std::move(node), &set_, &end), [&](std::exception_ptr thrown) {
    failure = std::move(thrown);
    set_.cancel();
  });
  io_.run();
  if (failure) std::rethrow_exception(failure);
  return end;
}

} // namespace trunkline::cli

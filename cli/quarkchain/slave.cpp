// trunkline quarkchain slave: one slave of a cluster, whose shards check what they are told.
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/location.hpp"
#include "cli/quarkchain/node.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/ledger/ledger.hpp"
#include "services/quarkchain/shards/shard_backend.hpp"
#include "services/quarkchain/slave/slave_node.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::cli {
namespace {

using namespace quarkchain;

struct SlaveOptions : NodeProgramOptions {
  std::string node_id;
  std::string listen;
  std::vector<std::string> master_hosts;
  bool waits_for_new_master = false;
  bool strict_parity = false;
  bool ledger = false;
};

constexpr const char* mark_of_database = "CURRENT"; // a file that is in each

SlaveNodeOptions node_options(const SlaveOptions& options, const NodeProgram& program) {
  SlaveNodeOptions node = SlaveNodeOptions::of(program.config, options.node_id);
  if (!options.listen.empty()) node.address = options.listen;
  node.connections.log = sink_of(program.logger);
  node.master_hosts = options.master_hosts;
  node.waits_for_new_master = options.waits_for_new_master;
  node.strict_parity = options.strict_parity;
  return node;
}

/// Connections are known by number: a name would never be theirs.
void check_hosts(const std::vector<std::string>& hosts) {
  for (const std::string& host : hosts)
    if (host.find_first_not_of("0123456789abcdefABCDEF.:") != std::string::npos ||
        host.find_first_of(".:") == host.npos)
      throw UsageError("--master-host: expected an IP address, seen \"" + host + "\"");
}

/// What one kind of backend has kept means nothing to the other, which would begin anew.
void check_directory(const std::string& directory, bool ledger) {
  if (directory.empty()) return;
  const bool of_ledger = std::filesystem::exists(directory + "/" + mark_of_database);
  if (of_ledger && !ledger)
    throw UsageError(directory +
                     ": expected the databases of shards, seen what the embedded ledger keeps; give "
                     "--ledger or another --data");
  if (!ledger || !std::filesystem::is_directory(directory)) return;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    if (entry.path().filename().string().starts_with("shard-"))
      throw UsageError(directory +
                       ": expected what the embedded ledger keeps, seen the databases of shards; leave out "
                       "--ledger or give another --data");
}

std::shared_ptr<Backend> make_backend(const SlaveOptions& options, const NodeProgram& program) {
  const std::string directory = program.directory_of("trunkline-slave-" + options.node_id);
  check_directory(directory, options.ledger);
  if (options.ledger) {
    program.logger->warn("--ledger: for demonstrations; blocks are believed and no transaction is executed");
    LedgerOptions ledger = LedgerOptions::of(program.config, options.node_id);
    ledger.log = sink_of(program.logger);
    return make_ledger(std::move(ledger), program.open_store(directory));
  }
  ShardBackendOptions shards = ShardBackendOptions::of(program.config, options.node_id);
  shards.log = sink_of(program.logger);
  shards.open_store = [&](std::uint32_t shard) {
    return program.open_store(directory.empty() ? directory : directory + "/shard-" + shard_text(shard));
  };
  try {
    return make_shard_backend(std::move(shards));
  } catch (const ConfigFailure& failure) {
    if (directory.empty()) throw;
    throw ConfigFailure(fmt::format("{} (the databases are in {})", failure.what(), directory));
  }
}

int run_slave(const SlaveOptions& options) {
  check_hosts(options.master_hosts);
  if (!options.listen.empty() && !parse_location(options.listen).is_remote())
    throw UsageError("--listen: expected " + address_forms() + ", seen \"" + options.listen + "\"");
  const NodeProgram program(options, false);
  SlaveNodeOptions node;
  std::shared_ptr<Backend> backend;
  try {
    node = node_options(options, program);
    backend = make_backend(options, program);
  } catch (const ConfigFailure& failure) {
    throw UsageError(options.config_file + ": " + failure.what());
  }

  asio::io_context io(1);
  Signals signals(io);
  const std::string shards = shards_text(node.own.full_shard_ids);
  SlaveNode slave(io.get_executor(), std::move(node), std::move(backend));
  std::printf("listening on %s\n", slave.listen().c_str());
  std::fflush(stdout);
  program.logger->info("slave {} runs {} and waits for its master", options.node_id, shards);

  Running running;
  running.stopped = [&] { return slave.stopped(); };
  running.stop = [&](Duration deadline, End reason) { return slave.stop(deadline, std::move(reason)); };
  const End end = signals.run(program, std::move(running));
  program.logger->info("slave {} has ended: {}", options.node_id, end.to_string());
  if (end.clean()) return static_cast<int>(ExitCode::equal);
  if (const std::optional<End>& how = slave.connections().master_end(); how && end.code == error::trunk_lost) {
    if (how->clean()) return static_cast<int>(ExitCode::equal); // masters end their slaves so
    throw boost::system::system_error(how->code, end.text);
  }
  throw boost::system::system_error(end.code, end.text);
}

} // namespace

Command add_quarkchain_slave(CLI::App& quarkchain) {
  const auto options = std::make_shared<SlaveOptions>();
  CLI::App* const command = quarkchain.add_subcommand("slave", "Run a slave of a cluster");
  command->add_option("--node_id", options->node_id, "Which entry of SLAVE_LIST this is")->required()->type_name("ID");
  command->add_option("--listen", options->listen, "tcp://host:port, instead of all interfaces and the entry's PORT")
      ->type_name("ADDRESS");
  command
      ->add_option("--master-host", options->master_hosts,
                   "Only who connects from there can be the master, not whoever is first; may be repeated")
      ->type_name("IP")
      ->allow_extra_args(false);
  command->add_flag("--keep-waiting", options->waits_for_new_master, "When the master is lost, wait for a new one");
  command->add_flag("--strict-parity", options->strict_parity, "Never forget a lost slave, nor dial it again");
  command->add_flag("--ledger", options->ledger, "Believe what comes and execute nothing: for demonstrations");
  add_node_options(*command, *options, "blocks are");
  command->footer(
      "Takes the flags and the file that pyquarkchain's slave.py takes; next to a file, most of those flags say\n"
      "nothing. Runs plain transfers, in a shard and across; where a block needs contracts, that shard stops "
      "following\n"
      "and says so. Prints the real address, as \"listening on tcp://0.0.0.0:38000\".\n\n"
      "Exit codes: 0 the master has closed the connection, or a signal has ended it; 1 wrong usage, configuration or\n"
      "database; 10 the address is in use, or the connection of the master was cut; 11 a file cannot be read or\n"
      "written; 12 the master broke the protocol, or asked for what cannot be done.\n\n"
      "Example:\n"
      "  trunkline quarkchain slave --cluster_config cluster_config.json --node_id S0");
  return {command, [options] { return run_slave(*options); }};
}

} // namespace trunkline::cli

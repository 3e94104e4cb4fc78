// trunkline quarkchain slave: one slave of a cluster, whose shards check what they are told.
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/location.hpp"
#include "cli/operate/listening.hpp"
#include "cli/quarkchain/limits.hpp"
#include "cli/quarkchain/node.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/cluster/cluster_address.hpp"
#include "services/quarkchain/execution/sender_threads.hpp"
#include "services/quarkchain/ledger/ledger.hpp"
#include "services/quarkchain/shards/shard_backend.hpp"
#include "services/quarkchain/slave/slave_node.hpp"
#include "services/quarkchain/store/store.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
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
  std::string el_command;
  bool el_bridge = false;
  std::uint16_t el_ports = 0;
  int el_deadline_seconds = 8;
  int el_start_deadline_seconds = 60;
  std::size_t el_transactions = 20;
};

constexpr const char* mark_of_database = "CURRENT"; // a file that is in each

SlaveNodeOptions node_options(const SlaveOptions& options, const NodeProgram& program,
                              std::optional<NodeIdentity>& identity) {
  SlaveNodeOptions node = SlaveNodeOptions::of(program.config, options.node_id);
  LimitTable limits;
  add_limits(limits, node);
  limits.set(options.limits);
  if (!options.listen.empty()) node.address = options.listen;
  node.connections.log = sink_of(program.logger);
  node.master_hosts = options.master_hosts;
  node.waits_for_new_master = options.waits_for_new_master;
  node.strict_parity = options.strict_parity;
  std::vector<std::string> addresses = {node.address};
  for (const auto& slave : program.config.slave_list) addresses.push_back(cluster_address(slave.host, slave.port));
  identity.emplace(options.identity, "slave-" + options.node_id + ".pem", addresses,
                   [logger = program.logger](const std::string& line) { logger->warn("{}", line); });
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

/// Where an execution layer keeps what is its own: next to its shard's database, or for as long as this process lives.
EngineSettings engine_settings(const SlaveOptions& options, const std::string& directory) {
  EngineSettings settings;
  settings.command = options.el_command;
  settings.bridge = options.el_bridge;
  settings.ports_from = options.el_ports;
  settings.transactions_max = options.el_transactions;
  settings.deadlines.slow = std::chrono::seconds(options.el_deadline_seconds);
  settings.deadlines.quick = std::chrono::seconds(1 + options.el_deadline_seconds / 8);
  settings.start_deadline = std::chrono::seconds(options.el_start_deadline_seconds);
  if (directory.empty()) throw UsageError("--el-command: expected --data or DB_PATH_ROOT, which is where it keeps its own");
  settings.directory_of = [directory](std::uint32_t shard) { return directory + "/el-" + shard_text(shard); };
  return settings;
}

/// The first failure of a database. Whoever asked for what needed it hears of an error; the end of the process is its
/// own.
struct FirstFailure {
  std::string text;
};

/// Keeps the first failure where it can be seen after everything has ended.
class NotedStore final : public Store {
 public:
  NotedStore(std::unique_ptr<Store> on, std::shared_ptr<FirstFailure> first)
      : on_(std::move(on)), first_(std::move(first)) {}
  std::optional<std::string> get(std::string_view key) const override {
    return noted([&] { return on_->get(key); });
  }
  void write(const StoreBatch& batch) override {
    noted([&] { on_->write(batch); });
  }
  void scan(std::string_view prefix, std::string_view from,
            const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    noted([&] { on_->scan(prefix, from, visit); });
  }

 private:
  template <class Action> std::invoke_result_t<Action&> noted(Action&& action) const {
    try {
      return action();
    } catch (const StoreFailure& failure) {
      if (first_->text.empty()) first_->text = failure.what();
      throw;
    }
  }

  std::unique_ptr<Store> on_;
  std::shared_ptr<FirstFailure> first_;
};

std::shared_ptr<Backend> make_backend(const SlaveOptions& options, const NodeProgram& program,
                                      const std::shared_ptr<FirstFailure>& failure) {
  const auto open = [&program, failure](const std::string& where) {
    return std::make_unique<NotedStore>(program.open_store(where), failure);
  };
  const std::string directory = program.directory_of("trunkline-slave-" + options.node_id);
  check_directory(directory, options.ledger);
  if (options.ledger && !options.el_command.empty())
    throw UsageError("--ledger and --el-command: expected one executor, seen two");
  if (options.el_command.empty() && (options.el_bridge || options.el_ports != 0))
    throw UsageError(fmt::format("{}: expected --el-command, seen none", options.el_bridge ? "--el-bridge" : "--el-ports"));
  if (options.ledger) {
    program.logger->warn("--ledger: for demonstrations; blocks are believed and no transaction is executed");
    LedgerOptions ledger = LedgerOptions::of(program.config, options.node_id);
    LimitTable limits;
    add_limits(limits, ledger);
    limits.set(options.limits);
    ledger.log = sink_of(program.logger);
    return make_ledger(std::move(ledger), open(directory));
  }
  ShardBackendOptions shards = ShardBackendOptions::of(program.config, options.node_id);
  LimitTable limits;
  add_limits(limits, shards);
  limits.set(options.limits);
  shards.log = sink_of(program.logger);
  shards.sender_threads = SenderThreads::of_this_machine();
  if (!options.el_command.empty()) shards.engine = engine_settings(options, directory);
  shards.open_store = [&](std::uint32_t shard) {
    return open(directory.empty() ? directory : directory + "/shard-" + shard_text(shard));
  };
  try {
    return make_shard_backend(std::move(shards));
  } catch (const ConfigFailure& failure) {
    if (directory.empty()) throw;
    throw ConfigFailure(fmt::format("{} (the databases are in {})", failure.what(), directory));
  }
}

/// Before anybody is told that we are here. Errors: UsageError.
void start_executors(asio::io_context& io, const std::shared_ptr<Backend>& backend) {
  const auto shards = std::dynamic_pointer_cast<ShardBackend>(backend);
  if (!shards) return;
  bool done = false;
  std::exception_ptr failure;
  asio::co_spawn(io, shards->start_executors(), [&](std::exception_ptr thrown) {
    done = true;
    failure = std::move(thrown);
  });
  while (!done) io.run_one();
  io.restart(); // it has run out of work when there was nothing to be waited for
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const ConfigFailure& why) {
    throw UsageError(why.what());
  }
}

std::vector<LinkInfo> links_of(SlaveNode& slave) {
  ClusterSlave& cluster = slave.connections();
  std::vector<LinkInfo> links;
  const auto add = [&](const std::shared_ptr<RpcCircuit>& control, std::string name) {
    if (!control) return;
    if (const auto connection = cluster.connections().find(*control)) links.push_back(link_info(*connection, std::move(name)));
  };
  add(cluster.master(), "master");
  for (const auto& control : cluster.slaves().circuits()) {
    const SlaveIdentity* const identity = cluster.slaves().identity_of(*control);
    add(control, identity ? "slave " + identity->id : "unidentified");
  }
  return links;
}

void add_metrics(admin::MetricPage& page, SlaveNode& slave) {
  ClusterSlave& cluster = slave.connections();
  add_connection_metrics(page, {&cluster.connections()});
  page.add("trunkline_quarkchain_active", cluster.master() ? 1 : 0);
  page.add("trunkline_quarkchain_slaves", static_cast<double>(cluster.slaves().circuits().size() - cluster.slaves().unidentified()));
  page.add("trunkline_quarkchain_peers", static_cast<double>(cluster.peers().peers().size()));
  const std::pair<const char*, const ServiceCounters*> askers[] = {
      {"master", &slave.master_counters()}, {"slave", &slave.slave_counters()}, {"peer", &slave.peer_counters()}};
  for (const auto& [from, counters] : askers) {
    page.add("trunkline_quarkchain_requests_refused_total", static_cast<double>(counters->refused), from);
    page.add("trunkline_quarkchain_requests_unserved_total", static_cast<double>(counters->unserved), from);
  }
}

int run_slave(SlaveOptions& options) {
  check_hosts(options.master_hosts);
  if (!options.listen.empty() && !parse_location(options.listen).is_remote())
    throw UsageError("--listen: expected " + address_forms() + ", seen \"" + options.listen + "\"");
  const NodeProgram program(options, false);
  SlaveNodeOptions node;
  std::shared_ptr<Backend> backend;
  std::optional<NodeIdentity> identity;
  const auto store_failure = std::make_shared<FirstFailure>();
  try {
    node = node_options(options, program, identity);
    backend = make_backend(options, program, store_failure);
  } catch (const ConfigFailure& failure) {
    throw UsageError(options.config_file + ": " + failure.what());
  }

  asio::io_context io(1);
  Operation operation(io, program.logger);
  Listening listening(tcp_options(options.limits));
  listening.apply(node.connections.media, identity->identity());
  operation.on_stopping([&listening] { listening.close(); });
  const std::string shards = shards_text(node.own.full_shard_ids);
  SlaveNode slave(io.get_executor(), std::move(node), std::move(backend));
  start_executors(io, slave.backend());
  std::printf("listening on %s\n", slave.listen().c_str());
  AdminPort admin_port(options.admin, "slave " + options.node_id, operation, options.limits);
  admin_port.open(io.get_executor(), [&slave] { return links_of(slave); }, [&slave](admin::MetricPage& page) { add_metrics(page, slave); });
  std::fflush(stdout);
  program.logger->info("slave {} runs {} and waits for its master", options.node_id, shards);
  RunningConfiguration running_settings(options.settings, program.logger);
  follow_node_options(running_settings, program, admin_port);
  follow_cluster_limits(running_settings, options.limits, slave.connections().connections());
  if (running_settings.has_file()) operation.on_reload(running_settings.file(), [&] { running_settings.read_again(); });
  if (identity->reloads()) operation.on_reload("keys and known nodes", [&] { identity->reload(); });
  operation.keeps(options.config_file);
  operation.ready("slave " + options.node_id + " runs " + shards);

  Running running;
  running.stopped = [&] { return slave.stopped(); };
  running.stop = [&](Duration deadline, End reason) { return slave.stop(deadline, std::move(reason)); };
  const End end = run_node(io, operation, admin_port, program, std::move(running));
  program.logger->info("slave {} has ended: {}", options.node_id, end.to_string());
  if (!store_failure->text.empty()) throw StoreFailure(store_failure->text);
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
  command
      ->add_option("--el-command", options->el_command,
                   "Run transactions in an execution layer, which this starts for each shard")
      ->type_name("COMMAND");
  command->add_flag("--el-bridge", options->el_bridge, "Let transactions to 514b43..0fff send across shards");
  command->add_option("--el-ports", options->el_ports, "Two ports for each shard from here on, instead of free ones")
      ->type_name("PORT")
      ->check(CLI::Range(1024, 65000));
  command
      ->add_option("--el-deadline", options->el_deadline_seconds,
                   "How long it may take for a block; more for each transaction")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(1, 3600));
  command
      ->add_option("--el-start-deadline", options->el_start_deadline_seconds,
                   "How long a start may take since it was last seen to work: to say something, or to use the processor")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(1, 86400));
  command->add_option("--el-transactions", options->el_transactions, "At most so many in a block that is built here")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  SlaveNodeOptions node;
  ShardBackendOptions shards;
  LimitTable limits;
  add_limits(limits, node);
  add_limits(limits, shards);
  add_operating_limits(limits);
  add_node_options(*command, *options, "blocks are", limits);
  command->footer(
      "Takes the flags and the file that pyquarkchain's slave.py takes; next to a file, most of those flags say\n"
      "nothing. Runs plain transfers, in a shard and across; where a block needs contracts, that shard stops "
      "following\n"
      "and says so. With --el-command an execution layer runs contracts; {genesis}, {data}, {jwt}, {rpc_port} and\n"
      "{engine_port} in it stand for its files and ports. Prints the real address, as \"listening on "
      "tcp://0.0.0.0:38000\".\n\n"
      "Exit codes: 0 the master has closed the connection, or a signal has ended it; 1 wrong usage, configuration or\n"
      "database; 10 the address is in use, or the connection of the master was cut; 11 a file cannot be read or\n"
      "written; 12 the master broke the protocol, or asked for what cannot be done.\n\n"
      "Example:\n"
      "  trunkline quarkchain slave --cluster_config cluster_config.json --node_id S0");
  return {command, [options] { return run_slave(*options); }};
}

} // namespace trunkline::cli

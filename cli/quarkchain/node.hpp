// What the programs of a cluster, slave and master, have in common: options, configuration, log, store, and how a
// signal ends them.
#pragma once

#include "async/types.hpp"
#include "cli/identity.hpp"
#include "cli/logger.hpp"
#include "cli/operate/admin.hpp"
#include "cli/operate/configuration.hpp"
#include "cli/operate/limits.hpp"
#include "cli/operate/running_configuration.hpp"
#include "cli/quarkchain/config.hpp"
#include "fragment/error.hpp"
#include "services/quarkchain/cluster/cluster_connection.hpp"
#include "services/quarkchain/store/store.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>

namespace trunkline::cli {

struct NodeProgramOptions {
  IdentityOptions identity;
  LogOptions log;
  AdminOptions admin;
  ConfigurationOptions settings; // of this program, beside the configuration of the cluster
  LimitOptions limits;
  std::string config_file;
  std::string data;
  bool quiet = false;
  bool verbose = false;
  int grace_seconds = 10;
  IgnoredFlags ignored;
};

/// Adds those that both have; `kept` says what is in --data, `limits` has those of the node.
void add_node_options(CLI::App& command, NodeProgramOptions& options, const std::string& kept, const LimitTable& limits);

/// The configuration is read, and what is to be said about it was logged. `calm`: only trouble, unless --verbose.
struct NodeProgram {
  /// The options must outlive it.
  NodeProgram(NodeProgramOptions& options, bool calm);

  NodeProgramOptions& options;
  bool calm;
  quarkchain::ClusterConfig config;
  LogLevel configured_level = LogLevel::info; // by the cluster
  Logger logger;

  /// Where no option says one.
  LogLevel usual_level() const;

  /// --data; else DB_PATH_ROOT/NAME, next to what a Python node keeps there; nothing where that is empty.
  std::string directory_of(const std::string& name) const;
  /// The database in this directory; in memory without one.
  std::unique_ptr<quarkchain::Store> open_store(const std::string& directory) const;
};

/// A node that runs until it, or a signal, says so.
struct Running {
  std::function<awaitable<End>()> stopped;            // waits until the end was decided
  std::function<awaitable<void>(Duration, End)> stop; // in two phases
  std::function<void()> on_signal;                    // before it is stopped; may be empty
};

/// What the admin port shows of a connection with the cluster framing, whose far side has this name for us.
LinkInfo link_info(const quarkchain::ClusterConnection& connection, std::string name);
/// Adds the metrics of all these connections together.
void add_connection_metrics(admin::MetricPage& page, std::initializer_list<const quarkchain::ClusterConnections*> all);

/// Follows what slave and master have in common. Before `run_node`.
void follow_node_options(RunningConfiguration& running, const NodeProgram& program, AdminPort& admin_port);

/// Runs the context until nothing is left of the node, which ends by itself, or when its operator asks for it: it then
/// may stop gracefully for as long as --grace says, and a second signal ends the process at once. Says how the node ended
/// by itself; a clean end for a signal.
End run_node(asio::io_context& io, Operation& operation, AdminPort& admin_port, const NodeProgram& program, Running node);

} // namespace trunkline::cli

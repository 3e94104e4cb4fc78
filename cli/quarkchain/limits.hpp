// The limits of QuarkChain's nodes by name, as cli/operate/limits.hpp has those of others.
#pragma once

#include "cli/operate/limits.hpp"
#include "cli/operate/running_configuration.hpp"
#include "transport/socket_options.hpp"

namespace trunkline::quarkchain {
class ClusterConnections;
struct LedgerOptions;
struct MasterNodeOptions;
struct ShardBackendOptions;
struct SlaveNodeOptions;
}

namespace trunkline::cli {

void add_limits(LimitTable& table, quarkchain::SlaveNodeOptions& options);
void add_limits(LimitTable& table, quarkchain::MasterNodeOptions& options);
void add_limits(LimitTable& table, quarkchain::ShardBackendOptions& options);
void add_limits(LimitTable& table, quarkchain::LedgerOptions& options);
/// Those of the admin port and of TCP, to be named.
void add_operating_limits(LimitTable& table);
TcpOptions tcp_options(const LimitOptions& words);

/// Follows the keys of limits that each connection has for itself: those made from then on have the new ones. `peers`:
/// the connections with other clusters, whose command_bytes_max has a key of its own; may be null. Both must outlive
/// `running`.
void follow_cluster_limits(RunningConfiguration& running, LimitOptions& words, quarkchain::ClusterConnections& own,
                           quarkchain::ClusterConnections* peers = nullptr);

} // namespace trunkline::cli

#include "cli/quarkchain/limits.hpp"

#include "services/admin/port.hpp"
#include "services/quarkchain/ledger/ledger.hpp"
#include "services/quarkchain/master/master_node.hpp"
#include "services/quarkchain/shards/shard_backend.hpp"
#include "services/quarkchain/slave/slave_node.hpp"

namespace trunkline::cli {
namespace {

using namespace quarkchain;

#define TRUNKLINE_LIMIT(name) table.add(#name, limits.name)

void add_cluster_limits(LimitTable& table, ClusterLimits& limits) {
  TRUNKLINE_LIMIT(command_bytes_max);
  TRUNKLINE_LIMIT(unidentified_command_bytes_max);
  TRUNKLINE_LIMIT(control_inbox_bytes_max);
  TRUNKLINE_LIMIT(peer_inbox_bytes_max);
  TRUNKLINE_LIMIT(peers_inbox_bytes_max);
  TRUNKLINE_LIMIT(output_bytes_max);
  TRUNKLINE_LIMIT(peer_output_bytes_max);
  TRUNKLINE_LIMIT(circuits_max);
  TRUNKLINE_LIMIT(stall_deadline);
  TRUNKLINE_LIMIT(write_deadline);
  TRUNKLINE_LIMIT(goodbye_deadline);
}

void add_rpc_limits(LimitTable& table, RpcLimits& limits) {
  TRUNKLINE_LIMIT(requests_in_flight_max);
  TRUNKLINE_LIMIT(requests_in_flight_bytes_max);
  TRUNKLINE_LIMIT(requests_of_kind_bytes_max);
  TRUNKLINE_LIMIT(requests_waiting_bytes_max);
  TRUNKLINE_LIMIT(requests_read_ahead_bytes_max);
  TRUNKLINE_LIMIT(calls_in_flight_max);
  TRUNKLINE_LIMIT(late_replies_max);
}

void add_connection_limits(LimitTable& table, ClusterConnectionsOptions& limits) {
  add_cluster_limits(table, limits.limits);
  TRUNKLINE_LIMIT(connections_max);
  TRUNKLINE_LIMIT(handshakes_max);
  TRUNKLINE_LIMIT(handshakes_per_host_max);
  TRUNKLINE_LIMIT(handshake_deadline);
  TRUNKLINE_LIMIT(connect_deadline);
}

} // namespace

void add_limits(LimitTable& table, SlaveNodeOptions& options) {
  add_connection_limits(table, options.connections); // its newcomers are bounded by the pool
  add_rpc_limits(table, options.rpc);
  SlaveNodeOptions& limits = options;
  TRUNKLINE_LIMIT(peers_max);
  TRUNKLINE_LIMIT(report_deadline);
  TRUNKLINE_LIMIT(xshard_deadline);
  TRUNKLINE_LIMIT(peer_deadline);
  table.add("pool.greet_deadline", options.pool.greet_deadline);
  table.add("pool.identify_deadline", options.pool.identify_deadline);
  table.add("pool.unidentified_max", options.pool.unidentified_max);
  table.add("pool.unidentified_per_host_max", options.pool.unidentified_per_host_max);
  table.add("pool.links_per_slave_max", options.pool.links_per_slave_max);
  table.add("pool.slaves_max", options.pool.slaves_max);
  table.add("pool.redial_delay_min", options.pool.redial_delay_min);
  table.add("pool.redial_delay_max", options.pool.redial_delay_max);
  table.add("peer_shards.transactions_max", options.peer_shards.transactions_max);
  table.add("peer_shards.blocks_max", options.peer_shards.blocks_max);
  table.add("peer_shards.headers_max", options.peer_shards.headers_max);
}

void add_limits(LimitTable& table, MasterNodeOptions& options) {
  add_connection_limits(table, options.connections);
  add_rpc_limits(table, options.rpc);
  table.add("newcomers_max", options.connections.newcomers_max);
  table.add("newcomers_per_host_max", options.connections.newcomers_per_host_max);
  table.add("connect_retry_delay", options.connect_retry_delay);
  table.add("peers.peers_max", options.peers.peers_max);
  table.add("peers.command_bytes_max", options.peers.command_bytes_max);
  table.add("peers.hello_deadline", options.peers.hello_deadline);
  table.add("peers.root.transactions_max", options.peers.root.transactions_max);
  table.add("peers.root.blocks_max", options.peers.root.blocks_max);
  table.add("peers.root.headers_max", options.peers.root.headers_max);
}

void add_limits(LimitTable& table, ShardBackendOptions& options) {
  ShardBackendOptions& limits = options;
  TRUNKLINE_LIMIT(page_max);
  TRUNKLINE_LIMIT(xshard_deposits_max);
}

void add_limits(LimitTable& table, LedgerOptions& options) {
  LedgerOptions& limits = options;
  TRUNKLINE_LIMIT(page_max);
  TRUNKLINE_LIMIT(xshard_deposits_max);
}

#undef TRUNKLINE_LIMIT

void add_operating_limits(LimitTable& table) {
  admin::PortOptions admin;
  TcpOptions tcp;
  add_limits(table, admin);
  add_limits(table, tcp);
}

TcpOptions tcp_options(const LimitOptions& words) {
  TcpOptions options;
  LimitTable table;
  add_limits(table, options);
  table.set(words);
  return options;
}

void follow_cluster_limits(RunningConfiguration& running, LimitOptions& words, ClusterConnections& own,
                           ClusterConnections* peers) {
  const auto take = [&words, &own, peers] {
    ClusterLimits wanted;
    LimitTable table;
    add_cluster_limits(table, wanted);
    table.set(words);
    own.set_limits(wanted);
    if (!peers) return;
    wanted.command_bytes_max = peers->options().limits.command_bytes_max;
    peers->set_limits(wanted);
  };
  LimitTable table;
  ClusterLimits limits;
  add_cluster_limits(table, limits);
  for (const auto& [name, limit] : table.all())
    if (name != "goodbye_deadline") running.follow_limit(name, words, take); // all connections share that one
}

} // namespace trunkline::cli

// The limits on the documentation's page are those of the code.
#include "services/quarkchain/ledger/ledger.hpp"
#include "services/quarkchain/master/master_node.hpp"
#include "services/quarkchain/master/peer_root_service.hpp"
#include "services/quarkchain/slave/slave_node.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace trunkline::quarkchain;

namespace {

/// The row of a limit: "| `name`... | default |...", or nothing.
std::string row_of(const std::string& page, std::string_view name) {
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("| ") &&
        line.substr(0, line.find(" | ", 2)).find("`" + std::string(name) + "`") != std::string::npos)
      return line;
  return {};
}

std::string seconds(std::chrono::milliseconds time) { return std::to_string(time.count() / 1000) + " s"; }
std::string bytes(std::size_t count) {
  if (count % (std::size_t{1} << 30) == 0) return std::to_string(count >> 30) + " GiB";
  if (count % (std::size_t{1} << 20) == 0) return std::to_string(count >> 20) + " MiB";
  return std::to_string(count >> 10) + " KiB";
}

} // namespace

TEST_CASE("docs: every limit of a QuarkChain node is on its page, with its default") {
  std::ifstream file(QUARKCHAIN_PAGE);
  std::stringstream page;
  page << file.rdbuf();
  const ClusterLimits connection;
  const RpcLimits rpc;
  const SlavePoolOptions pool;
  const SlaveNodeOptions slave;
  const PeerOptions peers;
  const LedgerOptions ledger;
  const std::vector<std::pair<std::string_view, std::string>> limits{
      {"command_bytes_max", bytes(connection.command_bytes_max)},
      {"unidentified_command_bytes_max", bytes(connection.unidentified_command_bytes_max)},
      {"control_inbox_bytes_max", bytes(connection.control_inbox_bytes_max)},
      {"peer_inbox_bytes_max", bytes(connection.peer_inbox_bytes_max)},
      {"peers_inbox_bytes_max", bytes(connection.peers_inbox_bytes_max)},
      {"output_bytes_max", bytes(connection.output_bytes_max)},
      {"peer_output_bytes_max", bytes(connection.peer_output_bytes_max)},
      {"circuits_max", std::to_string(connection.circuits_max)},
      {"requests_in_flight_max", std::to_string(rpc.requests_in_flight_max)},
      {"requests_in_flight_bytes_max", bytes(rpc.requests_in_flight_bytes_max)},
      {"requests_of_kind_bytes_max", bytes(rpc.requests_of_kind_bytes_max)},
      {"requests_read_ahead_bytes_max", bytes(rpc.requests_read_ahead_bytes_max)},
      {"requests_waiting_bytes_max", bytes(rpc.requests_waiting_bytes_max)},
      {"calls_in_flight_max", std::to_string(rpc.calls_in_flight_max)},
      {"late_replies_max", std::to_string(rpc.late_replies_max)},
      {"connections_max", std::to_string(slave.connections.connections_max)},
      {"handshakes_max", std::to_string(slave.connections.handshakes_max)},
      {"handshakes_per_host_max", std::to_string(slave.connections.handshakes_per_host_max)},
      {"handshake_deadline", seconds(slave.connections.handshake_deadline)},
      {"unidentified_max", std::to_string(pool.unidentified_max)},
      {"links_per_slave_max", std::to_string(pool.links_per_slave_max)},
      {"slaves_max", std::to_string(pool.slaves_max)},
      {"identify_deadline", seconds(pool.identify_deadline)},
      {"greet_deadline", seconds(pool.greet_deadline)},
      {"connect_deadline", seconds(slave.connections.connect_deadline)},
      {"peers_max", std::to_string(slave.peers_max)},
      {"peers_max", std::to_string(peers.peers_max)},
      {"hello_deadline", seconds(peers.hello_deadline)},
      {"report_deadline", seconds(slave.report_deadline)},
      {"xshard_deadline", seconds(slave.xshard_deadline)},
      {"peer_deadline", seconds(slave.peer_deadline)},
      {"PeerShardLimits", std::to_string(PeerShardLimits().transactions_max)},
      {"PeerShardLimits", std::to_string(PeerShardLimits().blocks_max)},
      {"PeerShardLimits", std::to_string(PeerShardLimits().headers_max)},
      {"PeerRootLimits", std::to_string(PeerRootLimits().blocks_max)},
      {"PeerRootLimits", std::to_string(PeerRootLimits().headers_max)},
      {"xshard_deposits_max", std::to_string(ledger.xshard_deposits_max)}};
  for (const auto& [name, value] : limits) {
    const std::string row = row_of(page.str(), name);
    CHECK_MESSAGE(row.find(value) != std::string::npos, std::string(name), " is ", value, ", the page says: ", row);
  }
  CHECK(page.str().find("`stall_deadline` (" + seconds(connection.stall_deadline) + ")") != std::string::npos);
  CHECK(page.str().find("`write_deadline` (" + seconds(connection.write_deadline) + ")") != std::string::npos);
}

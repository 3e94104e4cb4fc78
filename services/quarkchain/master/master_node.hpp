// A master as a whole: its slaves, booted in the order of pyquarkchain's master, then everything that a master asks of
// them, sent to those whom it concerns. What an executable starts.
//
//   MasterNode master(executor, MasterNodeOptions::of(config), std::make_shared<RootChain>(config, store));
//   co_await master.boot();
//   const auto accounts = co_await master.get_account_data(address);
#pragma once

#include "services/quarkchain/cluster/cluster_master.hpp"
#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/backend/root_backend.hpp"
#include "services/quarkchain/master/peer_root_service.hpp"
#include "services/quarkchain/rpc/client.hpp"
#include "services/quarkchain/rpc/service.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

/// The cluster cannot start. Names the slave, what was expected and what was seen.
class BootFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What other clusters are told of this one, and what they must say.
struct PeerOptions {
  std::uint32_t version = 0;
  std::uint32_t network_id = 3;
  Hash256 peer_id; // of this process; all zero: drawn
  std::uint16_t port = 38291; // under which we say that we can be reached
  std::size_t peers_max = 25;
  std::size_t command_bytes_max = 128 << 20; // P2P_COMMAND_SIZE_LIMIT: of connections with peers alone
  std::chrono::milliseconds hello_deadline{10000}; // from the connection to its HELLO
  PeerRootLimits root;

  PeerOptions() = default;
};

struct MasterNodeOptions {
  std::vector<SlaveConfig> slaves;        // in the order of SLAVE_LIST
  std::vector<std::uint32_t> all_shards;  // every one must be run by some slave
  ClusterConnectionsOptions connections;
  RpcLimits rpc;
  std::chrono::milliseconds connect_retry_delay{1000};
  bool ends_with_slave = true;            // see ClusterMasterOptions
  std::chrono::milliseconds boot_deadline{0};    // of each request while booting; zero: none
  std::chrono::milliseconds request_deadline{0}; // of each afterwards; zero: none
  PeerOptions peers;
  bool mining = false;                    // MINE to all when booted
  ArtificialTxConfig artificial;
  /// The address of a slave. Default: as cluster_address says.
  std::function<std::string(const SlaveConfig&)> address_of;

  MasterNodeOptions() = default;
  static MasterNodeOptions of(const ClusterConfig& config);
};

/// One executor; not thread safe. Dropping it closes everything.
class MasterNode {
 public:
  MasterNode(Executor executor, MasterNodeOptions options, std::shared_ptr<RootBackend> backend);
  ~MasterNode();
  MasterNode(const MasterNode&) = delete;
  MasterNode& operator=(const MasterNode&) = delete;

  /// Dials all slaves, for as long as it takes; checks who they are; connects them with each other; gives them the root
  /// tip. Then the cluster is active. Errors: BootFailure; what a connection ended with.
  awaitable<void> boot();
  /// Where `boot` is: "dialling slave S1", "active".
  const std::string& progress() const noexcept;
  /// Dials a slave that was lost, and takes it through the same steps; for masters that do not end with a slave.
  /// Errors: as for `boot`; also BootFailure for one that is connected.
  awaitable<void> boot_slave(std::string id);

  /// Errors: std::out_of_range for one that is not connected.
  SlaveClient slave(std::string_view id) const;
  /// The first of those that run it, in the order of the configuration. The same errors.
  SlaveClient slave_of(std::uint32_t full_shard_id) const;
  /// Connected ones, with their ids.
  std::vector<std::pair<std::string, SlaveClient>> slaves() const;

  // What concerns more than one slave. Errors of each: those of SlaveClient, the first that occurs.

  /// To all slaves at once. True when any switched.
  awaitable<bool> add_root_block(RootBlock block);
  /// Headers of all shards, each once.
  awaitable<std::vector<HeadersInfo>> get_unconfirmed_headers();
  /// One entry for each shard of the cluster. With a height: of the shard of the address alone.
  awaitable<std::vector<AccountBranchData>> get_account_data(Address address,
                                                             std::optional<std::uint64_t> height = std::nullopt);
  /// To all slaves that run the sender's shard. Errors also: Refused for a transaction of no shard.
  awaitable<void> add_transaction(TypedTransaction transaction);
  awaitable<void> mine(bool mining);
  // Other clusters, after `boot`. A peer counts once both have said HELLO and all slaves know of it; what it says to a
  // shard is forwarded from then on. When it goes, all slaves are told.
  /// Takes connections of other clusters from now on; returns the real address.
  std::string listen_for_peers(std::string_view address);
  /// Dials another cluster and returns the id of the peer. Errors: of the connection; Refused when one of us does not
  /// want the other.
  awaitable<std::uint64_t> connect_peer(std::string address);
  /// Ascending.
  std::vector<std::uint64_t> peers() const;
  void disconnect_peer(std::uint64_t cluster_peer_id);
  /// Connections that were closed for `peers_max`.
  std::uint64_t peers_turned_away() const noexcept;

  /// CREATE and DESTROY to all slaves.
  awaitable<void> create_peer(std::uint64_t cluster_peer_id);
  awaitable<void> destroy_peer(std::uint64_t cluster_peer_id);

  ClusterMaster& connections() noexcept;
  const std::shared_ptr<RootBackend>& backend() const noexcept;
  const std::shared_ptr<RpcServer>& serves_slaves() const noexcept;
  const ServiceCounters& counters() const noexcept;

  awaitable<End> stopped();
  awaitable<void> stop(Duration deadline, End reason = {});

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace trunkline::quarkchain

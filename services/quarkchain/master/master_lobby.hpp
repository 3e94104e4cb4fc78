// How other clusters become peers of a master: HELLO both ways, CREATE to all slaves, then admission. Internal to
// MasterNode.
#pragma once

#include "async/limited_log.hpp"
#include "async/tasks.hpp"
#include "services/quarkchain/cluster/cluster_master.hpp"
#include "services/quarkchain/master/master_node.hpp"
#include "services/quarkchain/master/peer_root_service.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

class MasterLobby final : public PeerLobby, public std::enable_shared_from_this<MasterLobby> {
 public:
  using TellSlaves = std::function<awaitable<void>(std::uint64_t cluster_peer_id)>;

  MasterLobby(Executor executor, std::shared_ptr<RootBackend> backend, PeerOptions options, ServiceOptions with);
  /// `cluster` must outlive what runs here; see close.
  void open(ClusterMaster& cluster, TellSlaves create, TellSlaves destroy);
  /// What runs here ends; nobody is admitted any more.
  void close();

  /// Serves the root circuit of every peer.
  const std::shared_ptr<RpcServer>& server();
  std::string listen(std::string_view address);
  awaitable<std::uint64_t> connect(std::string address);
  std::vector<std::uint64_t> peers() const;
  void disconnect(std::uint64_t cluster_peer_id);
  std::uint64_t turned_away() const noexcept { return turned_away_; }

  void hello(RpcCircuit& circuit, HelloCommand hello) override;
  std::uint64_t id_of(const RpcCircuit& circuit) const override;
  std::vector<PeerInfo> others(const RpcCircuit& circuit, std::uint32_t max) const override;

 private:
  using Pointer = std::shared_ptr<MasterLobby>;

  /// Somebody on the way to being a peer, or one.
  struct Guest {
    std::shared_ptr<ClusterConnection> connection;
    std::uint64_t id = 0;
    std::optional<HelloCommand> hello;
    bool admitted = false;
    Signal changed; // HELLO came
  };

  void log(const char* kind, std::string_view text);
  std::shared_ptr<Guest> enter(const std::shared_ptr<ClusterConnection>& connection);
  void leave(const std::shared_ptr<Guest>& guest, End reason);
  void check(const HelloCommand& hello) const;
  void check_room(const RpcCircuit& circuit);
  static awaitable<void> welcome(Pointer self, std::shared_ptr<Guest> guest);
  static awaitable<std::uint64_t> dial(Pointer self, std::string address);
  static awaitable<void> say_hello(Pointer self, std::shared_ptr<Guest> guest);
  static awaitable<void> check_genesis(Pointer self, std::shared_ptr<Guest> guest);
  static awaitable<void> wait_for_hello(std::shared_ptr<Guest> guest);
  static awaitable<void> admit(Pointer self, std::shared_ptr<Guest> guest);
  static awaitable<void> farewell(Pointer self, std::uint64_t id);

  std::shared_ptr<RootBackend> backend_;
  PeerOptions options_;
  ServiceOptions with_;
  LimitedLog lines_;
  std::unique_ptr<PeerRootService> service_;
  ClusterMaster* cluster_ = nullptr; // null before open and after close
  TellSlaves create_;
  TellSlaves destroy_;
  std::uint64_t id_last_ = 0;
  std::uint64_t turned_away_ = 0; // peers_max
  std::map<const RpcCircuit*, std::shared_ptr<Guest>> guests_;
  Executor executor_;
  Tasks tasks_;
};

} // namespace trunkline::quarkchain

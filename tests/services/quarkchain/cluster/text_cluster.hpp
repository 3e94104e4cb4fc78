// Slaves and masters of a simulated cluster with the least that makes them talk: PING carries "id;shard,shard" as text,
// the master's requests are text too. What the messages really are is somebody else's test.
#pragma once

#include "async/within.hpp"
#include "services/quarkchain/cluster/cluster_master.hpp"
#include "services/quarkchain/cluster/cluster_slave.hpp"
#include "tests/support/log_lines.hpp"
#include "transport/sim/world.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::quarkchain::test {

using trunkline::test::LogLines;

using namespace std::chrono_literals;

inline constexpr std::uint8_t op_ping = 129;
inline constexpr std::uint8_t op_connect = 131;
inline constexpr std::uint8_t op_slow = 139;
inline constexpr std::uint8_t op_create = 153;
inline constexpr std::uint8_t op_destroy = 155;
inline constexpr std::uint8_t op_peer_request = 9;
inline constexpr std::uint8_t op_peer_command = 2;

inline const std::shared_ptr<const Branches>& all_branches() {
  static const auto branches = std::make_shared<const Branches>(Branches{0x10001, 0x20001, 0x30001, 0x40001});
  return branches;
}

inline std::string to_text(const SlaveIdentity& identity) {
  std::string text = identity.id + ";";
  for (const std::uint32_t shard : identity.full_shard_ids) text += fmt::format("{:x},", shard);
  return text;
}

inline SlaveIdentity parse_identity(std::string_view text) {
  SlaveIdentity identity;
  const auto end = text.find(';');
  if (end == std::string_view::npos) throw std::runtime_error("not an identity");
  identity.id = text.substr(0, end);
  for (auto at = end + 1; at < text.size();) {
    const auto comma = text.find(',', at);
    identity.full_shard_ids.push_back(
        static_cast<std::uint32_t>(std::stoul(std::string(text.substr(at, comma - at)), nullptr, 16)));
    at = comma + 1;
  }
  return identity;
}

/// A slave process on its own host.
class TestSlave {
 public:
  using Tweak = std::function<void(ClusterSlaveOptions&)>;

  TestSlave(sim::World& world, SlaveIdentity own, const Tweak& tweak = {})
      : identity(std::move(own)), slave(world.executor(), options(world, tweak)) {
    address = slave.listen("sim://" + identity.id);
  }

  /// As CONNECT_TO_SLAVES lists it.
  SlaveTarget target() const { return SlaveTarget(identity, address); }

  SlaveIdentity identity;
  LogLines log;
  std::string heard; // commands of virtual peers: "00010001/7 text;"
  std::string address;
  ClusterSlave slave;

 private:
  ClusterSlaveOptions options(sim::World& world, const Tweak& tweak) {
    ClusterSlaveOptions options;
    options.connections.branches = all_branches();
    options.connections.media["sim"] = world.medium(identity.id);
    options.connections.log = log.sink(identity.id);
    options.slaves.id = identity.id;
    options.slaves.branches = all_branches();
    options.slaves.log = log.sink(identity.id);
    options.slaves.greet = [this](std::shared_ptr<RpcCircuit> circuit) { return greet(this, std::move(circuit)); };
    options.master_server = std::make_shared<RpcServer>("master", RpcLimits(), log.sink(identity.id));
    options.master_server->serve(op_ping, "PING", 130,
                                 [this](RpcRequest request) { return pong(this, std::move(request)); });
    options.master_server->serve(op_create, "CREATE", 154,
                                 [this](RpcRequest request) { return create(this, std::move(request)); });
    options.master_server->hear(op_destroy, "DESTROY",
                                [this](RpcRequest request) { return destroy(this, std::move(request)); });
    options.master_server->serve(op_slow, "SLOW", 140, [](RpcRequest) { return slow(); });
    options.slave_server = std::make_shared<RpcServer>("slave", RpcLimits(), log.sink(identity.id));
    options.slave_server->serve(op_ping, "PING", 130,
                                [this](RpcRequest request) { return slave_pong(this, std::move(request)); });
    options.slave_server->know(130, "PONG");
    options.peer_server = std::make_shared<RpcServer>("peer", RpcLimits(), log.sink(identity.id));
    options.peer_server->serve(op_peer_request, "REQUEST", 10,
                               [](RpcRequest request) { return answer(std::move(request)); });
    options.peer_server->hear(op_peer_command, "COMMAND",
                              [this](RpcRequest request) { return note(this, std::move(request)); });
    options.peer_server->know(10, "REPLY");
    if (tweak) tweak(options);
    return options;
  }
  static awaitable<SlaveIdentity> greet(TestSlave* self, std::shared_ptr<RpcCircuit> circuit) {
    const RpcReply reply = co_await circuit->call(op_ping, Payload(to_text(self->identity)));
    co_return parse_identity(reply.payload.text());
  }
  static awaitable<Payload> pong(TestSlave* self, RpcRequest request) {
    if (!request.payload.empty()) // a root tip: the shards appear
      for (const std::uint32_t shard : self->identity.full_shard_ids) self->slave.peers().add_branch(shard);
    co_return Payload(to_text(self->identity));
  }
  static awaitable<Payload> slave_pong(TestSlave* self, RpcRequest request) {
    self->slave.slaves().identify(*request.circuit, parse_identity(request.payload.text()));
    co_return Payload(to_text(self->identity));
  }
  static awaitable<Payload> create(TestSlave* self, RpcRequest request) {
    self->slave.peers().create(std::stoull(std::string(request.payload.text())));
    co_return Payload();
  }
  static awaitable<void> destroy(TestSlave* self, RpcRequest request) {
    self->slave.peers().destroy(std::stoull(std::string(request.payload.text())));
    co_return;
  }
  static awaitable<Payload> slow() {
    co_await sleep_for(3s);
    co_return Payload("slow");
  }
  static awaitable<Payload> answer(RpcRequest request) {
    Payload payload(fmt::format("{} answers {}", request.circuit->name(), request.payload.text()));
    co_return payload;
  }
  static awaitable<void> note(TestSlave* self, RpcRequest request) {
    self->heard += fmt::format("{} {};", request.circuit->name(), request.payload.text());
    co_return;
  }
};

/// A master process on its own host.
class TestMaster {
 public:
  using Tweak = std::function<void(ClusterMasterOptions&)>;

  TestMaster(sim::World& of, std::string name, const Tweak& tweak = {})
      : host(std::move(name)), master(of.executor(), options(of, tweak)) {
    master.set_on_peer_gone(
        [this](std::uint64_t peer, const End& end) { gone += fmt::format("{}: {};", peer, end.code.message()); });
  }

  /// Tells the slaves of a peer, then lets its frames pass.
  awaitable<void> admit(std::uint64_t id, std::shared_ptr<ClusterConnection> connection) {
    for (const auto& slave : master.slaves()) co_await slave->call(op_create, Payload(std::to_string(id)));
    master.admit_peer(id, std::move(connection));
  }

  std::string host;
  LogLines log;
  std::string gone; // peers: "7: trunk lost;"
  std::string heard; // commands of the root chain
  std::shared_ptr<ClusterConnection> accepted;
  ClusterMaster master;

 private:
  ClusterMasterOptions options(sim::World& world, const Tweak& tweak) {
    ClusterMasterOptions options;
    options.connections.branches = all_branches();
    options.connections.media["sim"] = world.medium(host);
    options.connections.log = log.sink(host);
    options.slave_server = std::make_shared<RpcServer>("slave", RpcLimits(), log.sink(host));
    options.slave_server->serve(145, "ADD_HEADER", 146, [](RpcRequest request) { return same(std::move(request)); });
    for (const std::uint8_t reply : {130, 132, 140, 154}) options.slave_server->know(reply, "REPLY");
    options.root_server = std::make_shared<RpcServer>("peer", RpcLimits(), log.sink(host));
    options.root_server->hear(op_peer_command, "COMMAND",
                              [this](RpcRequest request) { return note(this, std::move(request)); });
    options.root_server->serve(3, "GET_PEER_LIST", 4, [](RpcRequest request) { return same(std::move(request)); });
    options.root_server->know(4, "PEER_LIST");
    if (tweak) tweak(options);
    return options;
  }
  static awaitable<Payload> same(RpcRequest request) { co_return std::move(request.payload); }
  static awaitable<void> note(TestMaster* self, RpcRequest request) {
    self->heard += std::string(request.payload.text()) + ";";
    co_return;
  }
};

/// The words of how an operation failed; "" when it did not.
template <class T> awaitable<std::string> failure_of(awaitable<T> operation) {
  std::string words;
  try {
    co_await std::move(operation);
  } catch (const boost::system::system_error& failure) {
    words = failure.code().message();
  }
  co_return words;
}

inline awaitable<void> until(std::function<bool()> condition) {
  for (int tries = 0; !condition(); ++tries) {
    if (tries > 100'000) throw std::logic_error("a condition never came true");
    co_await sleep_for(10ms); // simulated
  }
}

} // namespace trunkline::quarkchain::test

#include "services/quarkchain/master/master_lobby.hpp"

#include "async/clock.hpp"
#include "async/within.hpp"
#include "fragment/quote.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/rpc/client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

namespace trunkline::quarkchain {

MasterLobby::MasterLobby(Executor executor, std::shared_ptr<RootBackend> backend, PeerOptions options,
                         ServiceOptions with)
    : backend_(std::move(backend)), options_(std::move(options)), with_(std::move(with)), lines_(with_.log),
      executor_(std::move(executor)), tasks_(executor_) {
  if (!options_.peer_id.is_zero()) return;
  std::random_device random;
  for (std::byte& byte : options_.peer_id.bytes) byte = static_cast<std::byte>(random());
}

const std::shared_ptr<RpcServer>& MasterLobby::server() {
  if (service_) return service_->server();
  service_ = std::make_unique<PeerRootService>(backend_, weak_from_this(), with_, options_.root);
  service_->server()->on_ended = [weak = weak_from_this()](RpcCircuit& circuit, const End&) {
    const Pointer self = weak.lock();
    if (!self) return;
    const auto found = self->guests_.find(&circuit);
    if (found != self->guests_.end()) found->second->changed.notify_all();
  };
  return service_->server();
}

void MasterLobby::open(ClusterMaster& cluster, TellSlaves create, TellSlaves destroy) {
  cluster_ = &cluster;
  create_ = std::move(create);
  destroy_ = std::move(destroy);
  cluster.set_on_peer_gone([weak = weak_from_this()](std::uint64_t id, const End&) {
    const Pointer self = weak.lock();
    if (!self || !self->cluster_) return;
    std::erase_if(self->guests_, [id](const auto& guest) { return guest.second->id == id; });
    self->tasks_.spawn(farewell(self, id));
  });
}

void MasterLobby::close() {
  cluster_ = nullptr;
  tasks_.cancel();
  for (const auto& [circuit, guest] : std::exchange(guests_, {})) guest->changed.notify_all();
}

void MasterLobby::log(const char* kind, std::string_view text) {
  lines_.write(kind, LogLevel::warning, text, Clock::of(executor_).now());
}

// Guests.

std::shared_ptr<MasterLobby::Guest> MasterLobby::enter(const std::shared_ptr<ClusterConnection>& connection) {
  std::shared_ptr<Guest>& guest = guests_[connection->control().get()];
  if (!guest) guest = std::make_shared<Guest>();
  guest->connection = connection;
  return guest;
}

void MasterLobby::leave(const std::shared_ptr<Guest>& guest, End reason) {
  if (!guest->connection) return;
  guests_.erase(guest->connection->control().get());
  log("not admitted", fmt::format("peer {} is not admitted: {}", guest->connection->remote(), reason.to_string()));
  guest->connection->close(std::move(reason));
}

/// In the order of pyquarkchain; the first that fails is said.
void MasterLobby::check(const HelloCommand& hello) const {
  const auto expect = [](const char* what, const auto& seen, const auto& expected) {
    if (seen != expected)
      throw Refused(Refusal::failed, fmt::format("HELLO: {} is {}, expected {}", what, seen, expected));
  };
  expect("version", hello.version, options_.version);
  expect("network_id", hello.network_id, options_.network_id);
  if (hello.peer_id == options_.peer_id) throw Refused(Refusal::failed, "HELLO: the peer is ourselves");
  for (const auto& [circuit, guest] : guests_)
    if (guest->hello && guest->hello->peer_id == hello.peer_id)
      throw Refused(Refusal::failed, "HELLO: the peer is connected already");
}

/// Only of those that have dialled us. One that has not said HELLO takes nobody's place: Links bounds those.
void MasterLobby::check_room(const RpcCircuit& circuit) {
  const auto found = guests_.find(&circuit); // a dialled one may be faster than whoever dialled it
  if (found == guests_.end() || !found->second->connection || found->second->connection->dialled()) return;
  const auto taken = std::ranges::count_if(guests_, [](const auto& guest) { return guest.second->hello.has_value(); });
  if (static_cast<std::size_t>(taken) < options_.peers_max) return;
  const std::string text = fmt::format("peers_max is {}", options_.peers_max);
  ++turned_away_;
  log("turned away", fmt::format("peer {} is turned away: {}", circuit.remote(), text));
  throw Refused(Refusal::failed, text);
}

void MasterLobby::hello(RpcCircuit& circuit, HelloCommand hello) {
  const auto found = guests_.find(&circuit);
  if (found != guests_.end() && found->second->hello) throw Refused(Refusal::failed, "a second HELLO");
  check(hello);
  check_room(circuit);
  std::shared_ptr<Guest>& guest = guests_[&circuit]; // it may be faster than whoever dialled it
  if (!guest) guest = std::make_shared<Guest>();
  if (guest->connection) guest->connection->identify();
  guest->id = ++id_last_;
  guest->hello = std::move(hello);
  guest->changed.notify_all();
}

std::uint64_t MasterLobby::id_of(const RpcCircuit& circuit) const {
  const auto found = guests_.find(&circuit);
  if (found == guests_.end() || !found->second->hello) throw Refused(Refusal::failed, "the first message was no HELLO");
  return found->second->id;
}

std::vector<PeerInfo> MasterLobby::others(const RpcCircuit& circuit, std::uint32_t max) const {
  std::map<std::uint64_t, const Guest*> by_id;
  for (const auto& [other, guest] : guests_)
    if (other != &circuit && guest->admitted) by_id.emplace(guest->id, guest.get());
  std::vector<PeerInfo> infos;
  for (const auto& [id, guest] : by_id) {
    PeerInfo info;
    info.ip = guest->hello->peer_ip;
    info.port = guest->hello->peer_port;
    infos.push_back(info);
    if (infos.size() >= max) break; // at least one, as pyquarkchain does
  }
  return infos;
}

std::vector<std::uint64_t> MasterLobby::peers() const {
  std::vector<std::uint64_t> ids;
  for (const auto& [circuit, guest] : guests_)
    if (guest->admitted) ids.push_back(guest->id);
  std::ranges::sort(ids);
  return ids;
}

void MasterLobby::disconnect(std::uint64_t id) {
  for (const auto& [circuit, guest] : std::map(guests_))
    if (guest->id == id && guest->connection) guest->connection->close(End(error::peer_ended, "disconnected"));
}

// The way in.

awaitable<void> MasterLobby::say_hello(Pointer self, std::shared_ptr<Guest> guest) {
  HelloCommand hello;
  hello.version = self->options_.version;
  hello.network_id = self->options_.network_id;
  hello.peer_id = self->options_.peer_id;
  hello.peer_port = self->options_.port;
  RootBlock tip = co_await self->backend_->root_tip();
  hello.root_block_header = std::move(tip.header);
  const RootBlockHeader genesis = co_await self->backend_->genesis();
  hello.genesis_root_block_hash = hash_of(genesis);
  const Client<root_chain> client(guest->connection->control());
  co_await client.tell<CommandOp::hello>(hello);
}

awaitable<void> MasterLobby::check_genesis(Pointer self, std::shared_ptr<Guest> guest) {
  const RootBlockHeader genesis = co_await self->backend_->genesis();
  const Hash256 expected = hash_of(genesis);
  if (guest->hello->genesis_root_block_hash != expected)
    throw Refused(Refusal::failed, fmt::format("HELLO: genesis_root_block_hash is {}, expected {}",
                                               guest->hello->genesis_root_block_hash.hex(), expected.hex()));
}

awaitable<void> MasterLobby::wait_for_hello(std::shared_ptr<Guest> guest) {
  while (!guest->hello) {
    if (!guest->connection->is_open())
      throw Refused(Refusal::failed,
                    "the connection ended before its HELLO: " + guest->connection->control()->end()->to_string());
    co_await guest->changed.wait();
  }
}

awaitable<void> MasterLobby::admit(Pointer self, std::shared_ptr<Guest> guest) {
  co_await self->create_(guest->id);
  if (!self->cluster_ || !guest->connection->is_open())
    throw Refused(Refusal::failed, "the connection ended before it was admitted");
  guest->admitted = true;
  self->cluster_->admit_peer(guest->id, guest->connection);
  NewMinorBlockHeaderListCommand tip;
  tip.root_block_header = guest->hello->root_block_header;
  try {
    co_await self->backend_->on(guest->id, std::move(tip));
  } catch (const NotImplemented&) { // a master that follows nobody
  }
}

/// One who has dialled us: its HELLO first, then ours.
awaitable<void> MasterLobby::welcome(Pointer self, std::shared_ptr<Guest> guest) {
  std::string failure;
  try {
    co_await within(self->options_.hello_deadline, wait_for_hello(guest));
    co_await check_genesis(self, guest);
    co_await say_hello(self, guest);
    co_await admit(self, guest);
  } catch (const std::exception& thrown) {
    failure = trunkline::text_of(thrown);
  }
  co_await throw_if_cancelled();
  if (failure.empty()) co_return;
  if (guest->id != 0 && !guest->admitted) self->tasks_.spawn(farewell(self, guest->id));
  self->leave(guest, End(error::access_denied, failure));
}

std::string MasterLobby::listen(std::string_view address) {
  if (!cluster_) throw_error(error::node_closed, "the master has ended");
  return cluster_->listen(address, [weak = weak_from_this()](std::shared_ptr<ClusterConnection> connection) {
    const Pointer self = weak.lock();
    if (!self || !self->cluster_) return connection->close(End(error::node_closed));
    self->tasks_.spawn(welcome(self, self->enter(connection)));
  });
}

awaitable<std::uint64_t> MasterLobby::connect(std::string address) {
  return dial(shared_from_this(), std::move(address));
}

awaitable<std::uint64_t> MasterLobby::dial(Pointer self, std::string address) {
  if (!self->cluster_) throw_error(error::node_closed, "the master has ended");
  const auto connection = co_await self->cluster_->connect_peer(std::move(address));
  const std::shared_ptr<Guest> guest = self->enter(connection);
  std::exception_ptr failure;
  try {
    co_await say_hello(self, guest);
    co_await within(self->options_.hello_deadline, wait_for_hello(guest));
    co_await check_genesis(self, guest);
    co_await admit(self, guest);
  } catch (const std::exception& thrown) {
    failure = std::current_exception();
    if (guest->id != 0 && !guest->admitted && self->cluster_) self->tasks_.spawn(farewell(self, guest->id));
    self->leave(guest, End(error::access_denied, trunkline::text_of(thrown)));
  }
  if (failure) std::rethrow_exception(failure);
  co_return guest->id;
}

/// The slaves forget the peer. One that is gone forgets it anyway.
awaitable<void> MasterLobby::farewell(Pointer self, std::uint64_t id) {
  try {
    co_await self->destroy_(id);
  } catch (const std::exception& failure) {
    self->lines_.write("destroy", LogLevel::info,
                       fmt::format("DESTROY of peer {}: {}", id, trunkline::text_of(failure)),
                       Clock::of(self->executor_).now());
  }
}

} // namespace trunkline::quarkchain

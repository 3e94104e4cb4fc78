// What is more than a question to the backend.
#include "services/quarkchain/slave/slave_service.hpp"

#include "services/quarkchain/slave/slave_answerer.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::quarkchain {
namespace {

/// Only printable ASCII goes into an address: hosts come from elsewhere, and end up in log lines and dials.
bool is_host(const std::string& host) {
  return !host.empty() && std::ranges::all_of(host, [](char letter) { return letter > ' ' && letter < 0x7F; });
}

struct FromMaster : SlaveAnswerer {
  using SlaveAnswerer::on;
  using SlaveAnswerer::SlaveAnswerer;

  awaitable<Pong> on(Ping request);
  awaitable<ConnectToSlavesResponse> on(ConnectToSlavesRequest request);
  awaitable<CreateClusterPeerConnectionResponse> on(CreateClusterPeerConnectionRequest request);
  awaitable<void> on(DestroyClusterPeerConnectionCommand command);
  awaitable<AddRootBlockResponse> on(AddRootBlockRequest request);
  awaitable<SyncMinorBlockListResponse> on(SyncMinorBlockListRequest request);

  /// After what may have made shards.
  void announce_shards() const {
    const std::shared_ptr<Membership> live = members();
    for (const std::uint32_t shard : backend->shards()) live->add_shard(shard);
  }
};

awaitable<Pong> FromMaster::on(Ping request) {
  if (request.root_tip) {
    RootBlock tip = std::move(*request.root_tip);
    co_await backend->create_shards(std::move(tip));
    announce_shards();
  }
  co_return pong();
}

awaitable<ConnectToSlavesResponse> FromMaster::on(ConnectToSlavesRequest request) {
  const std::shared_ptr<Membership> live = members();
  std::vector<SlaveTarget> targets;
  for (SlaveInfo& info : request.slave_info_list) {
    const std::string address = is_host(info.host) && info.port != 0 ? live->address_of(info) : std::string();
    targets.emplace_back(SlaveIdentity(std::move(info.id), std::move(info.full_shard_id_list)), address);
  }
  ConnectToSlavesResponse reply;
  reply.result_list = co_await live->connect(std::move(targets));
  co_return reply;
}

awaitable<CreateClusterPeerConnectionResponse> FromMaster::on(CreateClusterPeerConnectionRequest request) {
  // The id is that of the payload: the frame's own is 0.
  if (!members()->create_peer(request.cluster_peer_id))
    throw Refused(Refusal::failed, fmt::format("peer {} is not created", request.cluster_peer_id));
  CreateClusterPeerConnectionResponse reply;
  co_return reply;
}

awaitable<void> FromMaster::on(DestroyClusterPeerConnectionCommand command) {
  members()->destroy_peer(command.cluster_peer_id);
  co_return;
}

awaitable<AddRootBlockResponse> FromMaster::on(AddRootBlockRequest request) {
  AddRootBlockResponse reply = co_await backend->on(std::move(request));
  announce_shards();
  co_return reply;
}

/// A master that has nothing to fetch asks all the same.
awaitable<SyncMinorBlockListResponse> FromMaster::on(SyncMinorBlockListRequest request) {
  SyncMinorBlockListResponse reply;
  if (!request.minor_block_hash_list.empty()) reply = co_await backend->on(std::move(request));
  co_return reply;
}

} // namespace

SlaveService::SlaveService(std::shared_ptr<Backend> backend, std::weak_ptr<Membership> membership,
                           const ServiceOptions& options)
    : Service(serve<from_master>("master", options, FromMaster(std::move(backend), std::move(membership)))) {}

} // namespace trunkline::quarkchain

// What changes something in a slave. Reads are in slave_reads.cpp.
#include "services/quarkchain/slave/slave_service.hpp"

#include "fragment/quote.hpp"
#include "services/quarkchain/slave/slave_context.hpp"

#include <algorithm>

namespace trunkline::quarkchain {
namespace {

using Context = SlaveContext;

/// Only printable ASCII goes into an address: hosts come from elsewhere, and end up in log lines and dials.
bool is_host(const std::string& host) {
  return !host.empty() && std::ranges::all_of(host, [](char letter) { return letter > ' ' && letter < 0x7F; });
}

awaitable<Pong> answer(Context at, Ping request) {
  if (request.root_tip) {
    RootBlock tip = std::move(*request.root_tip);
    co_await at.backend->create_shards(std::move(tip));
    at.announce_shards();
  }
  const SlaveIdentity& own = at.members()->own();
  Pong pong;
  pong.id = own.id;
  pong.full_shard_id_list = own.full_shard_ids;
  co_return pong;
}

awaitable<ConnectToSlavesResponse> answer(Context at, ConnectToSlavesRequest request) {
  const std::shared_ptr<Membership> members = at.members();
  std::vector<SlaveTarget> targets;
  for (SlaveInfo& info : request.slave_info_list) {
    const std::string address = is_host(info.host) && info.port != 0 ? members->address_of(info) : std::string();
    targets.emplace_back(SlaveIdentity(std::move(info.id), std::move(info.full_shard_id_list)), address);
  }
  ConnectToSlavesResponse reply;
  reply.result_list = co_await members->connect(std::move(targets));
  co_return reply;
}

awaitable<AddRootBlockResponse> answer(Context at, AddRootBlockRequest request) {
  AddRootBlockResponse reply;
  reply.switched = co_await at.backend->add_root_block(std::move(request.root_block));
  at.announce_shards();
  co_return reply;
}

awaitable<CreateClusterPeerConnectionResponse> answer(Context at, CreateClusterPeerConnectionRequest request) {
  // The id is that of the payload: the frame's own is 0.
  if (!at.members()->create_peer(request.cluster_peer_id))
    throw Refused(Refusal::failed, fmt::format("peer {} is not created", request.cluster_peer_id));
  CreateClusterPeerConnectionResponse reply;
  co_return reply;
}

awaitable<void> hear(Context at, DestroyClusterPeerConnectionCommand command) {
  at.members()->destroy_peer(command.cluster_peer_id);
  co_return;
}

awaitable<AddTransactionResponse> answer(Context at, AddTransactionRequest request) {
  co_await at.backend->add_transaction(std::move(request.tx));
  AddTransactionResponse reply;
  co_return reply;
}

awaitable<SyncMinorBlockListResponse> answer(Context at, SyncMinorBlockListRequest request) {
  SyncMinorBlockListResponse reply;
  if (request.minor_block_hash_list.empty()) co_return reply;
  const PeerShard from{request.branch.value, request.cluster_peer_id};
  SyncedBlocks synced = co_await at.backend->sync_minor_block_list(from, std::move(request.minor_block_hash_list));
  reply.block_coinbase_map = std::move(synced.coinbase);
  reply.shard_stats = std::move(synced.stats);
  co_return reply;
}

awaitable<AddMinorBlockResponse> answer(Context at, AddMinorBlockRequest request) {
  MinorBlock block;
  DecodeError error;
  if (!decode(bytes_of(request.minor_block_data), block, error)) throw Refused(Refusal::bad_message, error.text());
  co_await at.backend->add_minor_block(std::move(block));
  AddMinorBlockResponse reply;
  co_return reply;
}

awaitable<MineResponse> answer(Context at, MineRequest request) {
  co_await at.backend->mine(request.artificial_tx_config, request.mining);
  MineResponse reply;
  co_return reply;
}

awaitable<GenTxResponse> answer(Context at, GenTxRequest request) {
  co_await at.backend->gen_tx(request.num_tx_per_shard, request.x_shard_percent, std::move(request.tx));
  GenTxResponse reply;
  co_return reply;
}

awaitable<SubmitWorkResponse> answer(Context at, SubmitWorkRequest request) {
  Solution solution;
  solution.branch = request.branch.value;
  solution.header_hash = request.header_hash;
  solution.nonce = request.nonce;
  solution.mixhash = request.mixhash;
  solution.signature = request.signature;
  SubmitWorkResponse reply;
  reply.success = co_await at.backend->submit_work(std::move(solution));
  co_return reply;
}

} // namespace

SlaveService::SlaveService(std::shared_ptr<Backend> backend, std::weak_ptr<Membership> membership,
                           ServiceOptions options) {
  TypedService<Context> service(OpTable::cluster, from_master, "master", options,
                                Context(std::move(backend), std::move(membership)));
  service.serve<Ping>(answer);
  service.serve<ConnectToSlavesRequest>(answer);
  service.serve<AddRootBlockRequest>(answer);
  service.serve<CreateClusterPeerConnectionRequest>(answer);
  service.hear<DestroyClusterPeerConnectionCommand>(
      static_cast<std::uint8_t>(ClusterOp::destroy_cluster_peer_connection_command), hear);
  service.serve<AddTransactionRequest>(answer);
  service.serve<SyncMinorBlockListRequest>(answer);
  service.serve<AddMinorBlockRequest>(answer);
  service.serve<MineRequest>(answer);
  service.serve<GenTxRequest>(answer);
  service.serve<SubmitWorkRequest>(answer);
  serve_reads(service);
  server_ = service.finish();
  counters_ = service.counters();
}

} // namespace trunkline::quarkchain

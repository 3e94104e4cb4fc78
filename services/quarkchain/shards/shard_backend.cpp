// What each message comes to: the way of a block is in BlockDelivery, following a peer in PeerSync, what a shard knows
// in the room below.
#include "services/quarkchain/shards/shard_backend.hpp"

#include "async/all_at_once.hpp"
#include "async/limited_log.hpp"
#include "async/tasks.hpp"
#include "fragment/quote.hpp"
#include "services/quarkchain/backend/header_query.hpp"
#include "services/quarkchain/backend/peer_blocks.hpp"
#include "services/quarkchain/backend/tell_one.hpp"
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/execution/transfers.hpp"
#include "services/quarkchain/shard/shard_accounts.hpp"
#include "services/quarkchain/shard/shard_logs.hpp"
#include "services/quarkchain/shards/block_delivery.hpp"
#include "services/quarkchain/shards/engine_keeper.hpp"
#include "services/quarkchain/shards/local_miner.hpp"
#include "services/quarkchain/shards/peer_sync.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <map>
#include <random>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t blocks_per_sync_request = 100;
constexpr std::uint32_t engine_page_max = 400; // accounts of an execution layer that are added up for one answer
constexpr std::size_t announcements_max = 4096; // under way; more are not made

/// What the executor lacks, as a refusal.
template <class Action> decltype(auto) or_refused(Action&& action) {
  try {
    return action();
  } catch (const CapabilityMissing& missing) {
    throw Refused(Refusal::failed, missing.what());
  } catch (const TransactionRefused& refused) {
    throw Refused(Refusal::failed, refused.what());
  } catch (const TransactionFailure& failure) {
    throw Refused(Refusal::failed, failure.what());
  } catch (const ExecutorDown& down) {
    throw Refused(Refusal::failed, down.what());
  }
}

awaitable<void> add_transaction(HostedShard& of, const TypedTransaction& transaction) {
  const auto add = [&] {
    or_refused([&] { of.cl().add_transaction(transaction); });
    return true;
  };
  (void)co_await of.answered(add);
}

std::uint64_t system_time() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(since).count());
}

ShardExecutor make_transfers_executor(const QuarkChainConfig& config, const ShardConfig& shard, const Store& store) {
  return {std::make_unique<TransfersExecutor>(config, shard, store), nullptr};
}

void require_remote_mining(const ShardConfig& shard) {
  if (!shard.consensus_config.remote_mine)
    throw Refused(Refusal::failed, "REMOTE_MINE is false for " + shard_text(shard.full_shard_id));
}

class HostedShardsBackend final : public ShardBackend, public std::enable_shared_from_this<HostedShardsBackend> {
 public:
  explicit HostedShardsBackend(ShardBackendOptions options);

  void attach(std::weak_ptr<BackendHost> host) override { delivery_.attach(std::move(host)); }
  void detach() override;
  std::vector<std::uint32_t> shards() const override;

  awaitable<void> start_executors() override;

  // The root chain.
  awaitable<void> create_shards(RootBlock root_tip) override;
  awaitable<AddRootBlockResponse> on(AddRootBlockRequest request) override;

  // Blocks from elsewhere.
  awaitable<AddMinorBlockResponse> on(AddMinorBlockRequest request) override;
  awaitable<SyncMinorBlockListResponse> on(SyncMinorBlockListRequest request) override;
  awaitable<void> on(PeerShard from, NewMinorBlockHeaderListCommand command) override;
  awaitable<void> on(PeerShard from, NewBlockMinorCommand command) override;
  awaitable<AddXshardTxListResponse> on(AddXshardTxListRequest request) override;

  // Mining and transactions.
  awaitable<GetEcoInfoListResponse> on(GetEcoInfoListRequest request) override;
  awaitable<GetNextBlockToMineResponse> on(GetNextBlockToMineRequest request) override;
  awaitable<MineResponse> on(MineRequest request) override;
  awaitable<GetWorkResponse> on(GetWorkRequest request) override;
  awaitable<SubmitWorkResponse> on(SubmitWorkRequest request) override;
  awaitable<AddTransactionResponse> on(AddTransactionRequest request) override;
  awaitable<void> on(PeerShard from, NewTransactionListCommand command) override;
  awaitable<ExecuteTransactionResponse> on(ExecuteTransactionRequest request) override;
  awaitable<EstimateGasResponse> on(EstimateGasRequest request) override;

  // Reads.
  awaitable<GetTransactionResponse> on(GetTransactionRequest request) override;
  awaitable<GetTransactionReceiptResponse> on(GetTransactionReceiptRequest request) override;
  awaitable<GetTransactionListByAddressResponse> on(GetTransactionListByAddressRequest request) override;
  awaitable<GetAllTransactionsResponse> on(GetAllTransactionsRequest request) override;
  awaitable<GetLogResponse> on(GetLogRequest request) override;
  awaitable<GetUnconfirmedHeadersResponse> on(GetUnconfirmedHeadersRequest request) override;
  awaitable<GetAccountDataResponse> on(GetAccountDataRequest request) override;
  awaitable<GetMinorBlockResponse> on(GetMinorBlockRequest request) override;
  awaitable<GetStorageResponse> on(GetStorageRequest request) override;
  awaitable<GetCodeResponse> on(GetCodeRequest request) override;
  awaitable<GasPriceResponse> on(GasPriceRequest request) override;
  awaitable<CheckMinorBlockResponse> on(CheckMinorBlockRequest request) override;
  awaitable<GetRootChainStakesResponse> on(GetRootChainStakesRequest request) override;
  awaitable<GetTotalBalanceResponse> on(GetTotalBalanceRequest request) override;
  awaitable<GetMinorBlockListResponse> on(PeerShard from, GetMinorBlockListRequest request) override;
  awaitable<GetMinorBlockHeaderListResponse> on(PeerShard from,
                                                GetMinorBlockHeaderListWithSkipRequest request) override;

  std::optional<RootBlockHeader> root_tip_of(std::uint32_t full_shard_id) const override;
  std::optional<MinorBlock> tip_of(std::uint32_t full_shard_id) const override;
  std::optional<BigUint> total_balance_of(std::uint32_t full_shard_id) const override;
  std::string stopped(std::uint32_t full_shard_id) const override;
  std::optional<pid_t> engine_pid(std::uint32_t full_shard_id) const override;

 private:
  /// A line that far sides can cause as often as they like.
  void log(const char* kind, LogLevel level, std::string_view text) noexcept {
    lines_.write(kind, level, text, TimePoint(std::chrono::seconds(now())));
  }
  /// The same for parts of this, which say of each line whether it is one of these.
  ShardLog shard_log() {
    return [this](const char* kind, LogLevel level, std::string_view text) {
      if (kind) log(kind, level, text);
      else lines_.write(level, text);
    };
  }
  std::uint64_t now() const { return options_.unix_time(); }
  /// Ours and existing, or Refused.
  HostedShard& shard(std::uint32_t branch);
  const HostedShard* find(std::uint32_t branch) const;
  /// The existing one that a key belongs to, or Refused.
  HostedShard& shard_of(std::uint32_t full_shard_key);

  /// Errors: Refused for the first root block of another network.
  void require_network(const RootBlock& root) const;
  awaitable<void> begin(HostedShard& of, RootBlock root);
  awaitable<void> go_on(HostedShard& of, RootBlock root);
  awaitable<bool> take_root(HostedShard& of, RootBlock root);
  void mine_where_told(const trunkline::Executor& executor);

  /// A block that is new to everybody: passed on to all peers, then added. False when it is dropped.
  awaitable<bool> take_new(HostedShard& of, MinorBlock block);
  awaitable<void> mined(HostedShard& of, MinorBlock block) { (void)co_await take_new(of, std::move(block)); }
  static awaitable<void> catch_up(std::shared_ptr<HostedShardsBackend> self, HostedShard* of);
  awaitable<SyncMinorBlockListResponse> fetch(PeerShard from, std::vector<Hash256> hashes);
  template <class Command> void tell_all(const HostedShard& of, const Command& command, std::uint64_t except);
  void announce(HostedShard& of);

  ShardBackendOptions options_;
  LimitedLog lines_{options_.log};
  std::map<std::uint32_t, EngineKeeper> engines_;
  HostedShards shards_;
  BlockDelivery delivery_;
  std::map<std::uint32_t, LocalMiner> miners_;
  bool mining_ = false;
  Mutex roots_; // one root block after the other
  std::unique_ptr<Tasks> announcements_;
};

HostedShardsBackend::HostedShardsBackend(ShardBackendOptions options)
    : options_(std::move(options)),
      delivery_(shards_, [this] { return now(); }, [this](HostedShard& of) { announce(of); }) {
  if (!options_.unix_time) options_.unix_time = &system_time;
  if (!options_.random)
    options_.random = [engine = std::make_shared<std::mt19937_64>(std::random_device()())] { return (*engine)(); };
  if (!options_.open_store) options_.open_store = [](std::uint32_t) { return make_memory_store(); };
  for (const std::uint32_t id : options_.full_shard_ids) {
    const ShardConfig* const config = options_.config.find_shard(id);
    if (!config) throw ConfigFailure("shard " + shard_text(id) + " is in no chain");
    HostedShard::MakeExecutor make_executor = &make_transfers_executor;
    if (options_.engine) {
      EngineKeeper& keeper =
          engines_.try_emplace(id, *options_.engine, id, engines_.size(), shard_log()).first->second;
      make_executor = [&keeper](const QuarkChainConfig& all, const ShardConfig& shard, const Store& in) {
        return keeper.make_executor(all, shard, in, &system_time); // of tokens, which the other process looks at
      };
    }
    HostedShard& of = shards_
                          .try_emplace(id, options_.config, *config, options_.open_store(id), make_executor,
                                       options_.transaction_history, shard_log())
                          .first->second;
    of.cl().find_senders_on(options_.sender_threads);
    LocalMiner::Options with;
    with.unix_time = options_.unix_time;
    with.random = options_.random;
    with.target_block_time = [this, config] {
      const std::uint32_t told = delivery_.artificial().target_minor_block_time;
      return told != 0 ? told : config->consensus_config.target_block_time;
    };
    with.mined = [this](HostedShard& mined_in, MinorBlock block) { return mined(mined_in, std::move(block)); };
    with.log = options_.log;
    miners_.try_emplace(id, of, std::move(with));
  }
}

void HostedShardsBackend::detach() {
  mining_ = false;
  for (auto& [id, miner] : miners_) miner.stop();
  for (auto& [id, keeper] : engines_) keeper.stop();
  announcements_.reset();
}

awaitable<void> HostedShardsBackend::start_executors() {
  std::vector<awaitable<void>> starts;
  for (auto& [id, keeper] : engines_) starts.push_back(keeper.start(shards_.at(id), shared_from_this()));
  return all_at_once(std::move(starts));
}

std::vector<std::uint32_t> HostedShardsBackend::shards() const {
  std::vector<std::uint32_t> existing;
  for (const std::uint32_t id : options_.full_shard_ids)
    if (shards_.at(id).is_running()) existing.push_back(id);
  return existing;
}

const HostedShard* HostedShardsBackend::find(std::uint32_t branch) const {
  const auto found = shards_.find(branch);
  return found == shards_.end() || !found->second.is_running() ? nullptr : &found->second;
}

HostedShard& HostedShardsBackend::shard(std::uint32_t branch) {
  if (!find(branch)) throw Refused(Refusal::bad_message, fmt::format("branch {} is not run here", shard_text(branch)));
  return shards_.at(branch);
}

HostedShard& HostedShardsBackend::shard_of(std::uint32_t full_shard_key) {
  const auto id = options_.config.full_shard_id_of_key(full_shard_key);
  if (!id) throw Refused(Refusal::failed, fmt::format("key {} is of no chain", shard_text(full_shard_key)));
  if (!find(*id)) throw Refused(Refusal::failed, fmt::format("{} is not run here", shard_text(*id)));
  return shards_.at(*id);
}

std::optional<RootBlockHeader> HostedShardsBackend::root_tip_of(std::uint32_t full_shard_id) const {
  const HostedShard* const of = find(full_shard_id);
  return of ? std::optional(of->cl().tips().root->header) : std::nullopt;
}

std::optional<MinorBlock> HostedShardsBackend::tip_of(std::uint32_t full_shard_id) const {
  const HostedShard* const of = find(full_shard_id);
  return of ? std::optional(*of->cl().database().minor_block(of->tip().hash)) : std::nullopt;
}

std::optional<BigUint> HostedShardsBackend::total_balance_of(std::uint32_t full_shard_id) const {
  const HostedShard* const of = find(full_shard_id);
  if (!of) return std::nullopt;
  return of->reads()
      .total_balance(of->tip().hash, token_id(options_.config.genesis_token).value(), std::nullopt,
                     std::numeric_limits<std::uint32_t>::max())
      .first;
}

std::string HostedShardsBackend::stopped(std::uint32_t full_shard_id) const {
  const HostedShard* const of = find(full_shard_id);
  return of ? of->cl().stopped() : std::string();
}

std::optional<pid_t> HostedShardsBackend::engine_pid(std::uint32_t full_shard_id) const {
  const auto keeper = engines_.find(full_shard_id);
  if (keeper == engines_.end() || keeper->second.pid() < 0) return std::nullopt;
  return keeper->second.pid();
}

// The root chain, and the shards that begin with it.

awaitable<void> HostedShardsBackend::create_shards(RootBlock root_tip) {
  const Mutex::Lock lock = co_await roots_.lock();
  require_network(root_tip);
  co_await start_executors();
  for (auto& [id, of] : shards_) {
    of.peers().forget_all(); // a new master counts its peers anew
    if (of.is_running()) co_await go_on(of, root_tip);
    else if (root_tip.header.height >= of.cl().shard().genesis.root_height) co_await begin(of, root_tip);
  }
  mine_where_told(co_await asio::this_coro::executor);
}

void HostedShardsBackend::require_network(const RootBlock& root) const {
  const RootBlockHeader genesis = genesis_root_block(options_.config.root.genesis).header;
  if (root.header.height != genesis.height) return;
  const Hash256 expected = hash_of(genesis);
  if (const Hash256 seen = hash_of(root.header); seen != expected)
    throw Refused(Refusal::bad_message,
                  fmt::format("the root block of height {} is that of another network: expected {}, seen {}",
                              genesis.height, expected.hex(), seen.hex()));
}

/// Makes its genesis, or goes on from what its database holds.
awaitable<void> HostedShardsBackend::begin(HostedShard& of, RootBlock root) {
  if (root.header.height == of.cl().shard().genesis.root_height) {
    RootBlock base = root;
    co_await delivery_.begin(of, std::move(base));
  } else {
    co_await of.start(root);
  }
  lines_.write(LogLevel::info, fmt::format("shard {} begins at height {} with {}, on root block {} of height {}",
                                           shard_text(of.branch()), of.tip().header.height, of.tip().hash.hex(),
                                           hash_of(root.header).hex(), root.header.height));
}

/// A master that has come anew may be a block ahead of us, or behind.
awaitable<void> HostedShardsBackend::go_on(HostedShard& of, RootBlock root) {
  const Hash256 hash = hash_of(root.header);
  if (hash == of.cl().tips().root->hash) co_return;
  if (root.header.height == of.cl().shard().genesis.root_height) {
    RootBlock base = root;
    co_await delivery_.begin(of, std::move(base));
  }
  const bool next = root.header.hash_prev_block == of.cl().tips().root->hash && !of.cl().database().root(hash);
  if (next) {
    const AddedRoot added = co_await of.add_root(root);
    if (added.switched) co_return;
  }
  co_await of.start(root);
}

awaitable<bool> HostedShardsBackend::take_root(HostedShard& of, RootBlock root) {
  const std::uint32_t base = of.cl().shard().genesis.root_height;
  if (root.header.height < base) co_return false;
  if (root.header.height == base) {
    const bool first = !of.is_running();
    if (first) co_await begin(of, std::move(root));
    else co_await delivery_.begin(of, std::move(root));
    co_return first;
  }
  if (!of.is_running()) {
    co_await of.start(root);
    co_return true;
  }
  const AddedRoot added = co_await of.add_root(root);
  if (added.tip_moved) announce(of);
  co_return added.switched || of.cl().tips().root->hash == hash_of(root.header);
}

awaitable<AddRootBlockResponse> HostedShardsBackend::on(AddRootBlockRequest request) {
  const Mutex::Lock lock = co_await roots_.lock();
  require_network(request.root_block);
  AddRootBlockResponse reply;
  for (auto& [id, of] : shards_) {
    const bool switched = co_await take_root(of, request.root_block);
    reply.switched = reply.switched || switched;
  }
  mine_where_told(co_await asio::this_coro::executor);
  co_return reply;
}

// A new block.

template <class Command>
void HostedShardsBackend::tell_all(const HostedShard& of, const Command& command, std::uint64_t except) {
  const std::shared_ptr<BackendHost> host = delivery_.host();
  for (const PeerShard& peer : host->peers_of(of.branch()))
    if (peer.cluster_peer_id != except && announcements_ && announcements_->running() < announcements_max)
      announcements_->spawn(tell_one(std::weak_ptr<BackendHost>(host), peer, command));
}

void HostedShardsBackend::announce(HostedShard& of) {
  const std::shared_ptr<BackendHost> host = delivery_.host();
  const std::vector<PeerShard> peers = host->peers_of(of.branch());
  of.peers().keep(peers);
  NewMinorBlockHeaderListCommand tip;
  tip.root_block_header = of.cl().tips().root->header;
  tip.minor_block_header_list.push_back(of.tip().header);
  for (const PeerShard& peer : peers)
    if (of.peers().lacks(peer.cluster_peer_id, tip.root_block_header, of.tip().header) && announcements_ &&
        announcements_->running() < announcements_max)
      announcements_->spawn(tell_one(std::weak_ptr<BackendHost>(host), peer, tip));
}

awaitable<bool> HostedShardsBackend::take_new(HostedShard& of, MinorBlock block) {
  const MinorBlockHeader& header = block.header;
  const Hash256 hash = hash_of(header);
  const ShardDatabase& database = of.cl().database();
  const std::uint64_t tip = of.tip().header.height;
  if (of.is_syncing || of.seen.find(hash) || database.holds_minor(hash)) co_return false;
  if (!database.holds_minor(header.hash_prev_minor_block)) co_return false;
  if (header.create_time > now() + BlockRules::seconds_ahead_max) co_return false;
  if (tip > header.height && tip - header.height > of.cl().rules().stale_max()) co_return false;
  if (!of.may_stand_on(header.hash_prev_root_block)) co_return false;
  of.check(block, now(), Refusal::invalid);
  of.seen.keep(hash, true);
  NewBlockMinorCommand command;
  command.block = block;
  tell_all(of, command, 0);
  co_await delivery_.add(of, std::move(block));
  co_return true;
}

awaitable<AddMinorBlockResponse> HostedShardsBackend::on(AddMinorBlockRequest request) {
  MinorBlock block;
  DecodeError error;
  if (!decode(bytes_of(request.minor_block_data), block, error)) throw Refused(Refusal::bad_message, error.text());
  HostedShard& of = shard(block.header.branch.value);
  AddMinorBlockResponse reply;
  if (block.header.hash_prev_minor_block != of.tip().hash) { // somebody was faster; no fork is made of it
    log("overtaken", LogLevel::info,
        fmt::format("shard {}: a block of height {} that was mined here is dropped: its parent is not the tip",
                    shard_text(of.branch()), block.header.height));
    co_return reply;
  }
  co_await delivery_.add(of, std::move(block));
  co_return reply;
}

awaitable<void> HostedShardsBackend::on(PeerShard from, NewBlockMinorCommand command) {
  HostedShard& of = shard(from.branch);
  of.peers().heard(from.cluster_peer_id, command.block.header);
  try {
    (void)co_await take_new(of, std::move(command.block));
  } catch (const Refused& refused) {
    if (refused.code() != static_cast<std::uint32_t>(Refusal::failed)) throw; // its fault: its circuit is closed
    log("block", LogLevel::warning, refused.what());
  }
}

awaitable<void> HostedShardsBackend::on(PeerShard from, NewMinorBlockHeaderListCommand command) {
  HostedShard& of = shard(from.branch);
  const MinorBlockHeader& tip = command.minor_block_header_list.at(0);
  of.peers().heard(from.cluster_peer_id, command.root_block_header, tip);
  if (of.tip().header.height >= tip.height || !of.may_stand_on(tip.hash_prev_root_block)) co_return;
  try {
    co_await PeerSync(delivery_, of).follow(from);
  } catch (const Refused& refused) {
    if (refused.code() != static_cast<std::uint32_t>(Refusal::failed)) throw;
    log("following", LogLevel::warning, refused.what());
  }
}

awaitable<SyncMinorBlockListResponse> HostedShardsBackend::fetch(PeerShard from, std::vector<Hash256> hashes) {
  HostedShard& of = shard(from.branch);
  SyncMinorBlockListResponse synced;
  for (std::size_t at = 0; at < hashes.size(); at += blocks_per_sync_request) {
    const auto begin = hashes.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t count = std::min(blocks_per_sync_request, hashes.size() - at);
    std::vector<Hash256> some(begin, begin + static_cast<std::ptrdiff_t>(count));
    std::vector<MinorBlock> blocks = co_await PeerBlocks(delivery_.host(), from).blocks(std::move(some));
    for (const MinorBlock& block : blocks)
      synced.block_coinbase_map[hash_of(block.header)] = block.header.coinbase_amount_map;
    co_await delivery_.add_all(of, std::move(blocks));
  }
  synced.shard_stats = of.reads().stats();
  co_return synced;
}

awaitable<SyncMinorBlockListResponse> HostedShardsBackend::on(SyncMinorBlockListRequest request) {
  const PeerShard from{request.branch.value, request.cluster_peer_id};
  (void)shard(from.branch);
  const std::vector<PeerShard> peers = delivery_.host()->peers_of(from.branch);
  if (std::ranges::find(peers, from) == peers.end())
    throw Refused(Refusal::bad_message,
                  fmt::format("there is no peer {} on {}", from.cluster_peer_id, shard_text(from.branch)));
  try {
    co_return co_await fetch(from, std::move(request.minor_block_hash_list));
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == boost::asio::error::operation_aborted) throw;
    throw Refused(Refusal::failed, trunkline::text_of(failure));
  }
}

awaitable<AddXshardTxListResponse> HostedShardsBackend::on(AddXshardTxListRequest request) {
  const std::uint32_t branch = request.branch.value;
  const std::size_t deposits = request.tx_list.tx_list.size();
  const auto ours = shards_.find(branch);
  if (ours == shards_.end())
    throw Refused(Refusal::not_found, fmt::format("branch {} is not run here", shard_text(branch)));
  if (deposits > options_.xshard_deposits_max)
    throw Refused(Refusal::failed, fmt::format("a list of {} deposits, xshard_deposits_max is {}", deposits,
                                               options_.xshard_deposits_max));
  try {
    ours->second.cl().add_deposits(request.minor_block_hash, request.tx_list);
  } catch (const ConsensusRefusal& refusal) {
    throw Refused(Refusal::invalid, fmt::format("shard {}: {}", shard_text(branch), refusal.what()));
  } catch (const CapabilityMissing& missing) {
    throw Refused(Refusal::failed, fmt::format("shard {}: {}", shard_text(branch), missing.what()));
  }
  AddXshardTxListResponse reply;
  co_return reply;
}

// Mining and transactions.

void HostedShardsBackend::mine_where_told(const trunkline::Executor& executor) {
  if (!announcements_) announcements_ = std::make_unique<Tasks>(executor);
  for (auto& [id, miner] : miners_) {
    const HostedShard* const of = find(id);
    if (mining_ && of && !of->cl().shard().consensus_config.remote_mine) miner.start(executor, shared_from_this());
    else if (!mining_) miner.stop();
  }
}

awaitable<MineResponse> HostedShardsBackend::on(MineRequest request) {
  delivery_.artificial() = request.artificial_tx_config;
  mining_ = request.mining;
  mine_where_told(co_await asio::this_coro::executor);
  MineResponse reply;
  co_return reply;
}

awaitable<GetEcoInfoListResponse> HostedShardsBackend::on(GetEcoInfoListRequest) {
  GetEcoInfoListResponse reply;
  for (const std::uint32_t id : shards()) reply.eco_info_list.push_back(shards_.at(id).reads().eco_info(now()));
  co_return reply;
}

awaitable<GetNextBlockToMineResponse> HostedShardsBackend::on(GetNextBlockToMineRequest request) {
  delivery_.artificial() = request.artificial_tx_config;
  HostedShard& of = shard(request.branch.value);
  GetNextBlockToMineResponse reply;
  const Address payee = address_in_branch(request.address, request.branch.value);
  reply.block = co_await of.build(now(), payee);
  co_return reply;
}

awaitable<GetWorkResponse> HostedShardsBackend::on(GetWorkRequest request) {
  HostedShard& of = shard(request.branch.value);
  require_remote_mining(of.cl().shard());
  const std::uint64_t time = now();
  const auto offer = [&] { return or_refused([&] { return of.work().offer(time, request.coinbase_addr); }); };
  const OfferedWork work = co_await of.answered(offer);
  GetWorkResponse reply;
  reply.header_hash = work.mining_hash;
  reply.height = work.height;
  reply.difficulty = work.difficulty;
  co_return reply;
}

awaitable<SubmitWorkResponse> HostedShardsBackend::on(SubmitWorkRequest request) {
  HostedShard& of = shard(request.branch.value);
  require_remote_mining(of.cl().shard());
  SubmitWorkResponse reply;
  std::optional<MinorBlock> block = of.work().solve(request.header_hash, request.nonce, request.mixhash);
  if (!block) co_return reply;
  reply.success = co_await take_new(of, std::move(*block));
  if (reply.success) of.work().forget(request.header_hash);
  co_return reply;
}

awaitable<AddTransactionResponse> HostedShardsBackend::on(AddTransactionRequest request) {
  HostedShard& of =
      or_refused([&]() -> HostedShard& { return shard_of(EvmTransaction::from(request.tx).from_full_shard_key); });
  co_await add_transaction(of, request.tx);
  AddTransactionResponse reply;
  co_return reply;
}

/// Valid ones are kept and passed on; the rest is dropped.
awaitable<void> HostedShardsBackend::on(PeerShard from, NewTransactionListCommand command) {
  HostedShard& of = shard(from.branch);
  NewTransactionListCommand fresh;
  for (TypedTransaction& transaction : command.transaction_list) {
    try {
      co_await add_transaction(of, transaction);
      fresh.transaction_list.push_back(std::move(transaction));
    } catch (const Refused&) { // nobody is told
    }
  }
  if (!fresh.transaction_list.empty()) tell_all(of, fresh, from.cluster_peer_id);
  co_return;
}

awaitable<ExecuteTransactionResponse> HostedShardsBackend::on(ExecuteTransactionRequest request) {
  HostedShard& of = shard_of(request.from_address.full_shard_key);
  const auto call = [&] {
    return or_refused(
        [&] { return ShardAccounts(of.cl()).call(request.tx, request.from_address, request.block_height); });
  };
  std::optional<std::string> result = co_await of.answered(call);
  if (!result) throw Refused(Refusal::failed, "the transaction fails");
  ExecuteTransactionResponse reply;
  reply.result = std::move(*result);
  co_return reply;
}

awaitable<EstimateGasResponse> HostedShardsBackend::on(EstimateGasRequest request) {
  HostedShard& of = shard_of(request.from_address.full_shard_key);
  const auto estimate = [&] {
    return or_refused([&] { return ShardAccounts(of.cl()).least_gas(request.tx, request.from_address); });
  };
  const std::optional<std::uint64_t> gas = co_await of.answered(estimate);
  if (!gas) throw Refused(Refusal::failed, "the transaction fails whatever gas it has");
  EstimateGasResponse reply;
  reply.result = static_cast<std::uint32_t>(*gas);
  co_return reply;
}

// Reads.

/// One that waits is in no block: the filler, with it alone.
awaitable<GetTransactionResponse> HostedShardsBackend::on(GetTransactionRequest request) {
  const HostedShard& of = shard(request.branch.value);
  GetTransactionResponse reply;
  if (const auto found = of.reads().transaction(request.tx_hash)) {
    reply.minor_block = *found->block;
    reply.index = found->index;
  } else if (const SignedTransactionPtr waiting = of.cl().queue().find(request.tx_hash)) {
    reply.minor_block = filler_minor_block();
    reply.minor_block.tx_list.push_back(waiting->typed);
  } else {
    throw NotFound(fmt::format("transaction {} is not held", request.tx_hash.hex()));
  }
  co_return reply;
}

awaitable<GetTransactionReceiptResponse> HostedShardsBackend::on(GetTransactionReceiptRequest request) {
  const auto found = shard(request.branch.value).reads().receipt(request.tx_hash);
  if (!found) throw NotFound(fmt::format("transaction {} is in no block", request.tx_hash.hex()));
  GetTransactionReceiptResponse reply;
  reply.minor_block = *found->found.block;
  reply.index = found->found.index;
  reply.receipt = found->receipt;
  co_return reply;
}

awaitable<GetTransactionListByAddressResponse> HostedShardsBackend::on(GetTransactionListByAddressRequest request) {
  const HostedShard& of = shard_of(request.address.full_shard_key);
  ShardReads::Page page = of.reads().of_address(request.address.recipient, request.transfer_token_id, request.start,
                                                std::min(request.limit, options_.page_max));
  GetTransactionListByAddressResponse reply;
  reply.tx_list = std::move(page.transactions);
  reply.next = std::move(page.next);
  co_return reply;
}

awaitable<GetAllTransactionsResponse> HostedShardsBackend::on(GetAllTransactionsRequest request) {
  const HostedShard& of = shard(request.branch.value);
  ShardReads::Page page = of.reads().of_all(request.start, std::min(request.limit, options_.page_max));
  GetAllTransactionsResponse reply;
  reply.tx_list = std::move(page.transactions);
  reply.next = std::move(page.next);
  co_return reply;
}

awaitable<GetLogResponse> HostedShardsBackend::on(GetLogRequest request) {
  std::optional<std::vector<Log>> logs = ShardLogs(shard(request.branch.value).cl()).matching(request);
  if (!logs)
    throw Refused(
        Refusal::failed,
        fmt::format("logs of heights {} to {}: expected at most {} blocks below the tip, and accounts of "
                    "shard {}",
                    request.start_block, request.end_block, ShardLogs::blocks_max, shard_text(request.branch.value)));
  GetLogResponse reply;
  reply.logs = std::move(*logs);
  co_return reply;
}

awaitable<void> HostedShardsBackend::catch_up(std::shared_ptr<HostedShardsBackend> self, HostedShard* of) {
  of->is_catching_up = true;
  try {
    co_await self->delivery_.catch_up(*of);
  } catch (const Refused& refused) {
    self->log("catching up", LogLevel::warning, refused.what());
  } catch (...) {
    of->is_catching_up = false;
    throw;
  }
  of->is_catching_up = false;
}

/// Of what the master does not know it could make no root block: it is told once more, for the next time.
awaitable<GetUnconfirmedHeadersResponse> HostedShardsBackend::on(GetUnconfirmedHeadersRequest) {
  GetUnconfirmedHeadersResponse reply;
  for (const std::uint32_t id : shards()) {
    HeadersInfo& info = reply.headers_info_list.emplace_back();
    info.branch.value = id;
    HostedShard& of = shards_.at(id);
    info.header_list = of.confirmable();
    if (announcements_ && !of.is_catching_up && !of.cl().database().is_committed(of.tip().hash))
      announcements_->spawn(catch_up(shared_from_this(), &of));
  }
  co_return reply;
}

awaitable<GetAccountDataResponse> HostedShardsBackend::on(GetAccountDataRequest request) {
  GetAccountDataResponse reply;
  for (const std::uint32_t id : shards()) {
    HostedShard& of = shards_.at(id);
    const auto data = [&] {
      return or_refused([&] { return ShardAccounts(of.cl()).data(request.address.recipient, request.block_height); });
    };
    AccountBranchData of_branch = co_await of.answered(data);
    reply.account_branch_data_list.push_back(std::move(of_branch));
  }
  co_return reply;
}

/// By its hash, else by its height on the best chain.
awaitable<GetMinorBlockResponse> HostedShardsBackend::on(GetMinorBlockRequest request) {
  const ShardCL& cl = shard(request.branch.value).cl();
  std::optional<Hash256> hash = request.minor_block_hash;
  if (hash->is_zero()) hash = cl.database().minor_at(request.height);
  const auto block = hash ? cl.database().minor_block(*hash) : nullptr;
  if (!block) throw NotFound("the minor block is not held");
  GetMinorBlockResponse reply;
  reply.minor_block = *block;
  const auto posw = request.need_extra_info ? cl.rules().posw_of(block->header) : std::nullopt;
  if (posw) {
    MinorBlockExtraInfo& extra = reply.extra_info.emplace();
    extra.effective_difficulty = posw->difficulty;
    extra.posw_mineable_blocks = static_cast<std::uint16_t>(posw->mineable);
    extra.posw_mined_blocks = static_cast<std::uint16_t>(posw->mined);
  }
  co_return reply;
}

awaitable<GetStorageResponse> HostedShardsBackend::on(GetStorageRequest request) {
  HostedShard& of = shard_of(request.address.full_shard_key);
  const auto storage = [&] {
    return or_refused(
        [&] { return ShardAccounts(of.cl()).storage(request.address.recipient, request.key, request.block_height); });
  };
  const std::optional<Hash256> value = co_await of.answered(storage);
  if (!value) throw Refused(Refusal::failed, fmt::format("there is no block of height {}", *request.block_height));
  GetStorageResponse reply;
  reply.result = *value;
  co_return reply;
}

awaitable<GetCodeResponse> HostedShardsBackend::on(GetCodeRequest request) {
  HostedShard& of = shard_of(request.address.full_shard_key);
  const auto code = [&] {
    return or_refused([&] { return ShardAccounts(of.cl()).code(request.address.recipient, request.block_height); });
  };
  GetCodeResponse reply;
  reply.result = co_await of.answered(code);
  co_return reply;
}

awaitable<GasPriceResponse> HostedShardsBackend::on(GasPriceRequest request) {
  const std::optional<std::uint64_t> price = shard(request.branch.value).reads().gas_price(request.token_id).to_u64();
  if (!price) throw Refused(Refusal::failed, "the gas price has more than 64 bits");
  GasPriceResponse reply;
  reply.result = *price;
  co_return reply;
}

awaitable<CheckMinorBlockResponse> HostedShardsBackend::on(CheckMinorBlockRequest request) {
  HostedShard& of = shard(request.minor_block_header.branch.value);
  co_await of.verify(hash_of(request.minor_block_header), now());
  CheckMinorBlockResponse reply;
  co_return reply;
}

awaitable<GetRootChainStakesResponse> HostedShardsBackend::on(GetRootChainStakesRequest request) {
  HostedShard& of = shard_of(request.address.full_shard_key);
  constexpr std::uint32_t first_shard = 1; // of chain 0, which alone has the contract
  if (of.branch() != first_shard)
    throw Refused(Refusal::failed, fmt::format("stakes for root blocks are in shard {}, not in {}",
                                               shard_text(first_shard), shard_text(of.branch())));
  if (!of.cl().database().holds_minor(request.minor_block_hash))
    throw Refused(Refusal::failed, fmt::format("minor block {} is not held", request.minor_block_hash.hex()));
  const auto ask = [&] {
    return or_refused(
        [&] { return ShardAccounts(of.cl()).root_chain_stakes(request.address.recipient, request.minor_block_hash); });
  };
  const std::pair<BigUint, Recipient> stakes = co_await of.answered(ask);
  GetRootChainStakesResponse reply;
  reply.stakes = stakes.first;
  reply.signer = stakes.second;
  co_return reply;
}

awaitable<GetTotalBalanceResponse> HostedShardsBackend::on(GetTotalBalanceRequest request) {
  HostedShard& of = shard(request.branch.value);
  if (!of.cl().database().holds_minor(request.minor_block_hash))
    throw Refused(Refusal::failed, fmt::format("minor block {} is not held", request.minor_block_hash.hex()));
  // An execution layer may have to be asked for each account: the rest is another page.
  const std::uint32_t limit = options_.engine ? std::min(request.limit, engine_page_max) : request.limit;
  const auto sum = [&] {
    return or_refused([&] {
      return of.reads().total_balance(request.minor_block_hash, request.token_id, request.start, limit);
    });
  };
  std::pair<BigUint, Hash256> sums = co_await of.answered(sum);
  if (!request.start && request.root_block_hash)
    sums.first =
        sums.first + of.reads().waiting_deposits(request.minor_block_hash, *request.root_block_hash, request.token_id);
  const Hash256& next = sums.second;
  GetTotalBalanceResponse reply;
  reply.total_balance = sums.first;
  reply.next = next.is_zero() ? std::string(Hash256::size, '\0') : std::string(text_of(next.bytes));
  co_return reply;
}

awaitable<GetMinorBlockListResponse> HostedShardsBackend::on(PeerShard from, GetMinorBlockListRequest request) {
  const ShardDatabase& database = shard(from.branch).cl().database();
  GetMinorBlockListResponse reply;
  for (const Hash256& hash : request.minor_block_hash_list)
    if (const auto block = database.minor_block(hash)) reply.minor_block_list.push_back(*block);
  co_return reply;
}

awaitable<GetMinorBlockHeaderListResponse> HostedShardsBackend::on(PeerShard from,
                                                                   GetMinorBlockHeaderListWithSkipRequest request) {
  const HostedShard& of = shard(from.branch);
  GetMinorBlockHeaderListResponse reply;
  reply.root_tip = of.cl().tips().root->header;
  reply.shard_tip = of.tip().header;
  reply.block_header_list = of.headers(HeaderQuery::of(request));
  co_return reply;
}

} // namespace

ShardBackendOptions ShardBackendOptions::of(const ClusterConfig& config, std::string_view slave_id) {
  ShardBackendOptions options;
  options.config = config.quarkchain;
  options.full_shard_ids = config.slave(slave_id).full_shard_id_list;
  options.transaction_history = config.enable_transaction_history;
  return options;
}

std::shared_ptr<ShardBackend> make_shard_backend(ShardBackendOptions options) {
  return std::make_shared<HostedShardsBackend>(std::move(options));
}

} // namespace trunkline::quarkchain

// The inside of the embedded backend. Internal.
//
// Who changes something holds the turn. A minor block is written before its cross-shard lists are sent and it is
// reported, and is committed (becomes a candidate for the tip) only after both: what is in the chain has its lists
// where they belong.
#pragma once

#include "async/tasks.hpp"
#include "services/quarkchain/chain/evm_transaction.hpp"
#include "services/quarkchain/ledger/ledger.hpp"
#include "services/quarkchain/ledger/keys.hpp"
#include "async/mutex.hpp"

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

/// An account as genesis made it.
struct LedgerAccount {
  TokenBalances balances;
  std::string code;
  std::map<Uint256, Uint256> storage;
};

/// A transaction that waits for a block.
struct QueuedTransaction {
  TypedTransaction typed;
  EvmTransaction inside;
  Recipient sender;
};

struct LedgerShard {
  ShardConfig config;
  std::map<Hash256, std::pair<Recipient, LedgerAccount>>
      accounts; // by the hash of the recipient, which orders the state

  // Once it exists.
  bool exists = false;
  MinorBlockHeader tip;
  Hash256 tip_hash;

  std::list<std::pair<Hash256, QueuedTransaction>> queue; // oldest first
  std::unordered_map<Hash256, std::list<std::pair<Hash256, QueuedTransaction>>::iterator> queued;
  std::deque<std::pair<std::uint64_t, std::uint32_t>> recent; // blocks of the last minute: when, transactions
  std::deque<std::pair<Hash256, MinorBlock>> works; // given out by get_work
  std::uint32_t stale = 0;
  bool syncing = false; // with a peer
};

class LedgerState final : public Ledger, public std::enable_shared_from_this<LedgerState> {
 public:
  LedgerState(LedgerOptions options, std::unique_ptr<Store> store);

  void attach(std::weak_ptr<BackendHost> surroundings) override { surroundings_ = std::move(surroundings); }
  std::vector<std::uint32_t> shards() const override;

  // ledger_root.cpp
  awaitable<void> create_shards(RootBlock root_tip) override;
  awaitable<bool> add_root_block(RootBlock block) override;
  std::optional<RootBlockHeader> root_tip() const override;

  // ledger_sync.cpp
  awaitable<void> add_minor_block(MinorBlock block) override;
  awaitable<SyncedBlocks> sync_minor_block_list(PeerShard from, std::vector<Hash256> hashes) override;
  awaitable<void> on_new_minor_block_header(PeerShard from, RootBlockHeader root, MinorBlockHeader tip) override;
  awaitable<void> on_new_block_minor(PeerShard from, MinorBlock block) override;

  // ledger_xshard.cpp
  awaitable<void> add_xshard_tx_list(XshardList list) override;
  bool has_xshard_tx_list(std::uint32_t branch, const Hash256& minor_block_hash) const override;
  std::optional<CrossShardTransactionList> xshard_tx_list(std::uint32_t branch,
                                                          const Hash256& minor_block_hash) const override;

  // ledger_mining.cpp
  awaitable<std::vector<EcoInfo>> get_eco_info_list() override;
  awaitable<MinorBlock> get_next_block_to_mine(std::uint32_t branch, Address coinbase,
                                               ArtificialTxConfig artificial) override;
  awaitable<void> mine(ArtificialTxConfig artificial, bool mining) override;
  awaitable<Work> get_work(std::uint32_t branch, std::optional<Address> coinbase) override;
  awaitable<bool> submit_work(Solution solution) override;

  // ledger_transactions.cpp
  awaitable<void> add_transaction(TypedTransaction transaction) override;
  awaitable<void> on_new_transaction_list(PeerShard from, std::vector<TypedTransaction> transactions) override;
  awaitable<std::optional<FoundTransaction>> get_transaction(std::uint32_t branch, Hash256 hash) override;
  awaitable<TransactionPage> get_transaction_list_by_address(Address address, std::optional<std::uint64_t> token,
                                                             std::string start, std::uint32_t limit) override;
  awaitable<TransactionPage> get_all_transactions(std::uint32_t branch, std::string start,
                                                  std::uint32_t limit) override;

  // ledger_reads.cpp
  awaitable<std::vector<HeadersInfo>> get_unconfirmed_headers() override;
  awaitable<std::vector<AccountBranchData>> get_account_data(Address address,
                                                             std::optional<std::uint64_t> height) override;
  awaitable<std::optional<FoundMinorBlock>> get_minor_block(std::uint32_t branch, Hash256 hash,
                                                            bool need_extra_info) override;
  awaitable<std::optional<FoundMinorBlock>> get_minor_block_at(std::uint32_t branch, std::uint64_t height,
                                                               bool need_extra_info) override;
  awaitable<Hash256> get_storage(Address address, Uint256 key, std::optional<std::uint64_t> height) override;
  awaitable<std::string> get_code(Address address, std::optional<std::uint64_t> height) override;
  awaitable<std::uint64_t> gas_price(std::uint32_t branch, std::uint64_t token) override;
  awaitable<void> check_minor_block(MinorBlockHeader header) override;
  awaitable<BalancePage> get_total_balance(BalanceQuery query) override;
  awaitable<std::vector<MinorBlock>> get_minor_block_list(std::uint32_t branch, std::vector<Hash256> hashes) override;
  awaitable<MinorHeaderPage> get_minor_block_header_list(std::uint32_t branch, HeaderQuery query) override;
  std::optional<MinorBlockHeader> tip_of(std::uint32_t full_shard_id) const override;

  const LedgerCounters& counters() const noexcept override { return counters_; }

 private:
  using Pointer = std::shared_ptr<LedgerState>;

  void log(LogLevel level, const std::string& text) const {
    if (options_.log) options_.log(level, text);
  }
  std::uint64_t now() const { return options_.unix_time(); }
  std::shared_ptr<BackendHost> around() const;
  /// Ours and existing, or Refused.
  LedgerShard& shard(std::uint32_t branch);
  /// The existing one that an address belongs to, or Refused.
  LedgerShard& shard_of(const Address& address);

  // ledger_root.cpp
  std::optional<RootBlock> root_block(const Hash256& hash) const;
  std::optional<RootBlockHeader> root_header(const Hash256& hash) const;
  bool on_root_chain(const RootBlockHeader& header, const Hash256& hash) const;
  /// Whether a root block is this one, or above it: `below` is at `height`.
  bool descends(Hash256 from, std::uint32_t height, const Hash256& below) const;
  void take_genesis(const RootBlock& block);
  /// Checks and writes it, without looking at tips. Errors: Refused.
  void keep_root_block(const RootBlock& block, const Hash256& hash);
  void check_minor_headers(const RootBlock& block, const Hash256& hash, StoreBatch& batch);
  void require_list(LedgerShard& of, const MinorBlockHeader& header, const Hash256& hash) const;
  /// The best chain ends here from now on; all shards follow.
  void switch_root(const RootBlock& block, const Hash256& hash);
  awaitable<void> create_due_shards(RootBlockHeader root, Hash256 hash);
  awaitable<void> create_genesis(LedgerShard& of, RootBlockHeader root, Hash256 hash);

  // ledger_minor.cpp
  std::optional<MinorBlock> minor_block(std::uint32_t branch, const Hash256& hash) const;
  std::optional<MinorBlockHeader> minor_header(std::uint32_t branch, const Hash256& hash) const;
  bool is_committed(std::uint32_t branch, std::uint64_t height, const Hash256& hash) const;
  /// The block that the root chain up to `root` confirms last, else the genesis of the shard there; zero for none.
  Hash256 base_of(const LedgerShard& of, const RootBlockHeader& root, const Hash256& hash) const;
  /// Those that the root chain has not confirmed, ascending, at most as many as one root block takes.
  std::vector<MinorBlockHeader> unconfirmed(const LedgerShard& of) const;
  bool leads_to(const LedgerShard& of, MinorBlockHeader header, Hash256 hash, std::uint64_t base_height,
                const Hash256& base) const;
  void choose_tip(LedgerShard& of, const RootBlockHeader& root, const Hash256& hash);
  void set_tip(LedgerShard& of, const MinorBlockHeader& header, const Hash256& hash, StoreBatch& batch);
  void check_numbers(const MinorBlockHeader& header) const;
  void check_block(LedgerShard& of, const MinorBlock& block);
  void commit(LedgerShard& of, const MinorBlock& block, const Hash256& hash, StoreBatch& batch);
  /// Sends the lists, reports, commits. BudgetShare the turn. True when it became the tip.
  awaitable<bool> extend(LedgerShard& of, MinorBlock block);
  ShardStats stats_of(LedgerShard& of);

  // ledger_sync.cpp
  awaitable<bool> take_block(std::uint32_t branch, MinorBlock block);
  awaitable<SyncedBlocks> take_blocks(std::uint32_t branch, std::vector<MinorBlock> blocks);
  awaitable<std::vector<MinorBlock>> download(PeerShard from, std::vector<Hash256> hashes);
  awaitable<SyncedBlocks> fetch(PeerShard from, std::vector<Hash256> hashes, std::size_t batch);
  awaitable<void> follow(PeerShard from, MinorBlockHeader tip);
  awaitable<void> announce(const LedgerShard& of, std::uint64_t except);
  static awaitable<void> sent(awaitable<void> announcement);
  static awaitable<void> announce_to(Pointer self, PeerShard to, RootBlockHeader root, MinorBlockHeader tip);

  // ledger_xshard.cpp
  std::vector<XshardList> lists_of(const LedgerShard& of, const MinorBlock& block, const Hash256& hash) const;

  // ledger_mining.cpp
  BigUint next_difficulty(const LedgerShard& of, std::uint64_t create_time) const;
  std::uint64_t next_create_time(const LedgerShard& of) const;
  BigUint next_coinbase(const LedgerShard& of) const;
  MinorBlock next_block(LedgerShard& of, const Address& coinbase);

  // ledger_transactions.cpp
  QueuedTransaction inspect(const LedgerShard& of, const TypedTransaction& transaction) const;
  /// Says whether it is new. Errors: Refused.
  bool enqueue(const TypedTransaction& transaction);
  void unqueue(LedgerShard& of, const MinorBlock& block);
  void index(const LedgerShard& of, const MinorBlock& block, const Hash256& hash, StoreBatch& batch) const;
  TransactionDetail detail(const MinorBlock& block, std::uint32_t index) const;
  TransactionDetail detail(const QueuedTransaction& queued) const;
  std::uint64_t transaction_count(const LedgerShard& of, const Recipient& who, std::uint64_t height) const;
  bool on_best_chain(std::uint32_t branch, std::uint64_t height, const Hash256& hash) const;

  // ledger_reads.cpp
  const LedgerAccount* account(const LedgerShard& of, const Recipient& who) const;

  LedgerOptions options_;
  std::unique_ptr<Store> store_;
  std::weak_ptr<BackendHost> surroundings_;
  std::map<std::uint32_t, LedgerShard> shards_; // ours, by full shard id
  std::optional<RootBlockHeader> root_tip_;
  Hash256 root_tip_hash_;
  ArtificialTxConfig artificial_;
  LedgerCounters counters_;
  Mutex mutex_;
  std::unique_ptr<Tasks> announcements_;
};

} // namespace trunkline::quarkchain

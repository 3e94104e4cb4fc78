// The consensus layer of one shard: blocks, lists and root blocks go in, and what they change comes out. It talks to
// nobody: whoever owns it sends lists and reports, tells the time and passes on what peers say.
//
// Order of everything that is written (each step one batch, and memory follows the disk):
//   block: the block, what it took, its receipts and its state
//   tip:   the index, when the tip moves
//   (lists go out, the master hears of the block)
//   commit
#pragma once

#include "services/quarkchain/shard/block_rules.hpp"
#include "services/quarkchain/shard/chain_index.hpp"
#include "services/quarkchain/shard/deposit_cursor.hpp"
#include "services/quarkchain/shard/fork_choice.hpp"
#include "services/quarkchain/shard/root_rules.hpp"
#include "services/quarkchain/shard/shard_identity.hpp"
#include "services/quarkchain/shard/priced_queue.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

class SenderSearch;
class SenderThreads;

/// What goes to one neighbour for each of our blocks, also when it is empty.
struct OutgoingList {
  std::uint32_t branch = 0;
  CrossShardTransactionList list;
};

struct AddedBlock {
  bool known = false; // it was held: nothing was done, and nothing below is filled in
  Hash256 hash;
  bool tip_moved = false;
  TokenBalanceMap coinbase;
  std::vector<CrossShardTransactionDeposit> sent;
  std::vector<CrossShardTransactionDeposit> taken;
};

struct AddedRoot {
  bool switched = false;  // the root tip moved
  bool tip_moved = false; // ours
};

/// How a minor block is added.
struct AddOptions {
  std::uint64_t now = 0;      // seconds of the clock
  bool again = false;         // even if it is held: its lists and report may not have gone out
  bool however_old = false;   // blocks far below the tip too
};

/// Errors of all that change it: StoreFailure, and then memory is as before; what is on disk is put right by start().
class ShardCL {
 public:
  /// All must outlive it. Errors: ConfigFailure, AnotherDatabase.
  ShardCL(const QuarkChainConfig& config, const ShardConfig& shard, Store& store, Executor& executor, bool history);

  /// From now on senders are also looked for on these; null: on the thread of whoever adds a block alone.
  void find_senders_on(std::shared_ptr<SenderThreads> threads) { sender_threads_ = std::move(threads); }
  /// This block is to be added or verified soon: with threads for it, its senders are looked for meanwhile. Of more than
  /// a few the oldest is forgotten.
  void expect(std::shared_ptr<const MinorBlock> block);

  /// Whether it has a genesis or has been started: before that, only those two may be called.
  bool is_running() const noexcept { return tips_.minor != nullptr; }

  /// Makes and keeps the genesis on a root block of ROOT_HEIGHT. The first one begins the shard.
  MinorBlock genesis_from(const RootBlock& root);
  /// Goes on from the database where this root chain stands; later blocks are left alone. A root block that is not held
  /// but follows one that is, is added. Errors: ConsensusRefusal.
  void start(const RootBlock& root_tip);

  /// Stands where the index ends, below the heaviest root block that is held, and writes nothing: for verify, and not
  /// to be added to. Errors: StoreFailure when there is nothing.
  void look();

  /// Errors: ConsensusRefusal, and nothing has changed.
  AddedRoot add_root(const RootBlock& block);
  /// Errors: ConsensusRefusal and TransactionRefused: the block is invalid, nothing has changed. CapabilityMissing:
  /// nobody can tell here; the shard follows no further on this branch, see stopped().
  AddedBlock add_minor(const MinorBlock& block, const AddOptions& options);
  /// Everything but adding: the block is as it must be. The same errors.
  void verify(const MinorBlock& block, std::uint64_t now);
  /// Runs one that is held once more, for an executor that has lost it. Errors: as verify; StoreFailure when it is not
  /// held.
  void replay(const Hash256& block);
  /// Errors: ConsensusRefusal when this block has sent another list before; CapabilityMissing for a deposit that no
  /// block could take.
  void add_deposits(const Hash256& source, const CrossShardTransactionList& list);
  /// The lists of a block that was added, one for each neighbour.
  std::vector<OutgoingList> outgoing(const MinorBlockHeader& header,
                                     const std::vector<CrossShardTransactionDeposit>& sent) const;
  /// Its lists were taken and the master knows of it.
  void commit(const std::vector<Hash256>& blocks);

  /// Errors: TransactionFailure, TransactionRefused, CapabilityMissing; what waits or is in a block already is refused.
  void add_transaction(const TypedTransaction& transaction);
  /// A block on top of the tip, without a seal.
  MinorBlock build(std::uint64_t now, const Address& coinbase);

  const Tips& tips() const noexcept { return tips_; }
  const ShardDatabase& database() const noexcept { return database_; }
  const BlockRules& rules() const noexcept { return rules_; }
  const ForkChoice& fork_choice() const noexcept { return fork_choice_; }
  const Neighbourhood& neighbourhood() const noexcept { return neighbourhood_; }
  const PricedQueue& queue() const noexcept { return queue_; }
  const Executor& executor() const noexcept { return executor_; }
  const ShardConfig& shard() const noexcept { return shard_; }
  const QuarkChainConfig& config() const noexcept { return config_; }
  /// What the executor knows as the state after a block.
  Hash256 state_after(const MinorPoint& block) const { return executor_.state_after(block.header, block.meta); }
  /// Canonical and not yet confirmed, ascending, as many as one root block may have.
  std::vector<MinorBlockHeader> unconfirmed_headers() const;
  /// How many other blocks of this height this process has added.
  std::uint32_t others_seen(std::uint64_t height) const;
  /// The block behind which nothing can be followed, and what is missing; empty while there is none.
  const std::string& stopped() const noexcept { return stopped_; }

 private:
  struct Ran {
    Execution execution;
    std::vector<CrossShardTransactionDeposit> taken;
    TokenBalances coinbase;
  };

  Ran run(const MinorBlock& block, const std::vector<Hash256>& transactions, StoreBatch& into);
  void store_block(const MinorBlock& block, const Hash256& hash, const Ran& ran, StoreBatch& batch);
  BlockSetting setting_of(const MinorBlockHeader& header, const MinorPointPtr& parent) const;
  DepositCursor cursor_of(const MinorPointPtr& parent, const RootPointPtr& root) const;
  RootPointPtr next_anchor() const;
  SignedTransactionPtr signed_of(const TypedTransaction& typed, const Hash256& hash);
  std::vector<SignedTransactionPtr> signed_of(const MinorBlock& block, const std::vector<Hash256>& hashes);
  std::shared_ptr<SenderSearch> search_of(const MinorBlock& block, const std::vector<Hash256>& hashes);
  void move_to(const Tips& next, bool put_back, const IndexedBlock* at_hand = nullptr);

  const QuarkChainConfig& config_;
  const ShardConfig& shard_;
  Executor& executor_;
  ShardDatabase database_;
  Neighbourhood neighbourhood_;
  ShardIdentity identity_;
  BlockRules rules_;
  RootRules root_rules_;
  ForkChoice fork_choice_;
  ChainIndex index_;
  PricedQueue queue_;
  Recent<Hash256, SignedTransactionPtr> signed_{1 << 14};
  std::shared_ptr<SenderThreads> sender_threads_;
  std::deque<std::pair<Hash256, std::shared_ptr<SenderSearch>>> expected_; // by block, at most expected_max
  std::map<std::uint64_t, std::set<Hash256>> seen_; // by height, the highest heights_seen_max
  Tips tips_;
  std::string stopped_;
};

} // namespace trunkline::quarkchain

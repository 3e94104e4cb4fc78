// The seam between consensus and execution. The consensus layer knows chains, deposits and rewards; an executor knows
// accounts. Blocks go in, results come out: an executor never decides which chain counts.
#pragma once

#include "async/types.hpp"
#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/execution/receipt.hpp"
#include "services/quarkchain/execution/signed_transaction.hpp"
#include "services/quarkchain/store/store.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

/// The rules forbid it: a transaction that may not be in a block or queue now, and so a block that holds it. Says what
/// was expected and what was seen.
class TransactionRefused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Whether it is valid cannot be told here: it needs something that this executor does not run. Names what is missing.
/// Whoever gets it may not call the block invalid, and may not go on behind it.
class CapabilityMissing : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Whoever runs transactions is not there, or does not do what it promised. It may be there again.
class ExecutorDown : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An executor in another process has to be asked first. Nothing has changed: whoever catches it awaits `ask`, and then
/// does the same again, which gets further this time. It is no std::exception: nobody takes it for a failure.
class AnswerPending {
 public:
  using Ask = std::function<awaitable<void>()>;
  explicit AnswerPending(Ask ask) : ask_(std::move(ask)) {}
  /// Errors: ExecutorDown. The executor must live until it has ended.
  const Ask& ask() const noexcept { return ask_; }

 private:
  Ask ask_;
};

/// Where transactions may go that leave the shard: the only rule that depends on when a block is run, and not on the
/// block alone.
struct Reach {
  std::uint32_t root_height = 0;          // of the root chain's tip
  std::vector<std::uint32_t> initialized; // full shard ids of the shards that exist before it, ascending
};

/// What a block says before anything of it runs, and what the chain below says about it.
struct BlockSetting {
  std::uint64_t height = 0;
  std::uint64_t create_time = 0;
  Recipient coinbase;
  std::uint64_t gas_limit = 0;
  std::uint64_t xshard_gas_limit = 0;
  BigUint reward;                     // of the genesis token, fees not counted
  std::map<Recipient, BigUint> locked; // what those in the window of PoSW may not spend
  Reach reach;
  BigUint difficulty;
  const MinorBlock* claimed = nullptr; // what the miner says came of it; none while it is being built
  std::function<std::vector<Receipt>()> receipts_kept; // of the claimed block, when it ran before
};

struct DueDeposit {
  const CrossShardTransactionDeposit* deposit; // until the next one is taken
  std::uint64_t gas_charged;                   // before its message runs
};

/// Deposits in the order of consensus. An executor takes until there is none, or until the gas of deposits is used up:
/// where it stopped is part of the block.
class Deposits {
 public:
  virtual ~Deposits() = default;
  virtual std::optional<DueDeposit> take() = 0;
};

struct Execution {
  Hash256 state_root;
  Hash256 receipt_root;
  Uint2048 bloom;
  std::uint64_t gas_used = 0;        // of all
  std::uint64_t xshard_gas_used = 0; // of deposits
  TokenBalances fees;                // the miner's part
  std::vector<Receipt> receipts;     // transactions, then deposits
  std::vector<CrossShardTransactionDeposit> sent;
  std::string extra_data; // what the header has to say for it
};

struct AccountState {
  std::uint64_t nonce = 0;
  TokenBalances balances;
  Hash256 code_hash;
  bool has_code = false;
  std::uint32_t full_shard_key = 0;
};

struct Capabilities {
  std::string transactions;   // in words, for the log at start and for refusals
  bool contracts = false;     // code is run and made
  bool other_tokens = false;  // than the genesis token
  bool old_states = false;    // can be read and built upon
  bool python_roots = false;  // are those of pyquarkchain, bit for bit

  std::string text() const;
};

/// One for each shard. A state is known by a hash, which is its root where nothing else is said. Errors of each:
/// StoreFailure, and of an executor in another process also AnswerPending and ExecutorDown.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual std::string_view name() const noexcept = 0;
  virtual const Capabilities& capabilities() const noexcept = 0;
  /// Which state a block leaves behind.
  virtual Hash256 state_after(const MinorBlockHeader& header, const MinorBlockMeta& meta) const {
    (void)header;
    return meta.hash_evm_state_root;
  }
  /// This is the state of the tip now. Any that is held: forwards, back, sideways.
  virtual void set_head(const Hash256& state) { (void)state; }
  /// Whether a block can ever take it. Errors: CapabilityMissing.
  virtual void check_deposit(const CrossShardTransactionDeposit& deposit) const { (void)deposit; }

  /// Makes the first state. Its records go into `into`, as those of all below do: what is not written never was.
  virtual Hash256 genesis(StoreBatch& into) = 0;
  /// Runs a block on top of the state of its parent. Errors: TransactionRefused, CapabilityMissing.
  virtual Execution run(const Hash256& parent, const BlockSetting& setting, Deposits& deposits,
                        std::span<const SignedTransactionPtr> transactions, StoreBatch& into) = 0;
  /// The same for a block that is to be made: takes from `candidates`, best first, what fits, and says what it took.
  /// Those below `gas_price_min`, and those that cannot be run now, are passed over. Errors: CapabilityMissing for a
  /// deposit.
  virtual Execution build(const Hash256& parent, const BlockSetting& setting, Deposits& deposits,
                          std::span<const SignedTransactionPtr> candidates, const BigUint& gas_price_min,
                          std::vector<SignedTransactionPtr>& taken) = 0;
  /// Whether the queue may take it while this is the state of the tip. Errors: TransactionRefused, CapabilityMissing.
  virtual void check(const Hash256& state, const BlockSetting& setting, const SignedTransaction& transaction,
                     const BigUint& gas_price_min) = 0;

  /// What a transaction gives back that runs now and leaves nothing behind; nothing when it fails. It needs no signature.
  /// Errors: TransactionRefused, CapabilityMissing.
  virtual std::optional<std::string> call(const Hash256& state, const BlockSetting& setting,
                                          const SignedTransaction& transaction) const = 0;

  virtual bool holds(const Hash256& state) const = 0;
  virtual AccountState account(const Hash256& state, const Recipient& who) const = 0;
  virtual std::string code(const Hash256& state, const Recipient& who) const = 0;
  virtual Uint256 storage(const Hash256& state, const Recipient& who, const Uint256& key) const = 0;
  /// Accounts in the order of the state's trie, those behind the key `after`, until `visit` says false.
  virtual void accounts(
      const Hash256& state, const std::optional<Hash256>& after,
      const std::function<bool(const Hash256& key, const Recipient& who, const AccountState&)>& visit) const = 0;
};

} // namespace trunkline::quarkchain

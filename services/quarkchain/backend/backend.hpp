// What a node author implements: what a slave does with blocks, transactions and accounts. Domain types only; which
// opcode asks for what, and how it travels, is the services' business.
//
// Nothing has to be implemented: what is left out throws NotImplemented, and the far side gets the answer that the
// opcode table states for it. Every method runs on the slave's executor, and several may run at once: each up to its
// first wait in the order in which the requests came.
#pragma once

#include "async/types.hpp"
#include "services/quarkchain/protocol/cluster_messages.hpp"
#include "services/quarkchain/chain/core_types.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

/// The codes that pyquarkchain sends. A receiver tells only zero from the rest.
enum class Refusal : std::uint32_t { failed = 1, not_found = 2, invalid = 14, bad_message = 74 };

/// A request that cannot be done. Its code travels, its text is for the log of whoever refused.
class Refused : public std::runtime_error {
 public:
  Refused(Refusal refusal, const std::string& why) : Refused(static_cast<std::uint32_t>(refusal), why) {}
  Refused(std::uint32_t code, const std::string& why) : std::runtime_error(why), code_(code) {}
  std::uint32_t code() const noexcept { return code_; }

 private:
  std::uint32_t code_;
};

/// What a backend leaves out. Names the method.
class NotImplemented : public std::logic_error {
 public:
  explicit NotImplemented(const char* method) : std::logic_error(std::string(method) + " is not implemented") {}
};

struct FoundMinorBlock {
  MinorBlock block;
  std::optional<MinorBlockExtraInfo> extra_info; // where it was asked for and proof of staked work applies
};

struct FoundTransaction {
  MinorBlock block; // of one that waits: a block with nothing else in it
  std::uint32_t index = 0;
};

struct FoundReceipt {
  MinorBlock block;
  std::uint32_t index = 0; // beyond the block's transactions: a deposit from another shard
  TransactionReceipt receipt;
};

/// One page of a list of transactions.
struct TransactionPage {
  std::vector<TransactionDetail> transactions;
  std::string next; // opaque; asks for the page after it
};

/// Which logs: those of all addresses when there are none; a position without topics takes any.
struct LogQuery {
  std::uint32_t branch = 0;
  std::vector<Address> addresses;
  std::vector<std::vector<Hash256>> topics; // by position, each with its alternatives
  std::uint64_t start_block = 0;
  std::uint64_t end_block = 0; // included
};

struct Work {
  Hash256 header_hash; // what is mined
  std::uint64_t height = 0;
  BigUint difficulty;
};

struct Solution {
  std::uint32_t branch = 0;
  Hash256 header_hash; // of the Work
  std::uint64_t nonce = 0;
  Hash256 mixhash;
  std::optional<Signature65> signature;
};

struct Stakes {
  BigUint stakes;
  Recipient signer;
};

struct BalanceQuery {
  std::uint32_t branch = 0;
  std::optional<Hash256> start; // the page's first account
  std::uint64_t token_id = 0;
  std::uint32_t limit = 0; // accounts
  Hash256 minor_block_hash;
  std::optional<Hash256> root_block_hash;
};

struct BalancePage {
  BigUint total_balance;
  std::string next; // 32 zero bytes at the end
};

/// What became of SYNC_MINOR_BLOCK_LIST.
struct SyncedBlocks {
  std::map<Hash256, TokenBalanceMap> coinbase; // of each block
  std::optional<ShardStats> stats;             // nothing when no block was asked for
};

/// The cross-shard deposits of one minor block for one shard.
struct XshardList {
  std::uint32_t branch = 0; // for whom
  Hash256 minor_block_hash; // whence
  CrossShardTransactionList list;
};

/// A peer of one shard.
struct PeerShard {
  std::uint32_t branch = 0;
  std::uint64_t cluster_peer_id = 0;
  friend constexpr auto operator<=>(const PeerShard&, const PeerShard&) = default;
};

/// Which headers a peer asks for.
struct HeaderQuery {
  std::optional<Hash256> hash; // of the first one; otherwise `height` is its height on the best chain
  BigUint height;
  std::uint32_t limit = 0;
  std::uint32_t skip = 0; // left out between two
  bool towards_tip = false;
};

struct MinorHeaderPage {
  RootBlockHeader root_tip;
  MinorBlockHeader shard_tip;
  std::vector<MinorBlockHeader> headers;
};

/// What a slave tells its master of a block that it has added.
struct MinorBlockReport {
  MinorBlockHeader header;
  std::uint32_t tx_count = 0;
  std::uint32_t x_shard_tx_count = 0;
  TokenBalanceMap coinbase_amount_map;
  ShardStats shard_stats;
};

/// What a backend can reach from where it runs: its master, the other slaves, the peers of its shards. What is sent
/// fails with the boost::system::system_error of the connection, or with Refused.
class BackendHost {
 public:
  virtual ~BackendHost() = default;

  /// Tells the master of a block and waits until it has taken note. Returns what the master wants artificial
  /// transactions to be.
  virtual awaitable<ArtificialTxConfig> add_minor_block_header(MinorBlockReport report) = 0;
  /// The same for many, without statistics. As many amounts as headers.
  virtual awaitable<void> add_minor_block_header_list(std::vector<MinorBlockHeader> headers,
                                                      std::vector<TokenBalanceMap> coinbase_amounts) = 0;
  /// Sends a list to every other slave that runs its branch, all at once, and waits until each has it. Errors also:
  /// error::connect_failed that names a slave which runs it and is not connected.
  virtual awaitable<void> add_xshard_tx_list(XshardList list) = 0;
  /// The same for many lists, whatever their branches.
  virtual awaitable<void> batch_add_xshard_tx_list(std::vector<XshardList> lists) = 0;

  /// Open ones, by ascending id.
  virtual std::vector<PeerShard> peers_of(std::uint32_t branch) const = 0;
  /// Announces a tip, transactions or a block to one peer. Nobody answers.
  virtual awaitable<void> new_minor_block_header(PeerShard to, RootBlockHeader root, MinorBlockHeader tip) = 0;
  virtual awaitable<void> new_transaction_list(PeerShard to, std::vector<TypedTransaction> transactions) = 0;
  virtual awaitable<void> new_block_minor(PeerShard to, MinorBlock block) = 0;
  /// Blocks that a peer does not have are left out.
  virtual awaitable<std::vector<MinorBlock>> get_minor_block_list(PeerShard from, std::vector<Hash256> hashes) = 0;
  virtual awaitable<MinorHeaderPage> get_minor_block_header_list(PeerShard from, HeaderQuery query) = 0;
};

/// What a slave does. Methods are named after what the master, another slave or a peer asks for.
class Backend {
 public:
  virtual ~Backend() = default;

  /// Called once, before everything else; `surroundings` may be kept and dies with the slave.
  virtual void attach(std::weak_ptr<BackendHost> surroundings) { (void)surroundings; }
  /// The full shard ids that exist here; they never become fewer. Asked after each create_shards and add_root_block.
  virtual std::vector<std::uint32_t> shards() const { return {}; }

  // The master asks. Errors of each: Refused; anything else closes the connection.

  /// PING with a root tip: shards whose genesis is due come to be before this returns, and are reported.
  virtual awaitable<void> create_shards(RootBlock root_tip);
  /// Says whether the root tip has changed.
  virtual awaitable<bool> add_root_block(RootBlock block);
  virtual awaitable<std::vector<EcoInfo>> get_eco_info_list();
  virtual awaitable<MinorBlock> get_next_block_to_mine(std::uint32_t branch, Address coinbase,
                                                       ArtificialTxConfig artificial);
  /// One entry for each shard that exists, also when its list is empty.
  virtual awaitable<std::vector<HeadersInfo>> get_unconfirmed_headers();
  /// One entry for each shard that exists.
  virtual awaitable<std::vector<AccountBranchData>> get_account_data(Address address,
                                                                     std::optional<std::uint64_t> height);
  virtual awaitable<void> add_transaction(TypedTransaction transaction);
  virtual awaitable<SyncedBlocks> sync_minor_block_list(PeerShard from, std::vector<Hash256> hashes);
  /// A block that does not extend the tip is dropped without a word.
  virtual awaitable<void> add_minor_block(MinorBlock block);
  virtual awaitable<std::optional<FoundMinorBlock>> get_minor_block(std::uint32_t branch, Hash256 hash,
                                                                    bool need_extra_info);
  virtual awaitable<std::optional<FoundMinorBlock>> get_minor_block_at(std::uint32_t branch, std::uint64_t height,
                                                                       bool need_extra_info);
  virtual awaitable<std::optional<FoundTransaction>> get_transaction(std::uint32_t branch, Hash256 hash);
  virtual awaitable<std::string> execute_transaction(TypedTransaction transaction, Address from,
                                                     std::optional<std::uint64_t> height);
  virtual awaitable<std::optional<FoundReceipt>> get_transaction_receipt(std::uint32_t branch, Hash256 hash);
  virtual awaitable<void> mine(ArtificialTxConfig artificial, bool mining);
  virtual awaitable<void> gen_tx(std::uint32_t per_shard, std::uint32_t xshard_percent, TypedTransaction like);
  virtual awaitable<TransactionPage> get_transaction_list_by_address(Address address,
                                                                     std::optional<std::uint64_t> token,
                                                                     std::string start, std::uint32_t limit);
  virtual awaitable<TransactionPage> get_all_transactions(std::uint32_t branch, std::string start, std::uint32_t limit);
  virtual awaitable<std::vector<Log>> get_log(LogQuery query);
  virtual awaitable<std::uint32_t> estimate_gas(TypedTransaction transaction, Address from);
  virtual awaitable<Hash256> get_storage(Address address, Uint256 key, std::optional<std::uint64_t> height);
  virtual awaitable<std::string> get_code(Address address, std::optional<std::uint64_t> height);
  virtual awaitable<std::uint64_t> gas_price(std::uint32_t branch, std::uint64_t token);
  virtual awaitable<Work> get_work(std::uint32_t branch, std::optional<Address> coinbase);
  /// Says whether it was one.
  virtual awaitable<bool> submit_work(Solution solution);
  virtual awaitable<void> check_minor_block(MinorBlockHeader header);
  virtual awaitable<Stakes> get_root_chain_stakes(Address address, Hash256 minor_block_hash);
  virtual awaitable<BalancePage> get_total_balance(BalanceQuery query);

  // Another slave says.

  /// The deposits of a block that another slave has added; empty ones count too: root blocks need them.
  virtual awaitable<void> add_xshard_tx_list(XshardList list);

  // A peer of a shard says or asks. Refused or any other failure closes that peer's circuit, and nothing else.

  virtual awaitable<void> on_new_minor_block_header(PeerShard from, RootBlockHeader root, MinorBlockHeader tip);
  virtual awaitable<void> on_new_transaction_list(PeerShard from, std::vector<TypedTransaction> transactions);
  virtual awaitable<void> on_new_block_minor(PeerShard from, MinorBlock block);
  /// Those that are not known are left out.
  virtual awaitable<std::vector<MinorBlock>> get_minor_block_list(std::uint32_t branch, std::vector<Hash256> hashes);
  virtual awaitable<MinorHeaderPage> get_minor_block_header_list(std::uint32_t branch, HeaderQuery query);
};

} // namespace trunkline::quarkchain

// The embedded backend of a slave: keeps what it is told, and answers from that. It executes no EVM.
//
// It keeps the root chain, makes the genesis of its shards, takes minor blocks and transactions, and follows the root
// chain when that switches. Nothing is executed: blocks are not checked beyond their linkage, balances, code and
// storage are those of genesis, there are no receipts and no logs, and proof of work is not looked at. The deposits of
// a block for other shards are what its transactions ask for, as if each had succeeded.
#pragma once

#include "fragment/log.hpp"
#include "services/quarkchain/backend/backend.hpp"
#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/store/store.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

struct LedgerOptions {
  QuarkChainConfig config;
  std::vector<std::uint32_t> full_shard_ids; // ours, of those in `config`
  bool transaction_history = false;          // serves the lists by address and of a whole shard
  std::uint32_t page_max = 100;              // transactions in one answer
  std::uint32_t xshard_deposits_max = 100000; // in one list; longer ones are refused
  std::function<std::uint64_t()> unix_time;  // seconds; default: the system's clock
  LogSink log;

  LedgerOptions() = default;
  static LedgerOptions of(const ClusterConfig& config, std::string_view slave_id);
};

struct LedgerCounters {
  std::uint64_t root_blocks = 0;
  std::uint64_t root_switches = 0;
  std::uint64_t minor_blocks = 0;
  std::uint64_t minor_blocks_stale = 0; // dropped
  std::uint64_t transactions = 0;       // taken into the queue
  std::uint64_t transactions_refused = 0;
  std::uint64_t xshard_lists = 0;       // kept
};

class Ledger : public Backend {
 public:
  /// What reads of the store's content need beyond Backend, for tests and tools.
  virtual bool has_xshard_tx_list(std::uint32_t branch, const Hash256& minor_block_hash) const = 0;
  virtual std::optional<CrossShardTransactionList> xshard_tx_list(std::uint32_t branch,
                                                                  const Hash256& minor_block_hash) const = 0;
  virtual std::optional<RootBlockHeader> root_tip() const = 0;
  virtual std::optional<MinorBlockHeader> tip_of(std::uint32_t full_shard_id) const = 0;
  virtual const LedgerCounters& counters() const noexcept = 0;
};

/// Takes up what the store holds. Errors: StoreFailure; ConfigFailure when the store is of another configuration.
std::shared_ptr<Ledger> make_ledger(LedgerOptions options, std::unique_ptr<Store> store);

} // namespace trunkline::quarkchain

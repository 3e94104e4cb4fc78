// A shard by itself: a database in memory, a clock that stands still, and a hand that makes blocks, root blocks, lists
// and signed transactions for it. It knows no peers and no master: what they would say is said here.
#pragma once

#include "services/quarkchain/execution/transfers.hpp"
#include "services/quarkchain/shard/shard_cl.hpp"
#include "tests/services/quarkchain/signer.hpp"

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::quarkchain::test {

/// A store whose n-th write fails, as those after it: nothing of them is kept.
class FailingStore final : public Store {
 public:
  explicit FailingStore(Store& inner, std::size_t writes_max = std::numeric_limits<std::size_t>::max())
      : inner_(inner), writes_left_(writes_max) {}
  std::optional<std::string> get(std::string_view key) const override { return inner_.get(key); }
  void write(const StoreBatch& batch) override {
    if (writes_left_ == 0) throw StoreFailure("the disk is full");
    --writes_left_;
    ++writes_;
    inner_.write(batch);
  }
  void scan(std::string_view prefix, std::string_view from,
            const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    inner_.scan(prefix, from, visit);
  }
  std::size_t writes() const noexcept { return writes_; }

 private:
  Store& inner_;
  std::size_t writes_left_;
  std::size_t writes_ = 0;
};

/// Everything that is in it.
std::map<std::string, std::string> contents(const Store& store);

/// Chains of one shard each, rewards of 100 with half of them taxed, one account with 10^18. `extra`: JSON members of
/// QUARKCHAIN and of each chain, as `"GAS_LIMIT": 60000`.
struct Settings {
  std::uint32_t chains = 2;
  std::uint64_t gas_limit = 12000000;
  std::uint64_t difficulty = 10000;
  std::string network;          // members of QUARKCHAIN
  std::string chain;            // members of each chain
  std::string alloc;            // of chain 0
  std::uint32_t root_height = 0; // of chain 1
  std::uint32_t root_height_of_own = 0;
};
QuarkChainConfig config_of(const Settings& settings);

class ShardChain {
 public:
  static constexpr std::uint32_t own = 0x00001;   // chain 0
  static constexpr std::uint32_t other = 0x10001; // chain 1

  explicit ShardChain(const Settings& settings = {}, Store* store = nullptr, bool begin = true);

  ShardCL& cl() { return *cl_; }
  TransfersExecutor& executor() { return *executor_; }
  const QuarkChainConfig& config() const { return config_; }
  Store& store() { return *store_; }
  const RootBlock& genesis_root() const { return genesis_root_; }
  MinorBlockHeader tip() { return cl_->tips().minor->header; }
  Hash256 tip_hash() { return cl_->tips().minor->hash; }

  /// The process ends and begins again on the same database.
  void restart(const RootBlock& root_tip);
  void reopen();

  /// On top of any root block, heavier by `difficulty`.
  RootBlock root_on(const RootBlock& parent, std::vector<MinorBlockHeader> minors = {}, std::uint64_t difficulty = 1000,
                    std::uint64_t coinbase_amount = 0);
  /// The best block that the shard would make, `seconds` after the tip, mined by `miner`.
  MinorBlock block(std::uint64_t seconds = 10, std::uint8_t miner = 0);
  /// A block on any that is held, without transactions, standing on any root block: what another miner would have made.
  MinorBlock block_on(const MinorBlockHeader& parent, const RootBlock& root, std::uint64_t seconds = 10,
                      std::uint8_t miner = 0);
  AddedBlock add(const MinorBlock& block, bool again = false);
  AddedRoot add(const RootBlock& block) { return cl_->add_root(block); }

  /// A plain transfer from a signer of this shard.
  TypedTransaction transfer(const Signer& from, std::uint64_t nonce, const Recipient& to, std::uint64_t value,
                            std::uint32_t to_key = 0, std::uint64_t gas = 30000, std::uint64_t price = 10,
                            const std::string& data = {});
  BigUint balance(const Recipient& who);

  std::uint64_t now = 4000000000;

 private:
  QuarkChainConfig config_;
  const ShardConfig& shard_;
  std::unique_ptr<Store> memory_;
  Store* store_;
  RootBlock genesis_root_;
  std::unique_ptr<TransfersExecutor> executor_;
  std::unique_ptr<ShardCL> cl_;
};

/// A header of the other chain, on this root block.
MinorBlockHeader header_of_other(const RootBlock& root, std::uint64_t height, std::uint32_t branch = ShardChain::other);
CrossShardTransactionDeposit deposit_to(const Recipient& who, std::uint64_t value, std::uint64_t gas_price = 1,
                                        std::uint8_t number = 0);

} // namespace trunkline::quarkchain::test

// The next block of a shard, as it is given to whoever mines it. Nothing is executed: the state's root is that of the
// block before, and gas is not counted.
#pragma once

#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/ledger/minor_chain.hpp"
#include "services/quarkchain/ledger/root_view.hpp"
#include "services/quarkchain/ledger/transaction_queue.hpp"
#include "services/quarkchain/protocol/cluster_messages.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

namespace trunkline::quarkchain {

class Mining {
 public:
  /// What it is given must outlive it.
  Mining(const QuarkChainConfig& config, const ShardConfig& shard, const RootView& root, const MinorChain& chain,
         const TransactionQueue& queue);

  MinorBlock next_block(const Address& coinbase, std::uint64_t now) const;
  EcoInfo eco_info(std::uint64_t now) const;
  /// Work on the next block, which is remembered for a while. Errors of both: Refused where remote mining is off.
  GetWorkResponse give_out(const std::optional<Address>& coinbase, std::uint64_t now);
  /// The block of a work that was given out, with its solution; nothing for one that was not.
  std::optional<MinorBlock> take_back(const SubmitWorkRequest& solution);

 private:
  void require_remote_mining() const;
  std::uint64_t next_create_time(std::uint64_t now) const;
  BigUint next_difficulty(std::uint64_t create_time) const;
  BigUint next_coinbase() const;

  const QuarkChainConfig& config_;
  const ShardConfig& shard_;
  const RootView& root_;
  const MinorChain& chain_;
  const TransactionQueue& queue_;
  std::deque<std::pair<Hash256, MinorBlock>> works_; // given out, not solved
};

} // namespace trunkline::quarkchain

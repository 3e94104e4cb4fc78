#include "services/quarkchain/shards/block_delivery.hpp"

#include "async/all_at_once.hpp"
#include "async/tasks.hpp"
#include "fragment/quote.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <utility>

namespace trunkline::quarkchain {
namespace {

/// What a connection says, to whoever wanted the block added.
awaitable<void> or_refused(std::uint32_t branch, awaitable<void> delivery) {
  try {
    co_await std::move(delivery);
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == boost::asio::error::operation_aborted) throw;
    throw Refused(Refusal::failed,
                  fmt::format("shard {}: not delivered: {}", shard_text(branch), trunkline::text_of(failure)));
  }
}

} // namespace

std::shared_ptr<BackendHost> BlockDelivery::host() const {
  std::shared_ptr<BackendHost> live = host_.lock();
  if (!live) throw Refused(Refusal::failed, "the slave is not running");
  return live;
}

/// Those for our own shards are kept at once.
std::vector<AddXshardTxListRequest> BlockDelivery::lists_of(const HostedShard& shard, const MinorBlockHeader& header,
                                                            const std::vector<CrossShardTransactionDeposit>& sent) {
  const Hash256 hash = hash_of(header);
  std::vector<AddXshardTxListRequest> lists;
  try {
    for (OutgoingList& outgoing : shard.cl().outgoing(header, sent)) {
      const auto ours = shards_.find(outgoing.branch);
      if (ours != shards_.end() && ours->second.is_running()) ours->second.cl().add_deposits(hash, outgoing.list);
      AddXshardTxListRequest& list = lists.emplace_back();
      list.branch.value = outgoing.branch;
      list.minor_block_hash = hash;
      list.tx_list = std::move(outgoing.list);
    }
  } catch (const ConsensusRefusal& refusal) {
    throw Refused(Refusal::failed, fmt::format("shard {}: {}", shard_text(shard.branch()), refusal.what()));
  } catch (const CapabilityMissing& missing) {
    throw Refused(Refusal::failed, fmt::format("shard {}: {}", shard_text(shard.branch()), missing.what()));
  }
  return lists;
}

awaitable<void> BlockDelivery::begin(HostedShard& shard, RootBlock root) {
  const Mutex::Lock lock = co_await shard.adding.lock();
  const MinorBlock genesis = co_await shard.genesis_from(root);
  AddMinorBlockHeaderRequest said;
  said.minor_block_header = genesis.header;
  said.coinbase_amount_map = genesis.header.coinbase_amount_map;
  std::vector<AddXshardTxListRequest> lists =
      lists_of(shard, genesis.header, std::vector<CrossShardTransactionDeposit>());
  co_await report(shard, std::move(said), std::move(lists));
}

awaitable<void> BlockDelivery::add(HostedShard& shard, MinorBlock block) {
  const Mutex::Lock lock = co_await shard.adding.lock();
  if (shard.cl().database().is_committed(hash_of(block.header))) co_return;
  co_await deliver_missing(shard, block.header.hash_prev_minor_block);
  AddOptions options;
  options.now = unix_time_();
  options.again = true;
  co_await deliver(shard, std::move(block), options);
}

awaitable<void> BlockDelivery::catch_up(HostedShard& shard) {
  const Mutex::Lock lock = co_await shard.adding.lock();
  const Hash256 tip = shard.tip().hash;
  co_await deliver_missing(shard, tip);
}

awaitable<void> BlockDelivery::deliver_missing(HostedShard& shard, Hash256 up_to) {
  for (const Hash256& hash : shard.uncommitted(up_to)) {
    const auto block = shard.cl().database().minor_block(hash);
    AddOptions options;
    options.now = unix_time_();
    options.again = true;
    options.however_old = true;
    MinorBlock again = *block;
    co_await deliver(shard, std::move(again), options);
  }
}

awaitable<void> BlockDelivery::deliver(HostedShard& shard, MinorBlock block, AddOptions options) {
  const AddedBlock added = co_await shard.add(block, options, Refusal::invalid);
  if (added.tip_moved) tip_moved_(shard);
  AddMinorBlockHeaderRequest said;
  said.minor_block_header = block.header;
  said.tx_count = static_cast<std::uint32_t>(block.tx_list.size());
  said.x_shard_tx_count = static_cast<std::uint32_t>(added.sent.size());
  said.coinbase_amount_map = added.coinbase;
  std::vector<AddXshardTxListRequest> lists = lists_of(shard, block.header, added.sent);
  co_await report(shard, std::move(said), std::move(lists));
}

awaitable<void> BlockDelivery::report(HostedShard& shard, AddMinorBlockHeaderRequest report,
                                      std::vector<AddXshardTxListRequest> lists) {
  const std::shared_ptr<BackendHost> host = this->host();
  const Hash256 hash = hash_of(report.minor_block_header);
  report.shard_stats = shard.reads().stats();
  std::vector<awaitable<void>> sends;
  for (AddXshardTxListRequest& list : lists) sends.push_back(host->add_xshard_tx_list(std::move(list)));
  co_await or_refused(shard.branch(), all_at_once(std::move(sends)));
  try {
    artificial_ = co_await host->add_minor_block_header(std::move(report));
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == boost::asio::error::operation_aborted) throw;
    throw Refused(Refusal::failed, fmt::format("shard {}: block {} is not reported: {}", shard_text(shard.branch()),
                                               hash.hex(), trunkline::text_of(failure)));
  }
  const std::vector<Hash256> committed(1, hash);
  shard.cl().commit(committed);
}

awaitable<void> BlockDelivery::add_all(HostedShard& shard, std::vector<MinorBlock> blocks) {
  const Mutex::Lock lock = co_await shard.adding.lock();
  const std::shared_ptr<BackendHost> host = this->host();
  if (!blocks.empty()) {
    const Hash256 below = blocks.front().header.hash_prev_minor_block;
    co_await deliver_missing(shard, below);
  }
  std::vector<AddXshardTxListRequest> lists;
  AddMinorBlockHeaderListRequest reports;
  std::vector<Hash256> added;
  const auto all = std::make_shared<const std::vector<MinorBlock>>(std::move(blocks));
  for (std::size_t i = 0; i < all->size(); ++i) {
    const MinorBlock& block = (*all)[i];
    if (i + 1 < all->size()) shard.cl().expect(std::shared_ptr<const MinorBlock>(all, &(*all)[i + 1]));
    const Hash256 hash = hash_of(block.header);
    if (shard.cl().database().is_committed(hash)) continue;
    AddOptions options;
    options.now = unix_time_();
    options.again = true;
    options.however_old = true;
    const AddedBlock one = co_await shard.add(block, options, Refusal::failed);
    for (AddXshardTxListRequest& list : lists_of(shard, block.header, one.sent)) lists.push_back(std::move(list));
    reports.minor_block_header_list.push_back(block.header);
    reports.coinbase_amount_map_list.push_back(block.header.coinbase_amount_map);
    added.push_back(hash);
  }
  if (added.empty()) co_return;
  co_await or_refused(shard.branch(), host->batch_add_xshard_tx_list(std::move(lists)));
  co_await or_refused(shard.branch(), host->add_minor_block_header_list(std::move(reports)));
  shard.cl().commit(added);
}

} // namespace trunkline::quarkchain

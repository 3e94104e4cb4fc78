// Cross-shard lists: those of our blocks, and those that other slaves send.
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/ledger/state.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {

/// What the transactions ask for, as if each had succeeded; an empty list for each other neighbour.
std::vector<XshardList> LedgerState::lists_of(const LedgerShard& of, const MinorBlock& block,
                                              const Hash256& hash) const {
  constexpr std::uint64_t gas_transfer = 21000;
  constexpr std::uint64_t gas_xshard = 9000;
  constexpr std::uint8_t refund_all = 100;
  const std::optional<RootBlockHeader> root = root_header(block.header.hash_prev_root_block);
  const std::vector<std::uint32_t> initialized = options_.config.shards_initialized_before(root ? root->height : 0);
  const std::uint32_t branch = of.config.full_shard_id;
  std::map<std::uint32_t, XshardList> lists;
  for (const std::uint32_t other : initialized) {
    if (other == branch || !are_neighbours(branch, other, initialized.size())) continue;
    lists[other].branch = other;
    lists[other].minor_block_hash = hash;
  }
  for (const TypedTransaction& typed : block.tx_list) {
    const QueuedTransaction transaction = inspect(of, typed);
    const auto to = options_.config.full_shard_id_of_key(transaction.inside.to_full_shard_key);
    const auto list = to ? lists.find(*to) : lists.end();
    if (list == lists.end()) continue;
    CrossShardTransactionDeposit deposit;
    deposit.tx_hash = hash_of(typed);
    deposit.from_address.recipient = transaction.sender;
    deposit.from_address.full_shard_key = transaction.inside.from_full_shard_key;
    deposit.to_address.recipient = transaction.inside.to.value_or(Recipient());
    deposit.to_address.full_shard_key = transaction.inside.to_full_shard_key;
    deposit.value = Uint256::from_bytes(bytes_of(transaction.inside.value.bytes())).value_or(Uint256());
    deposit.gas_price = Uint256::from_bytes(bytes_of(transaction.inside.gasprice.bytes())).value_or(Uint256());
    deposit.gas_token_id = transaction.inside.gas_token_id;
    deposit.transfer_token_id = transaction.inside.transfer_token_id;
    const std::uint64_t gas = transaction.inside.startgas.to_u64().value_or(0);
    deposit.gas_remained = Uint256(gas > gas_transfer + gas_xshard ? gas - gas_transfer - gas_xshard : 0);
    deposit.message_data = transaction.inside.data;
    deposit.create_contract = !transaction.inside.to;
    deposit.refund_rate = refund_all;
    list->second.list.tx_list.push_back(std::move(deposit));
  }
  std::vector<XshardList> all;
  for (auto& [id, list] : lists) all.push_back(std::move(list));
  return all;
}

awaitable<void> LedgerState::add_xshard_tx_list(XshardList list) {
  if (!shards_.contains(list.branch))
    throw Refused(Refusal::not_found, fmt::format("branch {} is not run here", shard_text(list.branch)));
  if (list.list.tx_list.size() > options_.xshard_deposits_max)
    throw Refused(Refusal::failed, fmt::format("a list of {} deposits, xshard_deposits_max is {}",
                                               list.list.tx_list.size(), options_.xshard_deposits_max));
  const std::string key = keys::xshard(list.branch, list.minor_block_hash);
  const std::string value = keys::value(list.list);
  const std::optional<std::string> kept = store_->get(key);
  if (kept && *kept != value)
    throw Refused(Refusal::invalid, fmt::format("another list of minor block {} for {} is kept",
                                                list.minor_block_hash.hex(), shard_text(list.branch)));
  if (kept) co_return;
  StoreBatch batch;
  batch.put(key, value);
  store_->write(batch);
  ++counters_.xshard_lists;
}

bool LedgerState::has_xshard_tx_list(std::uint32_t branch, const Hash256& minor_block_hash) const {
  return store_->has(keys::xshard(branch, minor_block_hash));
}

std::optional<CrossShardTransactionList> LedgerState::xshard_tx_list(std::uint32_t branch,
                                                                     const Hash256& minor_block_hash) const {
  const std::optional<std::string> kept = store_->get(keys::xshard(branch, minor_block_hash));
  if (!kept) return std::nullopt;
  return decoded<CrossShardTransactionList>(bytes_of(*kept));
}

} // namespace trunkline::quarkchain

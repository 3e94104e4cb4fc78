#include "services/quarkchain/ledger/xshard_lists.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/ledger/keys.hpp"
#include "services/quarkchain/ledger/transaction_queue.hpp"
#include "services/quarkchain/rpc/refusal.hpp"

#include <fmt/format.h>

#include <map>
#include <utility>

namespace trunkline::quarkchain {
namespace {

CrossShardTransactionDeposit deposit_of(const InspectedTransaction& transaction) {
  constexpr std::uint64_t gas_transfer = 21000;
  constexpr std::uint64_t gas_xshard = 9000;
  constexpr std::uint8_t refund_all = 100;
  const EvmTransaction& inside = transaction.inside;
  CrossShardTransactionDeposit deposit;
  deposit.tx_hash = hash_of(transaction.typed);
  deposit.from_address.recipient = transaction.sender;
  deposit.from_address.full_shard_key = inside.from_full_shard_key;
  deposit.to_address.recipient = inside.to.value_or(Recipient());
  deposit.to_address.full_shard_key = inside.to_full_shard_key;
  deposit.value = Uint256::from_bytes(bytes_of(inside.value.bytes())).value_or(Uint256());
  deposit.gas_price = Uint256::from_bytes(bytes_of(inside.gasprice.bytes())).value_or(Uint256());
  deposit.gas_token_id = inside.gas_token_id;
  deposit.transfer_token_id = inside.transfer_token_id;
  const std::uint64_t gas = inside.startgas.to_u64().value_or(0);
  deposit.gas_remained = Uint256(gas > gas_transfer + gas_xshard ? gas - gas_transfer - gas_xshard : 0);
  deposit.message_data = inside.data;
  deposit.create_contract = !inside.to;
  deposit.refund_rate = refund_all;
  return deposit;
}

} // namespace

XshardLists::XshardLists(Store& store, const RootView& root, const QuarkChainConfig& config)
    : store_(store), root_(root), config_(config) {}

std::vector<AddXshardTxListRequest> XshardLists::of(const MinorBlock& block, const Hash256& hash) const {
  const std::optional<RootBlockHeader> root = root_.header(block.header.hash_prev_root_block);
  const std::vector<std::uint32_t> initialized = config_.shards_initialized_before(root ? root->height : 0);
  const std::uint32_t branch = block.header.branch.value;
  std::map<std::uint32_t, AddXshardTxListRequest> lists;
  for (const std::uint32_t other : initialized) {
    if (other == branch || !are_neighbours(branch, other, initialized.size())) continue;
    lists[other].branch.value = other;
    lists[other].minor_block_hash = hash;
  }
  for (const TypedTransaction& typed : block.tx_list) {
    const InspectedTransaction transaction = InspectedTransaction::of(typed, config_, branch);
    const auto to = config_.full_shard_id_of_key(transaction.inside.to_full_shard_key);
    const auto list = to ? lists.find(*to) : lists.end();
    if (list != lists.end()) list->second.tx_list.tx_list.push_back(deposit_of(transaction));
  }
  std::vector<AddXshardTxListRequest> all;
  for (auto& [id, list] : lists) all.push_back(std::move(list));
  return all;
}

std::vector<AddXshardTxListRequest> XshardLists::of_genesis(std::uint32_t branch, const Hash256& hash,
                                                            std::uint32_t height) const {
  const std::vector<std::uint32_t> initialized = config_.shards_initialized_before(height);
  std::vector<AddXshardTxListRequest> all;
  for (const std::uint32_t other : initialized) {
    if (other == branch || !are_neighbours(branch, other, initialized.size())) continue;
    AddXshardTxListRequest& list = all.emplace_back();
    list.branch.value = other;
    list.minor_block_hash = hash;
  }
  return all;
}

void XshardLists::put(const AddXshardTxListRequest& list, StoreBatch& batch) {
  batch.put(keys::xshard(list.branch.value, list.minor_block_hash), keys::value(list.tx_list));
}

bool XshardLists::keep(const AddXshardTxListRequest& list) {
  const std::optional<std::string> kept = store_.get(keys::xshard(list.branch.value, list.minor_block_hash));
  if (kept && *kept != keys::value(list.tx_list))
    throw Refused(Refusal::invalid, fmt::format("another list of minor block {} for {} is kept",
                                                list.minor_block_hash.hex(), shard_text(list.branch.value)));
  if (kept) return false;
  StoreBatch batch;
  put(list, batch);
  store_.write(batch);
  return true;
}

bool XshardLists::has(std::uint32_t branch, const Hash256& minor_block) const {
  return store_.has(keys::xshard(branch, minor_block));
}

std::optional<CrossShardTransactionList> XshardLists::find(std::uint32_t branch, const Hash256& minor_block) const {
  const std::optional<std::string> kept = store_.get(keys::xshard(branch, minor_block));
  if (!kept) return std::nullopt;
  return decoded<CrossShardTransactionList>(bytes_of(*kept));
}

void XshardLists::require(const ShardConfig& ours, const MinorBlockHeader& header, const Hash256& hash) const {
  const std::optional<RootBlockHeader> before = root_.header(header.hash_prev_root_block);
  if (!before || before->height <= ours.genesis.root_height) return;
  const std::size_t initialized = config_.shards_initialized_before(before->height).size();
  const std::uint32_t own = ours.full_shard_id;
  if (!are_neighbours(header.branch.value, own, initialized) || has(own, hash)) return;
  throw Refused(Refusal::bad_message,
                fmt::format("there is no cross-shard list for {} of minor block {} at height {} of {}", shard_text(own),
                            hash.hex(), header.height, shard_text(header.branch.value)));
}

} // namespace trunkline::quarkchain

#include "services/quarkchain/shard/deposit_cursor.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/execution/transaction_rules.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {

DepositCursor::DepositCursor(const QuarkChainConfig& config, const ShardConfig& shard,
                             const Neighbourhood& neighbourhood, const ShardDatabase& database,
                             const XshardTxCursorInfo& from, RootPointPtr last)
    : config_(config), shard_(shard), neighbourhood_(neighbourhood), database_(database),
      genesis_token_(token_id(config.genesis_token).value()), last_(std::move(last)) {
  if (from.root_block_height > last_->header.height) return; // at the end
  for (RootPointPtr at = last_;; at = database_.root(at->header.hash_prev_block)) {
    if (!at)
      throw StoreFailure(
          fmt::format("root block of height {} below {} is missing", from.root_block_height, last_->hash.hex()));
    roots_.push_back(at);
    if (at->header.height == from.root_block_height) break;
  }
  begin_root();
  minor_index_ = from.minor_block_index;
  deposit_index_ = from.xshard_deposit_index;
  if (minor_index_ == 0) return;
  const auto& headers = root_->minor_block_header_list;
  list_ = minor_index_ <= headers.size() ? database_.deposits_from(hash_of(headers[minor_index_ - 1])) : nullptr;
  if (!list_)
    throw StoreFailure(fmt::format("the list of minor header {} of root block {} is missing", minor_index_,
                                   roots_.back()->hash.hex()));
}

std::optional<DueDeposit> DepositCursor::take() {
  if (!root_ || !advance()) return std::nullopt;
  const CrossShardTransactionDeposit& deposit =
      taken_.emplace_back(minor_index_ == 0 ? coinbase() : (*list_)[deposit_index_]);
  return DueDeposit{&deposit, gas_of(deposit)};
}

/// Moves to the next deposit; false at the end.
bool DepositCursor::advance() {
  ++deposit_index_;
  if (minor_index_ == 0 ? deposit_index_ == 1 : deposit_index_ < list_->size()) return true;
  deposit_index_ = 0;
  while (++minor_index_ <= root_->minor_block_header_list.size())
    if (begin_list()) return true;
  roots_.pop_back();
  minor_index_ = 0;
  if (roots_.empty()) {
    root_ = nullptr;
    return false;
  }
  begin_root();
  deposit_index_ = 1;
  return true;
}

/// Whether the minor header that it stands on has sent us anything.
bool DepositCursor::begin_list() {
  const MinorBlockHeader& header = root_->minor_block_header_list[minor_index_ - 1];
  if (header.branch.value == shard_.full_shard_id) return false;
  if (!neighbourhood_.is_neighbour(header.branch.value, root_->header.height)) return false;
  const RootPointPtr anchor = database_.root(header.hash_prev_root_block);
  // Blocks from before this shard came to be were not sent to it; its oldest root block is that of its genesis.
  if (!anchor || anchor->header.height <= shard_.genesis.root_height) return false;
  list_ = database_.deposits_from(hash_of(header));
  if (!list_)
    throw StoreFailure(fmt::format("the list of block {} of shard {} is missing", hash_of(header).hex(),
                                   shard_text(header.branch.value)));
  return !list_->empty();
}

void DepositCursor::begin_root() {
  root_ = database_.root_block(roots_.back()->hash);
  if (!root_) throw StoreFailure(fmt::format("root block {} is missing", roots_.back()->hash.hex()));
}

/// There always is one, be it of nothing.
CrossShardTransactionDeposit DepositCursor::coinbase() const {
  const RootBlockHeader& header = root_->header;
  CrossShardTransactionDeposit deposit;
  deposit.tx_hash = roots_.back()->hash;
  deposit.from_address = header.coinbase_address;
  deposit.to_address = header.coinbase_address;
  if (contains_key(shard_.full_shard_id, header.coinbase_address.full_shard_key)) {
    const BigUint amount = header.coinbase_amount_map.balance_map.of(genesis_token_);
    deposit.value = Uint256::from_bytes(bytes_of(amount.bytes())).value_or(Uint256());
  }
  deposit.gas_token_id = genesis_token_;
  deposit.transfer_token_id = genesis_token_;
  deposit.is_from_root_chain = true;
  deposit.refund_rate = 100;
  return deposit;
}

std::uint64_t DepositCursor::gas_of(const CrossShardTransactionDeposit& deposit) const {
  const bool by_origin = root_->header.height >= config_.xshard_gas_ddos_fix_root_height;
  const bool free = by_origin ? deposit.is_from_root_chain : deposit.gas_price.is_zero();
  return free ? 0 : xshard_gas;
}

XshardTxCursorInfo DepositCursor::position() const {
  const std::uint64_t height = root_ ? root_->header.height : std::uint64_t{last_->header.height} + 1;
  return {height, minor_index_, deposit_index_};
}

} // namespace trunkline::quarkchain

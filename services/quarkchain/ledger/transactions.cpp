// Transactions: those that wait, and those that blocks hold, by hash and by account.
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/ledger/state.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t cursor_bytes = 12; // the inverted height and index, as in keys::account
const std::string cursor_of_pending(1, '\0');
constexpr std::size_t looked_at_max = 100000; // entries for one page
constexpr std::uint64_t evm_gas_limit_default = 12000000; // of pyquarkchain's empty block

std::string where(const Hash256& block, std::uint32_t index) { return keys::hash(block) + keys::number(index); }

} // namespace

/// Looks inside, as far as one can without executing it.
QueuedTransaction LedgerState::inspect(const LedgerShard& of, const TypedTransaction& transaction) const {
  const std::uint32_t branch = of.config.full_shard_id;
  QueuedTransaction queued;
  queued.typed = transaction;
  try {
    queued.inside = EvmTransaction::from(transaction);
    queued.sender = queued.inside.sender();
  } catch (const TransactionFailure& failure) {
    throw Refused(Refusal::failed, failure.what());
  }
  if (!contains_key(branch, queued.inside.from_full_shard_key))
    throw Refused(Refusal::failed, fmt::format("the sender's key {} is not of {}",
                                               shard_text(queued.inside.from_full_shard_key), shard_text(branch)));
  if (!options_.config.full_shard_id_of_key(queued.inside.to_full_shard_key))
    throw Refused(Refusal::failed,
                  fmt::format("the receiver's key {} is of no chain", shard_text(queued.inside.to_full_shard_key)));
  if (queued.inside.network_id != BigUint(options_.config.network_id))
    throw Refused(Refusal::failed, fmt::format("network_id is {}, expected {}", queued.inside.network_id.to_decimal(),
                                               options_.config.network_id));
  return queued;
}

bool LedgerState::enqueue(const TypedTransaction& transaction) {
  std::uint32_t key = 0;
  try {
    key = EvmTransaction::from(transaction).from_full_shard_key;
  } catch (const TransactionFailure& failure) {
    throw Refused(Refusal::failed, failure.what());
  }
  const auto id = options_.config.full_shard_id_of_key(key);
  if (!id) throw Refused(Refusal::failed, fmt::format("the sender's key {} is of no chain", shard_text(key)));
  const auto found = shards_.find(*id);
  if (found == shards_.end() || !found->second.exists)
    throw Refused(Refusal::failed, fmt::format("{} is not run here", shard_text(*id)));
  LedgerShard& of = found->second;
  const Hash256 hash = hash_of(transaction);
  if (of.queued.contains(hash)) return false;
  const std::uint32_t max = options_.config.transaction_queue_size_limit_per_shard;
  if (of.queue.size() >= max)
    throw Refused(Refusal::failed,
                  fmt::format("{} transactions wait for {}, TRANSACTION_QUEUE_SIZE_LIMIT_PER_SHARD is {}",
                              of.queue.size(), shard_text(*id), max));
  QueuedTransaction queued = inspect(of, transaction);
  if (queued.inside.nonce < BigUint(transaction_count(of, queued.sender, of.tip.height)))
    throw Refused(Refusal::failed, fmt::format("nonce {} was used before", queued.inside.nonce.to_decimal()));
  of.queued.emplace(hash, of.queue.emplace(of.queue.end(), hash, std::move(queued)));
  ++counters_.transactions;
  return true;
}

awaitable<void> LedgerState::add_transaction(TypedTransaction transaction) {
  try {
    (void)enqueue(transaction);
  } catch (const Refused&) {
    ++counters_.transactions_refused;
    throw;
  }
  co_return;
}

/// Valid ones are kept and passed on; the rest is dropped.
awaitable<void> LedgerState::on_new_transaction_list(PeerShard from, std::vector<TypedTransaction> transactions) {
  std::vector<TypedTransaction> fresh;
  for (TypedTransaction& transaction : transactions) {
    try {
      if (enqueue(transaction)) fresh.push_back(std::move(transaction));
    } catch (const Refused&) {
      ++counters_.transactions_refused;
    }
  }
  if (fresh.empty()) co_return;
  for (const PeerShard& peer : around()->peers_of(from.branch)) {
    if (peer.cluster_peer_id == from.cluster_peer_id) continue;
    co_await sent(around()->new_transaction_list(peer, fresh));
    co_await throw_if_cancelled();
  }
}

void LedgerState::unqueue(LedgerShard& of, const MinorBlock& block) {
  for (const TypedTransaction& transaction : block.tx_list) {
    const auto found = of.queued.find(hash_of(transaction));
    if (found == of.queued.end()) continue;
    of.queue.erase(found->second);
    of.queued.erase(found);
  }
}

// What blocks hold. Entries of blocks that have left the best chain stay, and are passed over.

void LedgerState::index(const LedgerShard& of, const MinorBlock& block, const Hash256& hash, StoreBatch& batch) const {
  const std::uint32_t branch = of.config.full_shard_id;
  const std::uint64_t height = block.header.height;
  for (std::uint32_t i = 0; i < block.tx_list.size(); ++i) {
    batch.put(keys::transaction(branch, hash_of(block.tx_list[i]), hash), keys::number(i));
    const QueuedTransaction inside = inspect(of, block.tx_list[i]);
    batch.put(keys::account(branch, inside.sender, height, i) + keys::hash(hash), where(hash, i));
    const bool stays = contains_key(branch, inside.inside.to_full_shard_key);
    if (inside.inside.to && stays && *inside.inside.to != inside.sender)
      batch.put(keys::account(branch, *inside.inside.to, height, i) + keys::hash(hash), where(hash, i));
  }
}

awaitable<std::optional<FoundTransaction>> LedgerState::get_transaction(std::uint32_t branch, Hash256 hash) {
  LedgerShard& of = shard(branch);
  std::optional<FoundTransaction> found;
  const std::string prefix = keys::transaction(branch, hash);
  store_->scan(prefix, prefix, [&](std::string_view key, std::string_view value) {
    const Hash256 block_hash = keys::to_hash(key.substr(prefix.size()));
    std::optional<MinorBlock> block = minor_block(branch, block_hash);
    if (!block || !on_best_chain(branch, block->header.height, block_hash)) return true;
    found.emplace();
    found->block = std::move(*block);
    found->index = keys::to_number<std::uint32_t>(value);
    return false;
  });
  const auto queued = of.queued.find(hash);
  if (!found && queued != of.queued.end()) {
    found.emplace();
    found->block.tx_list.push_back(queued->second->second.typed);
    found->block.header.branch.value = branch;
    found->block.header.evm_gas_limit = Uint256(evm_gas_limit_default);
    found->block.meta.evm_xshard_gas_limit = Uint256(evm_gas_limit_default / 2);
  }
  co_return found;
}

TransactionDetail LedgerState::detail(const QueuedTransaction& queued) const {
  TransactionDetail detail;
  detail.tx_hash = hash_of(queued.typed);
  detail.nonce = queued.inside.nonce.to_u64().value_or(0);
  detail.from_address.recipient = queued.sender;
  detail.from_address.full_shard_key = queued.inside.from_full_shard_key;
  if (queued.inside.to) {
    detail.to_address.emplace();
    detail.to_address->recipient = *queued.inside.to;
    detail.to_address->full_shard_key = queued.inside.to_full_shard_key;
  }
  detail.value = Uint256::from_bytes(bytes_of(queued.inside.value.bytes())).value_or(Uint256());
  detail.gas_token_id = queued.inside.gas_token_id;
  detail.transfer_token_id = queued.inside.transfer_token_id;
  return detail;
}

TransactionDetail LedgerState::detail(const MinorBlock& block, std::uint32_t index) const {
  TransactionDetail of = detail(inspect(shards_.at(block.header.branch.value), block.tx_list.at(index)));
  of.block_height = block.header.height;
  of.timestamp = block.header.create_time;
  of.success = true; // nobody has executed it
  return of;
}

/// How many transactions of an account the best chain has up to a height: one more than its last nonce.
std::uint64_t LedgerState::transaction_count(const LedgerShard& of, const Recipient& who, std::uint64_t height) const {
  const std::uint32_t branch = of.config.full_shard_id;
  const std::string prefix = keys::account(branch, who);
  std::uint64_t count = 0;
  std::size_t looked_at = 0;
  store_->scan(prefix, prefix + keys::number(~height), [&](std::string_view, std::string_view value) {
    if (++looked_at > looked_at_max) return false;
    const Hash256 hash = keys::to_hash(value.substr(0, Hash256::size));
    const std::optional<MinorBlock> block = minor_block(branch, hash);
    if (!block || !on_best_chain(branch, block->header.height, hash)) return true;
    const std::uint32_t index = keys::to_number<std::uint32_t>(value.substr(Hash256::size));
    const QueuedTransaction inside = inspect(of, block->tx_list.at(index));
    if (inside.sender != who) return true;
    count = inside.inside.nonce.to_u64().value_or(0) + 1;
    return false;
  });
  return count;
}

awaitable<TransactionPage> LedgerState::get_transaction_list_by_address(Address address,
                                                                        std::optional<std::uint64_t> token,
                                                                        std::string start, std::uint32_t limit) {
  TransactionPage page;
  LedgerShard& of = shard_of(address);
  if (!options_.transaction_history) co_return page;
  const std::uint32_t branch = of.config.full_shard_id;
  const std::uint32_t count = std::min(limit, options_.page_max);
  if (start == cursor_of_pending) {
    for (const auto& [hash, queued] : of.queue) {
      const bool his = queued.sender == address.recipient || queued.inside.to == address.recipient;
      if (his && (!token || queued.inside.transfer_token_id == *token) && page.transactions.size() < count)
        page.transactions.push_back(detail(queued));
    }
    co_return page;
  }
  if (!start.empty() && start.size() != cursor_bytes)
    throw Refused(Refusal::failed,
                  fmt::format("a cursor of {} bytes, expected 0, 1 or {}", start.size(), cursor_bytes));
  const std::string prefix = keys::account(branch, address.recipient);
  std::size_t looked_at = 0;
  store_->scan(prefix, prefix + start, [&](std::string_view key, std::string_view value) {
    if (page.transactions.size() >= count || ++looked_at > looked_at_max) {
      page.next = key.substr(prefix.size(), cursor_bytes);
      return false;
    }
    const Hash256 hash = keys::to_hash(value.substr(0, Hash256::size));
    const std::optional<MinorBlock> block = minor_block(branch, hash);
    if (!block || !on_best_chain(branch, block->header.height, hash)) return true;
    TransactionDetail found = detail(*block, keys::to_number<std::uint32_t>(value.substr(Hash256::size)));
    if (!token || found.transfer_token_id == *token) page.transactions.push_back(std::move(found));
    return true;
  });
  co_return page;
}

/// From the tip down; a cursor says the height and index of the page's first one.
awaitable<TransactionPage> LedgerState::get_all_transactions(std::uint32_t branch, std::string start,
                                                             std::uint32_t limit) {
  TransactionPage page;
  LedgerShard& of = shard(branch);
  if (!options_.transaction_history) co_return page;
  const std::uint32_t count = std::min(limit, options_.page_max);
  if (start == cursor_of_pending) {
    for (const auto& [hash, queued] : of.queue)
      if (page.transactions.size() < count) page.transactions.push_back(detail(queued));
    co_return page;
  }
  if (!start.empty() && start.size() != cursor_bytes)
    throw Refused(Refusal::failed,
                  fmt::format("a cursor of {} bytes, expected 0, 1 or {}", start.size(), cursor_bytes));
  std::uint64_t height = of.tip.height;
  std::uint32_t index_max = ~std::uint32_t{0};
  if (!start.empty()) {
    height = std::min(~keys::to_number<std::uint64_t>(std::string_view(start).substr(0, 8)), of.tip.height);
    index_max = ~keys::to_number<std::uint32_t>(std::string_view(start).substr(8));
  }
  std::size_t looked_at = 0;
  for (std::uint64_t at = height + 1; at-- > 0; index_max = ~std::uint32_t{0}) {
    if (++looked_at > looked_at_max) {
      page.next = keys::number(~at) + keys::number(std::uint32_t{0});
      break;
    }
    const auto hash = store_->get(keys::minor_at(branch, at));
    const std::optional<MinorBlock> block = hash ? minor_block(branch, keys::to_hash(*hash)) : std::nullopt;
    if (!block || block->tx_list.empty()) continue;
    const auto last = static_cast<std::uint32_t>(block->tx_list.size() - 1);
    for (std::uint64_t i = std::min(last, index_max) + std::uint64_t{1}; i-- > 0;) {
      if (page.transactions.size() >= count) {
        page.next = keys::number(~at) + keys::number(~static_cast<std::uint32_t>(i));
        co_return page;
      }
      page.transactions.push_back(detail(*block, static_cast<std::uint32_t>(i)));
    }
  }
  co_return page;
}

} // namespace trunkline::quarkchain

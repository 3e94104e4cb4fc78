#include "services/quarkchain/shard/shard_reads.hpp"

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/shard/shard_keys.hpp"
#include "services/quarkchain/shard/shard_logs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t place_bytes = 9;
constexpr std::uint64_t price_blocks = 5;
constexpr std::uint64_t price_height_min = 3;
constexpr std::size_t price_percentile = 50;
constexpr std::uint64_t stats_seconds = 60;

/// The number that is one more or less, of as many bytes.
std::string stepped(std::string key, int step) {
  for (auto at = key.rbegin(); at != key.rend(); ++at) {
    const auto before = static_cast<unsigned char>(*at);
    *at = static_cast<char>(before + step);
    if (step > 0 ? before != 0xff : before != 0) break;
  }
  return key;
}

TransactionDetail detail_of(const CrossShardTransactionDeposit& deposit) {
  TransactionDetail detail;
  detail.tx_hash = deposit.tx_hash;
  detail.from_address = deposit.from_address;
  detail.to_address = deposit.to_address;
  detail.value = deposit.value;
  detail.success = true;
  detail.gas_token_id = deposit.gas_token_id;
  detail.transfer_token_id = deposit.transfer_token_id;
  detail.is_from_root_chain = deposit.is_from_root_chain;
  return detail;
}

} // namespace

ShardReads::Page ShardReads::of_address(const Recipient& who, std::optional<std::uint64_t> token,
                                        const std::string& start, std::uint32_t limit) const {
  if (!shard_.database().history()) return {};
  if (start == std::string(1, '\0')) return waiting(who, token);
  return page(shard_keys::of_address(who), start, limit, [&](const TransactionDetail& detail) {
    if (detail.is_from_root_chain) return !detail.value.is_zero();
    return !token || detail.transfer_token_id == *token;
  });
}

ShardReads::Page ShardReads::of_all(const std::string& start, std::uint32_t limit) const {
  if (!shard_.database().history()) return {};
  return page(shard_keys::of_all(), start, limit,
              [](const TransactionDetail& detail) { return !detail.is_from_root_chain; });
}

/// The store is read upwards, and what is asked for is the end: so the last ones up to `start` are kept.
ShardReads::Page ShardReads::page(const std::string& family, const std::string& start, std::uint32_t limit,
                                  const std::function<bool(const TransactionDetail&)>& wanted) const {
  const std::string last = stepped(family, 1);
  const std::string from = start.empty() || start > last ? last : start;
  std::vector<std::string> keys;
  shard_.database().store().scan(family, family, [&](std::string_view key, std::string_view) {
    if (key <= from && key.size() == family.size() + place_bytes) keys.emplace_back(key);
    return key <= from;
  });
  Page page;
  page.next = family;
  std::set<Hash256> listed;
  for (auto key = keys.rbegin(); key != keys.rend() && page.transactions.size() < limit; ++key) {
    const auto* place = bytes_of(*key).data() + family.size();
    const auto height = get_big<std::uint32_t>(place);
    const bool is_deposit = place[4] == std::byte{0};
    const auto index = get_big<std::uint32_t>(place + 5);
    const auto hash = shard_.database().minor_at(height);
    const auto block = hash ? shard_.database().minor_block(*hash) : nullptr;
    if (!block) throw StoreFailure(fmt::format("the canonical block of height {} is missing", height));
    TransactionDetail detail;
    if (is_deposit) {
      detail = quarkchain::detail_of(shard_.database().deposits_taken(*hash).at(index));
    } else {
      detail = detail_of(*SignedTransaction::of(block->tx_list.at(index)));
      detail.success = shard_.database().receipts(*hash).at(index).success;
    }
    detail.block_height = height;
    detail.timestamp = block->header.create_time;
    page.next = stepped(*key, -1);
    if (wanted(detail) && listed.insert(detail.tx_hash).second) page.transactions.push_back(std::move(detail));
  }
  return page;
}

ShardReads::Page ShardReads::waiting(const Recipient& who, std::optional<std::uint64_t> token) const {
  Page page;
  for (const SignedTransactionPtr& transaction : shard_.queue().all()) {
    if (transaction->sender != who && transaction->tx.to != who) continue;
    if (token && transaction->tx.transfer_token_id != *token) continue;
    page.transactions.push_back(detail_of(*transaction));
  }
  return page;
}

TransactionDetail ShardReads::detail_of(const SignedTransaction& transaction) const {
  const EvmTransaction& tx = transaction.tx;
  TransactionDetail detail;
  detail.tx_hash = transaction.hash;
  detail.nonce = tx.nonce.to_u64().value_or(0);
  detail.from_address = {transaction.sender, tx.from_full_shard_key};
  if (tx.to) detail.to_address = Address{*tx.to, tx.to_full_shard_key};
  detail.value = Uint256::from_bytes(bytes_of(tx.value.bytes())).value_or(Uint256());
  detail.gas_token_id = tx.gas_token_id;
  detail.transfer_token_id = tx.transfer_token_id;
  return detail;
}

std::optional<ShardReads::Found> ShardReads::transaction(const Hash256& hash) const {
  const auto place = shard_.database().transaction_place(hash);
  if (!place) return std::nullopt;
  const auto block = shard_.database().minor_at(place->first);
  Found found{block ? shard_.database().minor_block(*block) : nullptr, place->second};
  if (!found.block) throw StoreFailure(fmt::format("the canonical block of height {} is missing", place->first));
  return found;
}

std::optional<ShardReads::FoundWithReceipt> ShardReads::receipt(const Hash256& hash) const {
  const auto found = transaction(hash);
  if (!found) return std::nullopt;
  const MinorBlock& block = *found->block;
  const auto receipts = shard_.database().receipts(hash_of(block.header));
  FoundWithReceipt result{*found, {}};
  TransactionReceipt& receipt = result.receipt;
  const std::size_t index = found->index;
  if (index >= receipts.size()) {
    receipt.success = std::string(1, '\1'); // a deposit from before deposits had receipts
    return result;
  }
  const Receipt& kept = receipts[index];
  // Deposits ran first, and are behind the transactions: the first transaction follows the last deposit.
  const std::size_t transactions = block.tx_list.size();
  std::uint64_t before = 0;
  if (index == 0 && transactions > 0) before = *block.meta.evm_cross_shard_receive_gas_used.to_u64();
  else if (index != transactions) before = receipts[index - 1].cumulative_gas;
  receipt.success = kept.success ? std::string(1, '\1') : std::string();
  receipt.gas_used = kept.cumulative_gas;
  receipt.prev_gas_used = before;
  receipt.bloom = kept.bloom;
  receipt.logs = ShardLogs(shard_).of(block, found->index);
  if (kept.contract) receipt.contract_address = {*kept.contract, kept.full_shard_key};
  return result;
}

BigUint ShardReads::gas_price(std::uint64_t token) const {
  const std::uint64_t top = shard_.tips().minor->header.height;
  std::vector<BigUint> prices;
  for (std::uint64_t height = std::max(price_height_min, top < price_blocks ? 0 : top + 1 - price_blocks);
       height <= top; ++height) {
    const auto hash = shard_.database().minor_at(height);
    const auto block = hash ? shard_.database().minor_block(*hash) : nullptr;
    if (!block) throw StoreFailure(fmt::format("the canonical block of height {} is missing", height));
    for (const TypedTransaction& typed : block->tx_list) {
      const EvmTransaction tx = EvmTransaction::from(typed);
      if (tx.gas_token_id == token) prices.push_back(tx.gasprice);
    }
  }
  if (prices.empty()) return shard_.config().min_tx_pool_gas_price;
  std::sort(prices.begin(), prices.end());
  return prices[(prices.size() - 1) * price_percentile / 100];
}

ShardStats ShardReads::stats() const {
  const ShardDatabase& database = shard_.database();
  const MinorPointPtr tip = shard_.tips().minor;
  ShardStats stats;
  stats.branch.value = shard_.shard().full_shard_id;
  stats.height = tip->header.height;
  stats.difficulty = tip->header.difficulty;
  stats.coinbase_address = tip->header.coinbase_address;
  stats.timestamp = tip->header.create_time;
  stats.pending_tx_count = static_cast<std::uint32_t>(shard_.queue().size());
  stats.total_tx_count = database.transactions_count(tip->hash);
  for (MinorPointPtr at = tip; at->header.height > 0 && at->header.create_time + stats_seconds > stats.timestamp;) {
    const MinorPointPtr parent = database.minor(at->header.hash_prev_minor_block);
    if (!parent) throw StoreFailure("block " + at->header.hash_prev_minor_block.hex() + " is missing");
    stats.tx_count60s += database.transactions_count(at->hash) - database.transactions_count(parent->hash);
    ++stats.block_count60s;
    stats.stale_block_count60s += shard_.others_seen(at->header.height);
    if (at == tip) stats.last_block_time = static_cast<std::uint32_t>(stats.timestamp - parent->header.create_time);
    at = parent;
  }
  return stats;
}

EcoInfo ShardReads::eco_info(std::uint64_t now) const {
  const MinorBlockHeader& tip = shard_.tips().minor->header;
  EcoInfo info;
  info.branch.value = shard_.shard().full_shard_id;
  info.height = tip.height + 1;
  // What pyquarkchain says: as if all that waits used up all of its gas.
  BigUint fees;
  for (const SignedTransactionPtr& transaction : shard_.queue().all())
    fees = fees + transaction->tx.gasprice * transaction->tx.startgas;
  const auto word = [](const BigUint& number) {
    return Uint256::from_bytes(bytes_of(number.bytes())).value_or(Uint256());
  };
  info.coinbase_amount = word(fees);
  info.difficulty =
      shard_.rules().difficulty().next(tip.difficulty, tip.create_time, std::max(now, tip.create_time + 1));
  BigUint unconfirmed;
  const std::uint64_t token = token_id(shard_.config().genesis_token).value();
  for (const MinorBlockHeader& header : shard_.unconfirmed_headers())
    unconfirmed = unconfirmed + header.coinbase_amount_map.balance_map.of(token);
  info.unconfirmed_headers_coinbase_amount = word(unconfirmed);
  return info;
}

std::pair<BigUint, Hash256> ShardReads::total_balance(const Hash256& minor, std::uint64_t token,
                                                      const std::optional<Hash256>& after, std::uint32_t limit) const {
  const MinorPointPtr point = shard_.database().minor(minor);
  if (!point) throw StoreFailure("block " + minor.hex() + " is not held");
  std::pair<BigUint, Hash256> total;
  std::uint32_t seen = 0;
  if (limit == 0) return total;
  shard_.executor().accounts(shard_.state_after(*point), after,
                             [&](const Hash256& key, const Recipient&, const AccountState& account) {
                               if (seen == limit) return false;
                               total.first = total.first + account.balances.of(token);
                               total.second = key;
                               ++seen;
                               return true;
                             });
  if (seen < limit) total.second = Hash256();
  return total;
}

BigUint ShardReads::waiting_deposits(const Hash256& minor, const Hash256& root, std::uint64_t token) const {
  const ShardDatabase& database = shard_.database();
  const MinorPointPtr point = database.minor(minor);
  const RootPointPtr last = database.root(root);
  // Of the tip pyquarkchain cannot tell where its successor will begin to take.
  const auto above = point ? database.minor_at(point->header.height + 1) : std::nullopt;
  const MinorPointPtr next = above ? database.minor(*above) : nullptr;
  BigUint sum;
  if (!last || !next || next->header.hash_prev_minor_block != minor) return sum;
  DepositCursor cursor(shard_.config(), shard_.shard(), shard_.neighbourhood(), database,
                       point->meta.xshard_tx_cursor_info, last);
  while (const auto due = cursor.take())
    if (due->deposit->transfer_token_id == token) sum = sum + due->deposit->value.to_big();
  return sum;
}

} // namespace trunkline::quarkchain

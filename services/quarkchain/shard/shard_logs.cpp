#include "services/quarkchain/shard/shard_logs.hpp"

#include "services/quarkchain/chain/hashes.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::quarkchain {
namespace {

bool matches(const Log& log, const GetLogRequest& filter) {
  const auto is_of = [&](const Address& address) { return address.recipient == log.recipient; };
  if (!filter.addresses.empty() && std::ranges::none_of(filter.addresses, is_of)) return false;
  for (std::size_t i = 0; i < std::min(filter.topics.size(), log.topics.size()); ++i) {
    const std::vector<Hash256>& wanted = filter.topics[i];
    if (!wanted.empty() && std::ranges::find(wanted, log.topics[i]) == wanted.end()) return false;
  }
  return true;
}

} // namespace

std::vector<Log> ShardLogs::of(const MinorBlock& block, const Hash256& hash, std::uint32_t index,
                               const Receipt& receipt) const {
  std::vector<Log> logs;
  if (receipt.logs.empty()) return logs;
  Hash256 transaction;
  if (index < block.tx_list.size()) transaction = hash_of(block.tx_list[index]);
  else transaction = shard_.database().deposits_taken_hashes(hash).at(index - block.tx_list.size());
  for (const ReceiptLog& kept : receipt.logs) {
    Log& log = logs.emplace_back();
    log.recipient = kept.recipient;
    log.topics.assign(kept.topics.begin(), kept.topics.end());
    log.data = kept.data;
    log.block_number = block.header.height;
    log.block_hash = hash;
    log.tx_idx = index;
    log.tx_hash = transaction;
    log.log_idx = static_cast<std::uint32_t>(logs.size() - 1);
  }
  return logs;
}

std::vector<Log> ShardLogs::of(const MinorBlock& block, std::uint32_t index) const {
  const Hash256 hash = hash_of(block.header);
  const std::vector<Receipt> receipts = shard_.database().receipts(hash);
  return index < receipts.size() ? of(block, hash, index, receipts[index]) : std::vector<Log>();
}

std::optional<std::vector<Log>> ShardLogs::matching(const GetLogRequest& filter) const {
  const std::uint32_t own = shard_.shard().full_shard_id;
  for (const Address& address : filter.addresses)
    if (address.full_shard_key != filter.addresses.front().full_shard_key ||
        shard_.config().full_shard_id_of_key(address.full_shard_key) != own)
      return std::nullopt;
  if (filter.end_block > shard_.tips().minor->header.height) return std::nullopt;
  if (filter.end_block >= filter.start_block && filter.end_block - filter.start_block >= blocks_max)
    return std::nullopt;
  std::vector<Log> logs;
  for (std::uint64_t height = filter.start_block; height <= filter.end_block; ++height) {
    const auto hash = shard_.database().minor_at(height);
    const auto point = hash ? shard_.database().minor(*hash) : nullptr;
    if (!point) throw StoreFailure(fmt::format("the canonical block of height {} is missing", height));
    if (point->header.bloom.is_zero()) continue;
    const auto block = shard_.database().minor_block(*hash);
    std::uint32_t index = 0;
    for (const Receipt& receipt : shard_.database().receipts(*hash)) {
      for (Log& log : of(*block, *hash, index, receipt))
        if (matches(log, filter)) logs.push_back(std::move(log));
      ++index;
    }
  }
  return logs;
}

} // namespace trunkline::quarkchain

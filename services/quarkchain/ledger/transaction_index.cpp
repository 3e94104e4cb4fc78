#include "services/quarkchain/ledger/transaction_index.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/ledger/keys.hpp"
#include "services/quarkchain/rpc/refusal.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t cursor_bytes = 12; // the inverted height and index, as in keys::account
const std::string cursor_of_pending(1, '\0');
constexpr std::size_t looked_at_max = 100000; // entries for one page
constexpr std::uint64_t evm_gas_limit_default = 12000000; // of pyquarkchain's empty block

std::string where(const Hash256& block, std::uint32_t index) { return keys::hash(block) + keys::number(index); }

void check_cursor(const std::string& start) {
  if (!start.empty() && start.size() != cursor_bytes)
    throw Refused(Refusal::failed,
                  fmt::format("a cursor of {} bytes, expected 0, 1 or {}", start.size(), cursor_bytes));
}

} // namespace

TransactionIndex::TransactionIndex(const Store& store, const MinorChain& chain, const TransactionQueue& queue,
                                   const QuarkChainConfig& config, std::uint32_t page_max)
    : store_(store), chain_(chain), queue_(queue), config_(config), page_max_(page_max) {}

InspectedTransaction TransactionIndex::inspect(const TypedTransaction& transaction) const {
  return InspectedTransaction::of(transaction, config_, chain_.branch());
}

void TransactionIndex::add(const MinorBlock& block, const Hash256& hash, StoreBatch& batch) const {
  const std::uint32_t branch = chain_.branch();
  const std::uint64_t height = block.header.height;
  for (std::uint32_t i = 0; i < block.tx_list.size(); ++i) {
    batch.put(keys::transaction(branch, hash_of(block.tx_list[i]), hash), keys::number(i));
    const InspectedTransaction of = inspect(block.tx_list[i]);
    batch.put(keys::account(branch, of.sender, height, i) + keys::hash(hash), where(hash, i));
    const bool stays = contains_key(branch, of.inside.to_full_shard_key);
    if (of.inside.to && stays && *of.inside.to != of.sender)
      batch.put(keys::account(branch, *of.inside.to, height, i) + keys::hash(hash), where(hash, i));
  }
}

std::optional<GetTransactionResponse> TransactionIndex::find(const Hash256& hash) const {
  std::optional<GetTransactionResponse> found;
  const std::string prefix = keys::transaction(chain_.branch(), hash);
  store_.scan(prefix, prefix, [&](std::string_view key, std::string_view value) {
    const Hash256 block_hash = keys::to_hash(key.substr(prefix.size()));
    std::optional<MinorBlock> block = chain_.block(block_hash);
    if (!block || !chain_.is_best(block->header.height, block_hash)) return true;
    found.emplace();
    found->minor_block = std::move(*block);
    found->index = keys::to_number<std::uint32_t>(value);
    return false;
  });
  const InspectedTransaction* const waiting = queue_.find(hash);
  if (!found && waiting) {
    found.emplace();
    found->minor_block.tx_list.push_back(waiting->typed);
    found->minor_block.header.branch.value = chain_.branch();
    found->minor_block.header.evm_gas_limit = Uint256(evm_gas_limit_default);
    found->minor_block.meta.evm_xshard_gas_limit = Uint256(evm_gas_limit_default / 2);
  }
  return found;
}

TransactionDetail TransactionIndex::detail(const InspectedTransaction& transaction) {
  const EvmTransaction& inside = transaction.inside;
  TransactionDetail detail;
  detail.tx_hash = hash_of(transaction.typed);
  detail.nonce = inside.nonce.to_u64().value_or(0);
  detail.from_address.recipient = transaction.sender;
  detail.from_address.full_shard_key = inside.from_full_shard_key;
  if (inside.to) {
    detail.to_address.emplace();
    detail.to_address->recipient = *inside.to;
    detail.to_address->full_shard_key = inside.to_full_shard_key;
  }
  detail.value = Uint256::from_bytes(bytes_of(inside.value.bytes())).value_or(Uint256());
  detail.gas_token_id = inside.gas_token_id;
  detail.transfer_token_id = inside.transfer_token_id;
  return detail;
}

TransactionDetail TransactionIndex::detail(const MinorBlock& block, std::uint32_t index) const {
  TransactionDetail of = detail(inspect(block.tx_list.at(index)));
  of.block_height = block.header.height;
  of.timestamp = block.header.create_time;
  of.success = true; // nobody has executed it
  return of;
}

std::uint64_t TransactionIndex::count(const Recipient& who, std::uint64_t height) const {
  const std::string prefix = keys::account(chain_.branch(), who);
  std::uint64_t count = 0;
  std::size_t looked_at = 0;
  store_.scan(prefix, prefix + keys::number(~height), [&](std::string_view, std::string_view value) {
    if (++looked_at > looked_at_max) return false;
    const Hash256 hash = keys::to_hash(value.substr(0, Hash256::size));
    const std::optional<MinorBlock> block = chain_.block(hash);
    if (!block || !chain_.is_best(block->header.height, hash)) return true;
    const std::uint32_t index = keys::to_number<std::uint32_t>(value.substr(Hash256::size));
    const InspectedTransaction of = inspect(block->tx_list.at(index));
    if (of.sender != who) return true;
    count = of.inside.nonce.to_u64().value_or(0) + 1;
    return false;
  });
  return count;
}

TransactionIndex::Page TransactionIndex::of_address(const GetTransactionListByAddressRequest& request) const {
  Page page;
  const Recipient& who = request.address.recipient;
  const std::optional<std::uint64_t>& token = request.transfer_token_id;
  const std::uint32_t count = std::min(request.limit, page_max_);
  if (request.start == cursor_of_pending) {
    for (const auto& [hash, queued] : queue_) {
      const bool his = queued.sender == who || queued.inside.to == who;
      if (his && (!token || queued.inside.transfer_token_id == *token) && page.details.size() < count)
        page.details.push_back(detail(queued));
    }
    return page;
  }
  check_cursor(request.start);
  const std::string prefix = keys::account(chain_.branch(), who);
  std::size_t looked_at = 0;
  store_.scan(prefix, prefix + request.start, [&](std::string_view key, std::string_view value) {
    if (page.details.size() >= count || ++looked_at > looked_at_max) {
      page.next = key.substr(prefix.size(), cursor_bytes);
      return false;
    }
    const Hash256 hash = keys::to_hash(value.substr(0, Hash256::size));
    const std::optional<MinorBlock> block = chain_.block(hash);
    if (!block || !chain_.is_best(block->header.height, hash)) return true;
    TransactionDetail found = detail(*block, keys::to_number<std::uint32_t>(value.substr(Hash256::size)));
    if (!token || found.transfer_token_id == *token) page.details.push_back(std::move(found));
    return true;
  });
  return page;
}

/// From the tip down; a cursor says the height and index of the page's first one.
TransactionIndex::Page TransactionIndex::all(const std::string& start, std::uint32_t limit) const {
  Page page;
  const std::uint32_t count = std::min(limit, page_max_);
  if (start == cursor_of_pending) {
    for (const auto& [hash, queued] : queue_)
      if (page.details.size() < count) page.details.push_back(detail(queued));
    return page;
  }
  check_cursor(start);
  std::uint64_t height = chain_.tip().height;
  std::uint32_t index_max = ~std::uint32_t{0};
  if (!start.empty()) {
    height = std::min(~keys::to_number<std::uint64_t>(std::string_view(start).substr(0, 8)), height);
    index_max = ~keys::to_number<std::uint32_t>(std::string_view(start).substr(8));
  }
  std::size_t looked_at = 0;
  for (std::uint64_t at = height + 1; at-- > 0; index_max = ~std::uint32_t{0}) {
    if (++looked_at > looked_at_max) {
      page.next = keys::number(~at) + keys::number(std::uint32_t{0});
      break;
    }
    const std::optional<Hash256> hash = chain_.at(at);
    const std::optional<MinorBlock> block = hash ? chain_.block(*hash) : std::nullopt;
    if (!block || block->tx_list.empty()) continue;
    const auto last = static_cast<std::uint32_t>(block->tx_list.size() - 1);
    for (std::uint64_t i = std::min(last, index_max) + std::uint64_t{1}; i-- > 0;) {
      if (page.details.size() >= count) {
        page.next = keys::number(~at) + keys::number(~static_cast<std::uint32_t>(i));
        return page;
      }
      page.details.push_back(detail(*block, static_cast<std::uint32_t>(i)));
    }
  }
  return page;
}

} // namespace trunkline::quarkchain

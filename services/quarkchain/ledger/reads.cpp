// Answers from what is held: blocks, headers, and the accounts as genesis made them.
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/ledger/state.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::quarkchain {

const LedgerAccount* LedgerState::account(const LedgerShard& of, const Recipient& who) const {
  const auto found = of.accounts.find(keccak256(who));
  return found == of.accounts.end() ? nullptr : &found->second.second;
}

namespace {

void require_height(std::optional<std::uint64_t> height, const MinorBlockHeader& tip) {
  if (height && *height > tip.height)
    throw Refused(Refusal::failed, fmt::format("height {} is above the tip's {}", *height, tip.height));
}

} // namespace

std::vector<MinorBlockHeader> LedgerState::unconfirmed(const LedgerShard& of) const {
  const std::uint32_t id = of.config.full_shard_id;
  const Hash256 base = base_of(of, *root_tip_, root_tip_hash_);
  const bool confirmed = store_->has(keys::confirmed(id, root_tip_hash_));
  std::vector<MinorBlockHeader> headers;
  Hash256 at = of.tip_hash;
  for (auto header = minor_header(id, at); header; header = minor_header(id, at)) {
    if (at == base && confirmed) break;
    const bool genesis = at == base;
    at = header->hash_prev_minor_block;
    headers.push_back(std::move(*header));
    if (genesis) break; // the root chain has to confirm it, too
  }
  std::ranges::reverse(headers);
  const std::size_t max = options_.config.minor_headers_max(of.config);
  if (headers.size() > max) headers.resize(max);
  return headers;
}

awaitable<std::vector<HeadersInfo>> LedgerState::get_unconfirmed_headers() {
  std::vector<HeadersInfo> infos;
  for (const std::uint32_t id : shards()) {
    HeadersInfo info;
    info.branch.value = id;
    info.header_list = unconfirmed(shards_.at(id));
    infos.push_back(std::move(info));
  }
  co_return infos;
}

awaitable<std::vector<AccountBranchData>> LedgerState::get_account_data(Address address,
                                                                        std::optional<std::uint64_t> height) {
  std::vector<AccountBranchData> all;
  for (const std::uint32_t id : shards()) {
    const LedgerShard& of = shards_.at(id);
    if (height && contains_key(id, address.full_shard_key)) require_height(height, of.tip);
    AccountBranchData data;
    data.branch.value = id;
    const std::uint64_t count =
        transaction_count(of, address.recipient, height ? std::min(*height, of.tip.height) : of.tip.height);
    data.transaction_count = Uint256(count);
    if (const LedgerAccount* const held = account(of, address.recipient)) {
      data.token_balances.balance_map = held->balances;
      data.is_contract = !held->code.empty();
    }
    all.push_back(std::move(data));
  }
  co_return all;
}

awaitable<std::optional<FoundMinorBlock>> LedgerState::get_minor_block(std::uint32_t branch, Hash256 hash, bool) {
  (void)shard(branch);
  std::optional<MinorBlock> block = minor_block(branch, hash);
  std::optional<FoundMinorBlock> found;
  if (block) {
    found.emplace();
    found->block = std::move(*block);
  }
  co_return found;
}

awaitable<std::optional<FoundMinorBlock>> LedgerState::get_minor_block_at(std::uint32_t branch, std::uint64_t height,
                                                                          bool need_extra_info) {
  (void)shard(branch);
  const auto hash = store_->get(keys::minor_at(branch, height));
  std::optional<FoundMinorBlock> found;
  if (hash) found = co_await get_minor_block(branch, keys::to_hash(*hash), need_extra_info);
  co_return found;
}

awaitable<Hash256> LedgerState::get_storage(Address address, Uint256 key, std::optional<std::uint64_t> height) {
  const LedgerShard& of = shard_of(address);
  require_height(height, of.tip);
  Hash256 value;
  if (const LedgerAccount* const held = account(of, address.recipient)) {
    const auto found = held->storage.find(key);
    if (found != held->storage.end()) value = *Hash256::from_bytes(found->second.bytes());
  }
  co_return value;
}

awaitable<std::string> LedgerState::get_code(Address address, std::optional<std::uint64_t> height) {
  const LedgerShard& of = shard_of(address);
  require_height(height, of.tip);
  const LedgerAccount* const held = account(of, address.recipient);
  std::string code;
  if (held) code = held->code;
  co_return code;
}

/// The least that is taken: nobody has paid anything here.
awaitable<std::uint64_t> LedgerState::gas_price(std::uint32_t branch, std::uint64_t) {
  (void)shard(branch);
  co_return options_.config.min_tx_pool_gas_price.to_u64().value_or(0);
}

awaitable<void> LedgerState::check_minor_block(MinorBlockHeader header) {
  const LedgerShard& of = shard(header.branch.value);
  const Hash256 hash = hash_of(header);
  const std::optional<MinorBlock> block = minor_block(of.config.full_shard_id, hash);
  if (!block) throw Refused(Refusal::bad_message, fmt::format("minor block {} is not held", hash.hex()));
  if (header.height == of.config.genesis.height) co_return;
  if (header.hash_meta != hash_of(block->meta) || block->meta.hash_merkle_root != merkle_root(block->tx_list) ||
      !minor_header(of.config.full_shard_id, header.hash_prev_minor_block))
    throw Refused(Refusal::bad_message, fmt::format("minor block {} does not fit together", hash.hex()));
}

awaitable<BalancePage> LedgerState::get_total_balance(BalanceQuery query) {
  const LedgerShard& of = shard(query.branch);
  if (!minor_header(query.branch, query.minor_block_hash))
    throw Refused(Refusal::failed, fmt::format("minor block {} is not held", query.minor_block_hash.hex()));
  BalancePage page;
  page.next.assign(Hash256::size, '\0');
  std::uint32_t seen = 0;
  for (auto at = of.accounts.lower_bound(query.start.value_or(Hash256())); at != of.accounts.end(); ++at) {
    if (++seen > query.limit) {
      page.next = keys::hash(at->first);
      break;
    }
    page.total_balance = page.total_balance + at->second.second.balances.of(BigUint(query.token_id));
  }
  co_return page;
}

awaitable<std::vector<MinorBlock>> LedgerState::get_minor_block_list(std::uint32_t branch,
                                                                     std::vector<Hash256> hashes) {
  (void)shard(branch);
  std::vector<MinorBlock> blocks;
  for (const Hash256& hash : hashes)
    if (std::optional<MinorBlock> block = minor_block(branch, hash)) blocks.push_back(std::move(*block));
  co_return blocks;
}

awaitable<MinorHeaderPage> LedgerState::get_minor_block_header_list(std::uint32_t branch, HeaderQuery query) {
  const LedgerShard& of = shard(branch);
  MinorHeaderPage page;
  page.root_tip = *root_tip_;
  page.shard_tip = of.tip;
  std::optional<MinorBlockHeader> header;
  if (query.hash) {
    header = minor_header(branch, *query.hash);
    const bool steps = query.skip > 0 || query.towards_tip; // these walk along the best chain
    if (header && steps && !on_best_chain(branch, header->height, *query.hash)) header.reset();
  } else if (const auto height = query.height.to_u64()) {
    const auto hash = store_->get(keys::minor_at(branch, *height));
    if (hash) header = minor_header(branch, keys::to_hash(*hash));
  }
  const std::uint64_t step = std::uint64_t{query.skip} + 1;
  while (header && page.headers.size() < query.limit) {
    const std::uint64_t height = header->height;
    const Hash256 before = header->hash_prev_minor_block;
    page.headers.push_back(std::move(*header));
    header.reset();
    if (!query.towards_tip && step == 1) {
      if (height > of.config.genesis.height) header = minor_header(branch, before);
      continue;
    }
    if (query.towards_tip ? of.tip.height - std::min(of.tip.height, height) < step : height < step) break;
    const auto hash = store_->get(keys::minor_at(branch, query.towards_tip ? height + step : height - step));
    if (hash) header = minor_header(branch, keys::to_hash(*hash));
  }
  co_return page;
}

} // namespace trunkline::quarkchain

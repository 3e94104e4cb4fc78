// The ledger's beginning: what it is made from, and what it takes up from its store.
#include "services/quarkchain/ledger/ledger.hpp"

#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/ledger/state.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <fmt/format.h>

#include <chrono>

namespace trunkline::quarkchain {

LedgerOptions LedgerOptions::of(const ClusterConfig& config, std::string_view slave_id) {
  LedgerOptions options;
  options.config = config.quarkchain;
  options.full_shard_ids = config.slave(slave_id).full_shard_id_list;
  options.transaction_history = config.enable_transaction_history;
  return options;
}

std::shared_ptr<Ledger> make_ledger(LedgerOptions options, std::unique_ptr<Store> store) {
  return std::make_shared<LedgerState>(std::move(options), std::move(store));
}

LedgerState::LedgerState(LedgerOptions options, std::unique_ptr<Store> store)
    : options_(std::move(options)), store_(std::move(store)) {
  if (!options_.unix_time)
    options_.unix_time = [] {
      const auto since = std::chrono::system_clock::now().time_since_epoch();
      return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(since).count());
    };
  for (const std::uint32_t id : options_.full_shard_ids) {
    const ShardConfig* const config = options_.config.find_shard(id);
    if (!config) throw ConfigFailure("ledger: shard " + shard_text(id) + " is in no chain");
    LedgerShard& of = shards_[id];
    of.config = *config;
    for (const GenesisAccount& given : config->genesis.alloc) {
      auto& [recipient, account] = of.accounts[keccak256(given.address.recipient)];
      recipient = given.address.recipient;
      for (const auto& [name, amount] : given.balances)
        if (const auto token = token_id(name)) account.balances.add(BigUint(*token), amount);
      if (given.code) account.code = *given.code;
      for (const auto& [key, value] : given.storage) {
        const auto word = Uint256::from_bytes(bytes_of(key.bytes()));
        const auto content = Uint256::from_bytes(bytes_of(value.bytes()));
        if (word && content) account.storage[*word] = *content;
      }
    }
  }

  const RootBlock genesis = genesis_root_block(options_.config.root.genesis);
  const Hash256 genesis_hash = hash_of(genesis.header);
  const std::optional<std::string> kept = store_->get(keys::genesis);
  if (kept && keys::to_hash(*kept) != genesis_hash)
    throw ConfigFailure(
        fmt::format("ledger: the store is of root genesis {}, expected {}", to_hex(*kept), genesis_hash.hex()));
  if (!kept) {
    take_genesis(genesis);
    return;
  }
  root_tip_hash_ = keys::to_hash(store_->get(keys::root_tip).value_or(std::string()));
  root_tip_ = root_header(root_tip_hash_);
  if (!root_tip_) throw StoreFailure("the store has no root tip");
  for (auto& [id, of] : shards_) {
    const std::optional<std::string> tip = store_->get(keys::tip(id));
    if (!tip) continue;
    of.tip_hash = keys::to_hash(*tip);
    const std::optional<MinorBlockHeader> header = minor_header(id, of.tip_hash);
    if (!header) throw StoreFailure("the store has no tip of shard " + shard_text(id));
    of.tip = *header;
    of.exists = true;
  }
}

std::vector<std::uint32_t> LedgerState::shards() const {
  std::vector<std::uint32_t> existing;
  for (const std::uint32_t id : options_.full_shard_ids)
    if (shards_.at(id).exists) existing.push_back(id);
  return existing;
}

std::shared_ptr<BackendHost> LedgerState::around() const {
  std::shared_ptr<BackendHost> live = surroundings_.lock();
  if (!live) throw Refused(Refusal::failed, "the slave is not running");
  return live;
}

LedgerShard& LedgerState::shard(std::uint32_t branch) {
  const auto found = shards_.find(branch);
  if (found == shards_.end() || !found->second.exists)
    throw Refused(Refusal::bad_message, fmt::format("branch {} is not run here", shard_text(branch)));
  return found->second;
}

LedgerShard& LedgerState::shard_of(const Address& address) {
  const auto id = options_.config.full_shard_id_of_key(address.full_shard_key);
  if (!id) throw Refused(Refusal::failed, fmt::format("key {} is of no chain", shard_text(address.full_shard_key)));
  return shard(*id);
}

std::optional<RootBlockHeader> LedgerState::root_tip() const { return root_tip_; }

std::optional<MinorBlockHeader> LedgerState::tip_of(std::uint32_t full_shard_id) const {
  const auto found = shards_.find(full_shard_id);
  if (found == shards_.end() || !found->second.exists) return std::nullopt;
  return found->second.tip;
}

} // namespace trunkline::quarkchain

#include "services/quarkchain/chain/config.hpp"

#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/chain/unread_settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <set>
#include <unordered_map>

namespace trunkline::quarkchain {
namespace {

constexpr std::uint32_t chains_max = 1 << 16;
constexpr std::uint32_t shard_size_max = 1 << 15;
constexpr std::size_t shards_max = 1 << 16;
constexpr unsigned percent = 100; // the largest denominator of a rate

[[noreturn]] void fail(const std::string& key, const std::string& expected, const std::string& seen) {
  throw ConfigFailure("cluster_config: " + key + ": expected " + expected + ", seen " + seen);
}

/// What was asked for, while somebody wants to know: see unread_settings.
thread_local std::set<const Json*>* asked_for = nullptr;

/// One object of the file and where it is. Members that nobody asks for are left alone; those that may be missing keep
/// what they have; null is like missing.
class Section {
 public:
  Section(const Json& json, std::string path) : json_(json), path_(std::move(path)) {
    if (asked_for) asked_for->insert(&json);
    if (json.kind != Json::Kind::object) fail(path_.empty() ? "the file" : path_, "an object", json.describe());
  }

  std::string key(std::string_view name) const {
    return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
  }
  const Json* find(std::string_view name) const {
    const Json* found = json_.find(name);
    if (found && asked_for) asked_for->insert(found);
    return found && !found->is_null() ? found : nullptr;
  }
  /// These were checked, and nobody makes anything of them.
  void unused(std::initializer_list<std::string_view> names) const {
    if (!asked_for) return;
    for (const std::string_view name : names) asked_for->erase(json_.find(name));
  }
  const Json& required(std::string_view name, const char* what) const {
    const Json* found = find(name);
    if (!found) fail(key(name), what, json_.find(name) ? "null" : "nothing");
    return *found;
  }
  Section section(std::string_view name) const { return Section(required(name, "an object"), key(name)); }
  std::optional<Section> optional_section(std::string_view name) const {
    const Json* found = find(name);
    return found ? std::optional<Section>(std::in_place, *found, key(name)) : std::nullopt;
  }
  const std::vector<Json>& list(std::string_view name) const {
    const Json& found = required(name, "a list");
    if (found.kind != Json::Kind::list) fail(key(name), "a list", found.describe());
    return found.items;
  }

  void read(std::string_view name, bool& into) const {
    const Json* found = find(name);
    if (!found) return;
    if (found->kind != Json::Kind::boolean) fail(key(name), "true or false", found->describe());
    into = found->boolean;
  }
  void read(std::string_view name, std::string& into) const {
    const Json* found = find(name);
    if (!found) return;
    if (found->kind != Json::Kind::text) fail(key(name), "a text", found->describe());
    into = found->text;
  }
  void read(std::string_view name, BigUint& into) const {
    const Json* found = find(name);
    if (!found) return;
    const auto number = found->kind == Json::Kind::number ? BigUint::from_decimal(found->text) : std::nullopt;
    if (!number) fail(key(name), "an integer from 0", found->describe());
    into = *number;
  }
  template <std::unsigned_integral Number>
    requires(!std::is_same_v<Number, bool>)
  void read(std::string_view name, Number& into) const {
    read_up_to(name, std::numeric_limits<Number>::max(), into);
  }
  template <class Number> void read_up_to(std::string_view name, std::uint64_t max, Number& into) const {
    const Json* found = find(name);
    if (!found) return;
    const auto number = found->kind == Json::Kind::number ? BigUint::from_decimal(found->text) : std::nullopt;
    const auto small = number ? number->to_u64() : std::nullopt;
    if (!small || *small > max) fail(key(name), fmt::format("an integer of 0 to {}", max), found->describe());
    into = static_cast<Number>(*small);
  }
  void read(std::string_view name, std::optional<std::uint64_t>& into) const {
    if (find(name)) read(name, into.emplace());
  }
  void read(std::string_view name, double& into) const {
    const Json* found = find(name);
    if (!found) return;
    if (found->kind != Json::Kind::number ||
        !(std::isfinite(into = std::strtod(found->text.c_str(), nullptr)) && into >= 0))
      fail(key(name), "a number from 0", found->describe());
  }
  template <std::size_t Size> void read(std::string_view name, FixedBytes<Size>& into) const {
    const Json* found = find(name);
    if (!found) return;
    const auto bytes = found->kind == Json::Kind::text ? FixedBytes<Size>::from_hex(found->text) : std::nullopt;
    if (!bytes) fail(key(name), fmt::format("{} hexadecimal digits", 2 * Size), found->describe());
    into = *bytes;
  }
  void read(std::string_view name, Address& into) const {
    const Json* found = find(name);
    if (found) into = address_of(key(name), *found);
  }
  void read_hex(std::string_view name, std::string& into) const {
    const Json* found = find(name);
    if (!found) return;
    const auto bytes = found->kind == Json::Kind::text ? from_hex(found->text) : std::nullopt;
    if (!bytes) fail(key(name), "bytes in hexadecimal", found->describe());
    into = *bytes;
  }
  void read(std::string_view name, ConsensusType& into) const {
    constexpr std::string_view names[] = {"NONE", "POW_ETHASH", "POW_DOUBLESHA256", "POW_SIMULATE", "POW_QKCHASH"};
    const Json& found = required(name, "a consensus type");
    const auto known = std::find(std::begin(names), std::end(names), found.text);
    if (found.kind != Json::Kind::text || known == std::end(names))
      fail(key(name), "one of NONE, POW_ETHASH, POW_DOUBLESHA256, POW_SIMULATE, POW_QKCHASH", found.describe());
    into = static_cast<ConsensusType>(known - std::begin(names));
  }
  void read(std::string_view name, Fraction& into) const;

  static Recipient recipient_of(const std::string& key, const Json& json) {
    const auto recipient = json.kind == Json::Kind::text ? Recipient::from_hex(json.text) : std::nullopt;
    if (!recipient) fail(key, "40 hexadecimal digits", json.describe());
    return *recipient;
  }
  static Address address_of(const std::string& key, const Json& json) {
    const auto bytes = json.kind == Json::Kind::text ? FixedBytes<24>::from_hex(json.text) : std::nullopt;
    if (!bytes) fail(key, "an address of 48 hexadecimal digits", json.describe());
    return address_of(*bytes);
  }
  static Address address_of(const FixedBytes<24>& bytes) {
    const std::span<const std::byte> all = bytes;
    Address address;
    address.recipient = *Recipient::from_bytes(all.first(Recipient::size));
    for (const std::byte byte : all.last(4))
      address.full_shard_key = address.full_shard_key << 8 | static_cast<std::uint32_t>(byte);
    return address;
  }

 private:
  const Json& json_;
  std::string path_;
};

void Section::read(std::string_view name, Fraction& into) const {
  const Json* found = find(name);
  if (!found) return;
  const auto value =
      found->kind == Json::Kind::number ? Fraction::of(std::strtod(found->text.c_str(), nullptr)) : std::nullopt;
  if (!value) fail(key(name), "a part of 0 to 1 with a denominator of at most 100", found->describe());
  into = *value;
}

void read_consensus(const Section& section, ConsensusType& type, PowConfig& config) {
  section.read("CONSENSUS_TYPE", type);
  if (type == ConsensusType::none) return;
  const Section pow = section.section("CONSENSUS_CONFIG");
  pow.read("TARGET_BLOCK_TIME", config.target_block_time);
  pow.read("REMOTE_MINE", config.remote_mine);
  if (config.target_block_time == 0) fail(pow.key("TARGET_BLOCK_TIME"), "at least 1", "0");
}

void read_posw(const Section& section, PoswConfig& config) {
  section.read("ENABLED", config.enabled);
  section.read("ENABLE_TIMESTAMP", config.enable_timestamp);
  section.read("DIFF_DIVIDER", config.diff_divider);
  section.read("WINDOW_SIZE", config.window_size);
  section.read("TOTAL_STAKE_PER_BLOCK", config.total_stake_per_block);
  section.read("BOOST_TIMESTAMP", config.boost_timestamp);
  section.read("BOOST_MULTIPLIER_PER_STEP", config.boost_multiplier_per_step);
  section.read("BOOST_STEPS", config.boost_steps);
  section.read("BOOST_STEP_INTERVAL", config.boost_step_interval);
}

void read_root(const Section& section, RootConfig& config) {
  read_consensus(section, config.consensus_type, config.consensus_config);
  if (config.consensus_type != ConsensusType::none) {
    const Section genesis = section.section("GENESIS");
    genesis.read("VERSION", config.genesis.version);
    genesis.read("HEIGHT", config.genesis.height);
    genesis.read("HASH_PREV_BLOCK", config.genesis.hash_prev_block);
    genesis.read("HASH_MERKLE_ROOT", config.genesis.hash_merkle_root);
    genesis.read("TIMESTAMP", config.genesis.timestamp);
    genesis.read("DIFFICULTY", config.genesis.difficulty);
    genesis.read("NONCE", config.genesis.nonce);
  }
  section.read("COINBASE_ADDRESS", config.coinbase_address);
  section.read("COINBASE_AMOUNT", config.coinbase_amount);
  section.read("EPOCH_INTERVAL", config.epoch_interval);
  section.read("DIFFICULTY_ADJUSTMENT_CUTOFF_TIME", config.difficulty_adjustment_cutoff_time);
  section.read("DIFFICULTY_ADJUSTMENT_FACTOR", config.difficulty_adjustment_factor);
  section.read("MAX_STALE_ROOT_BLOCK_HEIGHT_DIFF", config.max_stale_root_block_height_diff);
  section.read("MAX_ROOT_BLOCKS_IN_MEMORY", config.max_root_blocks_in_memory);
  section.unused({"MAX_ROOT_BLOCKS_IN_MEMORY"});
  read_posw(section.section("POSW_CONFIG"), config.posw_config);
}

std::string_view without_0x(std::string_view digits) {
  return digits.starts_with("0x") || digits.starts_with("0X") ? digits.substr(2) : digits;
}

BigUint storage_word(const std::string& key, std::string_view text) {
  const auto bytes = from_hex(without_0x(text));
  const auto number = bytes ? BigUint::from_bytes(bytes_of(*bytes)) : std::nullopt;
  if (!number || number->bytes().size() > 32)
    fail(key, "at most 32 bytes in hexadecimal", "\"" + std::string(text) + "\"");
  return *number;
}

void read_balances(const Section& section, const Json& json, GenesisAccount& account) {
  for (const JsonMember& member : json.members) {
    if (member.name == "code" || member.name == "storage") continue;
    BigUint amount;
    section.read(member.name, amount);
    if (!token_id(member.name))
      fail(section.key(member.name), "the name of a token, 1 to 12 of 0-9 and A-Z", "\"" + member.name + "\"");
    account.balances.emplace_back(member.name, amount);
  }
}

/// {"QKC": amount, ...}, or {"balances": {...}, "code": "0x...", "storage": {"0x...": "0x..."}}.
GenesisAccount read_account(const Section& alloc, const JsonMember& member) {
  GenesisAccount account;
  Json address;
  address.kind = Json::Kind::text;
  address.text = member.name;
  account.address = Section::address_of(alloc.key(member.name), address);
  const Section section(member.value, alloc.key(member.name));
  if (const Json* balances = section.find("balances")) read_balances(section.section("balances"), *balances, account);
  else read_balances(section, member.value, account);
  if (const Json* code = section.find("code")) {
    const auto bytes = code->kind == Json::Kind::text ? from_hex(without_0x(code->text)) : std::nullopt;
    if (!bytes) fail(section.key("code"), "bytes in hexadecimal", code->describe());
    account.code = *bytes;
  }
  if (const Json* storage = section.find("storage")) {
    const Section words = section.section("storage");
    for (const JsonMember& word : storage->members) {
      (void)words.find(word.name);
      if (word.value.kind != Json::Kind::text)
        fail(words.key(word.name), "at most 32 bytes in hexadecimal", word.value.describe());
      account.storage.emplace_back(storage_word(words.key(word.name), word.name),
                                   storage_word(words.key(word.name), word.value.text));
    }
  }
  return account;
}

void read_shard_genesis(const Section& section, ShardGenesis& genesis) {
  section.read("ROOT_HEIGHT", genesis.root_height);
  section.read("VERSION", genesis.version);
  section.read("HEIGHT", genesis.height);
  section.read("HASH_PREV_MINOR_BLOCK", genesis.hash_prev_minor_block);
  section.read("HASH_MERKLE_ROOT", genesis.hash_merkle_root);
  section.read_hex("EXTRA_DATA", genesis.extra_data);
  if (genesis.extra_data.size() > 0xffff)
    fail(section.key("EXTRA_DATA"), "at most 65535 bytes", std::to_string(genesis.extra_data.size()));
  section.read("TIMESTAMP", genesis.timestamp);
  section.read("DIFFICULTY", genesis.difficulty);
  section.read("GAS_LIMIT", genesis.gas_limit);
  if (const Json* alloc = section.find("ALLOC")) {
    const Section accounts = section.section("ALLOC");
    // Of an address that is there twice, the last counts. There may be very many, so they are not searched for.
    std::unordered_map<std::string_view, const Json*> last;
    for (const JsonMember& member : alloc->members) last[member.name] = &member.value;
    for (const JsonMember& member : alloc->members)
      if (last.at(member.name) == &member.value) genesis.alloc.push_back(read_account(accounts, member));
  }
}

ChainConfig read_chain(const Section& section, std::uint64_t base_eth_chain_id) {
  ChainConfig chain;
  section.required("CHAIN_ID", "an integer");
  section.read_up_to("CHAIN_ID", chains_max - 1, chain.chain_id);
  chain.eth_chain_id = base_eth_chain_id + chain.chain_id + 1;
  section.read_up_to("SHARD_SIZE", shard_size_max, chain.shard_size);
  if (!std::has_single_bit(chain.shard_size))
    fail(section.key("SHARD_SIZE"), "a power of two", std::to_string(chain.shard_size));
  section.read("DEFAULT_CHAIN_TOKEN", chain.default_chain_token);
  read_consensus(section, chain.consensus_type, chain.consensus_config);
  read_shard_genesis(section.section("GENESIS"), chain.genesis);
  section.read("COINBASE_ADDRESS", chain.coinbase_address);
  section.read("COINBASE_AMOUNT", chain.coinbase_amount);
  section.read("EPOCH_INTERVAL", chain.epoch_interval);
  section.read("DIFFICULTY_ADJUSTMENT_CUTOFF_TIME", chain.difficulty_adjustment_cutoff_time);
  section.read("DIFFICULTY_ADJUSTMENT_FACTOR", chain.difficulty_adjustment_factor);
  section.read_up_to("EXTRA_SHARD_BLOCKS_IN_ROOT_BLOCK", 1'000'000, chain.extra_shard_blocks_in_root_block);
  section.read("MAX_MINOR_BLOCKS_IN_MEMORY", chain.max_minor_blocks_in_memory);
  section.unused({"MAX_MINOR_BLOCKS_IN_MEMORY"});
  read_posw(section.section("POSW_CONFIG"), chain.posw_config);
  return chain;
}

ShardConfig shard_of_chain(const ChainConfig& chain, std::uint32_t shard) {
  ShardConfig config{chain, full_shard_id(chain.chain_id, chain.shard_size, shard)};
  config.coinbase_address.full_shard_key = config.full_shard_id;
  std::erase_if(config.genesis.alloc, [&](const GenesisAccount& account) {
    return (account.address.full_shard_key & (chain.shard_size - 1)) != shard;
  });
  return config;
}

void read_chains(const Section& section, QuarkChainConfig& config) {
  const auto& chains = section.list("CHAINS");
  if (chains.size() != config.chain_size)
    fail(section.key("CHAINS"), fmt::format("CHAIN_SIZE = {} chains", config.chain_size),
         std::to_string(chains.size()));
  std::set<std::uint32_t> ids;
  std::size_t shards = 0;
  for (std::size_t i = 0; i < chains.size(); ++i) {
    const Section chain(chains[i], fmt::format("{}[{}]", section.key("CHAINS"), i));
    config.chains.push_back(read_chain(chain, config.base_eth_chain_id));
    const std::uint32_t id = config.chains.back().chain_id;
    if (id >= config.chain_size || !ids.insert(id).second)
      fail(chain.key("CHAIN_ID"), fmt::format("each of 0 to {} once", config.chain_size - 1), std::to_string(id));
    shards += config.chains.back().shard_size;
    if (shards > shards_max)
      fail(chain.key("SHARD_SIZE"), fmt::format("at most {} shards in all", shards_max), std::to_string(shards));
  }
  for (const ChainConfig& chain : config.chains)
    for (std::uint32_t shard = 0; shard < chain.shard_size; ++shard)
      config.shards.push_back(shard_of_chain(chain, shard));
}

void read_quarkchain(const Section& section, QuarkChainConfig& config) {
  config.guardian_public_key = *FixedBytes<64>::from_hex(
      "ab856abd0983a82972021e454fcf66ed5940ed595b0898bcd75cbe2d0a51a00f5358b566df22395a2a8bf6c022c1d51a2c3defe654e91a8d"
      "244947783029694d");
  section.read_up_to("CHAIN_SIZE", chains_max, config.chain_size);
  section.read_up_to("BASE_ETH_CHAIN_ID", std::uint64_t{1} << 53, config.base_eth_chain_id);
  section.read("NETWORK_ID", config.network_id);
  section.read("P2P_PROTOCOL_VERSION", config.p2p_protocol_version);
  section.read("P2P_COMMAND_SIZE_LIMIT", config.p2p_command_size_limit);
  if (config.p2p_command_size_limit == 0) fail(section.key("P2P_COMMAND_SIZE_LIMIT"), "at least 1", "0");
  section.read("GENESIS_TOKEN", config.genesis_token);
  if (!token_id(config.genesis_token))
    fail(section.key("GENESIS_TOKEN"), "the name of a token, 1 to 12 of 0-9 and A-Z",
         "\"" + config.genesis_token + "\"");
  section.read("REWARD_TAX_RATE", config.reward_tax_rate);
  section.read("BLOCK_REWARD_DECAY_FACTOR", config.block_reward_decay_factor);
  section.read("GUARDIAN_PUBLIC_KEY", config.guardian_public_key);
  if (section.find("ROOT_SIGNER_PRIVATE_KEY")) {
    std::string text;
    section.read("ROOT_SIGNER_PRIVATE_KEY", text);
    if (!text.empty()) section.read("ROOT_SIGNER_PRIVATE_KEY", config.root_signer_private_key.emplace());
  }
  section.read("TRANSACTION_QUEUE_SIZE_LIMIT_PER_SHARD", config.transaction_queue_size_limit_per_shard);
  section.read("BLOCK_EXTRA_DATA_SIZE_LIMIT", config.block_extra_data_size_limit);
  section.read("MIN_TX_POOL_GAS_PRICE", config.min_tx_pool_gas_price);
  section.read("MIN_MINING_GAS_PRICE", config.min_mining_gas_price);
  section.read("SKIP_ROOT_DIFFICULTY_CHECK", config.skip_root_difficulty_check);
  section.read("SKIP_ROOT_COINBASE_CHECK", config.skip_root_coinbase_check);
  section.read("SKIP_MINOR_DIFFICULTY_CHECK", config.skip_minor_difficulty_check);
  section.read("DISABLE_POW_CHECK", config.disable_pow_check);
  section.read("ENABLE_TX_TIMESTAMP", config.enable_tx_timestamp);
  if (section.find("TX_WHITELIST_SENDERS"))
    for (const Json& sender : section.list("TX_WHITELIST_SENDERS"))
      config.tx_whitelist_senders.push_back(Section::recipient_of(section.key("TX_WHITELIST_SENDERS"), sender));
  section.read("ENABLE_EVM_TIMESTAMP", config.enable_evm_timestamp);
  section.read("ENABLE_EIP155_SIGNER_TIMESTAMP", config.enable_eip155_signer_timestamp);
  section.read("ENABLE_QKCHASHX_HEIGHT", config.enable_qkchashx_height);
  section.read("ENABLE_POSW_STAKING_DECAY_TIMESTAMP", config.enable_posw_staking_decay_timestamp);
  section.read("XSHARD_GAS_DDOS_FIX_ROOT_HEIGHT", config.xshard_gas_ddos_fix_root_height);
  section.read("ROOT_CHAIN_POSW_CONTRACT_BYTECODE_HASH", config.root_chain_posw_contract_bytecode_hash);
  section.unused(
      {"GUARDIAN_PUBLIC_KEY", "ROOT_SIGNER_PRIVATE_KEY", "SKIP_ROOT_DIFFICULTY_CHECK", "SKIP_ROOT_COINBASE_CHECK"});
  read_root(section.section("ROOT"), config.root);
  read_chains(section, config);
}

std::uint32_t read_shard_id(const std::string& key, const Json& json) {
  const std::string_view digits = json.kind == Json::Kind::text ? without_0x(json.text) : std::string_view();
  std::uint32_t id = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id, 16);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
    fail(key, "a full shard id in hexadecimal, as \"0x00000001\"", json.describe());
  return id;
}

/// The legacy way to name shards, for chains of one shard each: a mask selects the chains whose low bits equal those
/// below its highest. Of several only the last counts, as in Python.
std::vector<std::uint32_t> shards_of_masks(const Section& section, const std::vector<ChainConfig>& chains) {
  for (const ChainConfig& chain : chains)
    if (chain.shard_size != 1)
      fail(section.key("CHAIN_MASK_LIST"), "chains of one shard each",
           fmt::format("SHARD_SIZE {} of chain {}", chain.shard_size, chain.chain_id));
  const auto& masks = section.list("CHAIN_MASK_LIST");
  std::vector<std::uint32_t> ids;
  for (std::size_t i = 0; i < masks.size(); ++i) {
    const auto number = masks[i].kind == Json::Kind::number ? BigUint::from_decimal(masks[i].text) : std::nullopt;
    const auto mask = number ? number->to_u64() : std::nullopt;
    if (!mask || *mask == 0 || *mask > 0xffffffff)
      fail(fmt::format("{}[{}]", section.key("CHAIN_MASK_LIST"), i), "an integer of 1 to 4294967295",
           masks[i].describe());
    const std::uint64_t low = std::bit_floor(*mask) - 1;
    ids.clear();
    for (std::uint32_t chain = 0; chain < chains.size(); ++chain)
      if ((chain & low) == (*mask & low)) ids.push_back(full_shard_id(chain, 1, 0));
  }
  return ids;
}

bool has_items(const Section& section, std::string_view name) {
  return section.find(name) && !section.list(name).empty();
}

SlaveConfig read_slave(const Section& section, const QuarkChainConfig& config) {
  SlaveConfig slave;
  section.read("ID", slave.id);
  section.read("HOST", slave.host);
  section.read("PORT", slave.port);
  if (section.find("WEBSOCKET_JSON_RPC_PORT"))
    section.read("WEBSOCKET_JSON_RPC_PORT", slave.websocket_json_rpc_port.emplace());
  section.unused({"WEBSOCKET_JSON_RPC_PORT"});
  const bool listed = has_items(section, "FULL_SHARD_ID_LIST");
  const bool masked = has_items(section, "CHAIN_MASK_LIST");
  if (listed == masked)
    fail(section.key("FULL_SHARD_ID_LIST"), "exactly one of FULL_SHARD_ID_LIST and CHAIN_MASK_LIST",
         listed ? "both" : "neither");
  if (masked) {
    slave.full_shard_id_list = shards_of_masks(section, config.chains);
    return slave;
  }
  const auto& ids = section.list("FULL_SHARD_ID_LIST");
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::string key = fmt::format("{}[{}]", section.key("FULL_SHARD_ID_LIST"), i);
    const std::uint32_t id = read_shard_id(key, ids[i]);
    if (!config.find_shard(id))
      fail(key, "a shard of CHAINS, which has " + shards_text(config.full_shard_ids()), shard_text(id));
    slave.full_shard_id_list.push_back(id);
  }
  return slave;
}

/// What was asked for is looked into, the rest is named.
void name_unread(const Json& json, const std::string& path, const std::set<const Json*>& asked,
                 std::vector<std::string>& into) {
  for (const JsonMember& member : json.members) {
    const std::string key = path.empty() ? member.name : path + "." + member.name;
    if (!asked.contains(&member.value)) {
      into.push_back(key);
      continue;
    }
    name_unread(member.value, key, asked, into);
    for (std::size_t i = 0; i < member.value.items.size(); ++i)
      name_unread(member.value.items[i], fmt::format("{}[{}]", key, i), asked, into);
  }
}

} // namespace

std::vector<std::string> unread_settings(const Json& config) {
  std::set<const Json*> asked;
  struct Asking {
    explicit Asking(std::set<const Json*>* of) { asked_for = of; }
    Asking(const Asking&) = delete;
    ~Asking() { asked_for = nullptr; }
  };
  {
    const Asking asking(&asked);
    (void)ClusterConfig::from_json(config);
  }
  std::vector<std::string> unread;
  name_unread(config, {}, asked, unread);
  return unread;
}

QuarkChainConfig QuarkChainConfig::from_json(const Json& json) {
  QuarkChainConfig config;
  read_quarkchain(Section(json, "QUARKCHAIN"), config);
  return config;
}

std::optional<Fraction> Fraction::of(double value) {
  for (unsigned denominator = 1; value >= 0 && value <= 1 && denominator <= percent; ++denominator) {
    const double numerator = std::round(value * denominator);
    if (std::abs(value - numerator / denominator) < 0.5e-6 / denominator)
      return Fraction{static_cast<std::uint64_t>(numerator), denominator};
  }
  return std::nullopt;
}

std::vector<std::uint32_t> QuarkChainConfig::full_shard_ids() const {
  std::vector<std::uint32_t> ids;
  for (const ShardConfig& shard : shards) ids.push_back(shard.full_shard_id);
  return ids;
}

const ShardConfig* QuarkChainConfig::find_shard(std::uint32_t full_shard_id) const noexcept {
  for (const ShardConfig& shard : shards)
    if (shard.full_shard_id == full_shard_id) return &shard;
  return nullptr;
}

std::optional<std::uint32_t> QuarkChainConfig::full_shard_id_of_key(std::uint32_t full_shard_key) const noexcept {
  for (const ChainConfig& chain : chains)
    if (chain.chain_id == full_shard_key >> 16)
      return quarkchain::full_shard_id_of_key(full_shard_key, chain.shard_size);
  return std::nullopt;
}

std::vector<std::uint32_t> QuarkChainConfig::shards_initialized_before(std::uint32_t root_height) const {
  std::vector<std::uint32_t> ids;
  for (const ShardConfig& shard : shards)
    if (shard.genesis.root_height < root_height) ids.push_back(shard.full_shard_id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::uint32_t QuarkChainConfig::minor_headers_max(const ShardConfig& shard) const noexcept {
  return root.consensus_config.target_block_time / shard.consensus_config.target_block_time +
         shard.extra_shard_blocks_in_root_block;
}

ClusterConfig ClusterConfig::from_json(const Json& json) {
  const Section section(json, {});
  ClusterConfig config;
  section.read("P2P_PORT", config.p2p_port);
  section.read("JSON_RPC_PORT", config.json_rpc_port);
  section.read("PRIVATE_JSON_RPC_PORT", config.private_json_rpc_port);
  section.read("JSON_RPC_HOST", config.json_rpc_host);
  section.read("PRIVATE_JSON_RPC_HOST", config.private_json_rpc_host);
  section.read("ENABLE_PUBLIC_JSON_RPC", config.enable_public_json_rpc);
  section.read("ENABLE_PRIVATE_JSON_RPC", config.enable_private_json_rpc);
  section.read("ENABLE_TRANSACTION_HISTORY", config.enable_transaction_history);
  section.read("DB_PATH_ROOT", config.db_path_root);
  section.read("LOG_LEVEL", config.log_level);
  section.read("START_SIMULATED_MINING", config.start_simulated_mining);
  section.read("CLEAN", config.clean);
  section.read("GENESIS_DIR", config.genesis_dir);
  read_quarkchain(section.section("QUARKCHAIN"), config.quarkchain);
  section.section("MASTER").read("MASTER_TO_SLAVE_CONNECT_RETRY_DELAY", config.master_to_slave_connect_retry_delay);
  section.section("MONITORING");
  if (section.find("P2P")) {
    section.section("P2P");
  } else {
    const Section network = section.section("SIMPLE_NETWORK");
    network.read("BOOTSTRAP_HOST", config.simple_network.emplace().bootstrap_host);
    network.read("BOOTSTRAP_PORT", config.simple_network->bootstrap_port);
    section.unused({"SIMPLE_NETWORK"});
  }
  section.unused({"JSON_RPC_PORT", "PRIVATE_JSON_RPC_PORT", "JSON_RPC_HOST", "PRIVATE_JSON_RPC_HOST",
                  "ENABLE_PUBLIC_JSON_RPC", "ENABLE_PRIVATE_JSON_RPC", "MONITORING", "P2P"});
  const auto& slaves = section.list("SLAVE_LIST");
  for (std::size_t i = 0; i < slaves.size(); ++i) {
    const Section slave(slaves[i], fmt::format("SLAVE_LIST[{}]", i));
    config.slave_list.push_back(read_slave(slave, config.quarkchain));
    const std::string& id = config.slave_list.back().id;
    for (std::size_t before = 0; before < i; ++before)
      if (config.slave_list[before].id == id) fail(slave.key("ID"), "an id that no other slave has", "\"" + id + "\"");
  }
  return config;
}

ClusterConfig ClusterConfig::parse(std::string_view text) {
  try {
    return from_json(Json::parse(text));
  } catch (const JsonError& error) {
    throw ConfigFailure(std::string("cluster_config: ") + error.what());
  }
}

const SlaveConfig& ClusterConfig::slave(std::string_view id) const {
  std::string known;
  for (const SlaveConfig& slave : slave_list) {
    if (slave.id == id) return slave;
    known += (known.empty() ? "" : ", ") + slave.id;
  }
  fail("SLAVE_LIST", "a slave with ID \"" + std::string(id) + "\"", known.empty() ? "none" : known);
}

std::vector<std::uint32_t> ClusterConfig::unserved_shards() const {
  std::vector<std::uint32_t> missing;
  for (const std::uint32_t id : quarkchain.full_shard_ids())
    if (std::none_of(slave_list.begin(), slave_list.end(), [&](const SlaveConfig& slave) {
          return std::find(slave.full_shard_id_list.begin(), slave.full_shard_id_list.end(), id) !=
                 slave.full_shard_id_list.end();
        }))
      missing.push_back(id);
  return missing;
}

} // namespace trunkline::quarkchain

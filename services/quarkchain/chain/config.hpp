// The file that all processes of a cluster share, cluster_config.json of pyquarkchain: same keys, same defaults. Keys
// that nobody here knows are left alone. Members are named after their keys.
#pragma once

#include "services/quarkchain/chain/core_types.hpp"
#include "services/quarkchain/chain/json.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

/// "cluster_config: QUARKCHAIN.CHAINS[1].SHARD_SIZE: expected a power of two, seen 3".
class ConfigFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A part of the whole, as 1/2 for 0.5.
struct Fraction {
  std::uint64_t numerator = 0;
  std::uint64_t denominator = 1;
  friend bool operator==(const Fraction&, const Fraction&) = default;

  /// The nearest one with a denominator of at most 100, as Python takes it and then insists on it. Nothing for a number
  /// that is none, or not of 0 to 1.
  static std::optional<Fraction> of(double value);
};

enum class ConsensusType : std::uint8_t { none, pow_ethash, pow_doublesha256, pow_simulate, pow_qkchash };

struct PowConfig {
  std::uint32_t target_block_time = 10; // seconds
  bool remote_mine = false;
};

struct PoswConfig {
  bool enabled = false;
  std::uint64_t enable_timestamp = 0;
  std::uint64_t diff_divider = 20;
  std::uint64_t window_size = 256;
  BigUint total_stake_per_block = *BigUint::from_decimal("1000000000000000000000000000");
  std::uint64_t boost_timestamp = 0;
  std::uint64_t boost_multiplier_per_step = 2;
  std::uint64_t boost_steps = 10;
  std::uint64_t boost_step_interval = 43200;
};

struct RootGenesis {
  std::uint32_t version = 0;
  std::uint32_t height = 0;
  Hash256 hash_prev_block;
  Hash256 hash_merkle_root;
  std::uint64_t timestamp = 1519147489;
  BigUint difficulty = BigUint(1000000);
  std::uint64_t nonce = 0;
};

/// What one account has before the first block.
struct GenesisAccount {
  Address address;
  std::vector<std::pair<std::string, BigUint>> balances; // by name of the token
  std::optional<std::string> code;
  std::vector<std::pair<BigUint, BigUint>> storage;
};

struct ShardGenesis {
  std::uint32_t root_height = 0;
  std::uint32_t version = 0;
  std::uint64_t height = 0;
  Hash256 hash_prev_minor_block;
  Hash256 hash_merkle_root;
  std::string extra_data = "It was the best of times, it was the worst of times, ... - Charles Dickens";
  std::uint64_t timestamp = 1519147489;
  BigUint difficulty = BigUint(10000);
  BigUint gas_limit = BigUint(12000000);
  std::vector<GenesisAccount> alloc; // in the order of the file, an address once
};

struct RootConfig {
  ConsensusType consensus_type = ConsensusType::none;
  PowConfig consensus_config;
  RootGenesis genesis;
  Address coinbase_address;
  BigUint coinbase_amount = *BigUint::from_decimal("120000000000000000000");
  std::uint64_t epoch_interval = 2100000;
  std::uint64_t difficulty_adjustment_cutoff_time = 40;
  std::uint64_t difficulty_adjustment_factor = 1024;
  std::uint64_t max_stale_root_block_height_diff = 22500;
  std::uint64_t max_root_blocks_in_memory = 256;
  PoswConfig posw_config;
};

struct ChainConfig {
  std::uint32_t chain_id = 0;
  std::uint64_t eth_chain_id = 0; // follows from chain_id
  std::uint32_t shard_size = 2;
  std::string default_chain_token = "QKC";
  ConsensusType consensus_type = ConsensusType::none;
  PowConfig consensus_config;
  ShardGenesis genesis;
  Address coinbase_address;
  BigUint coinbase_amount = BigUint(5000000000000000000);
  std::uint64_t epoch_interval = 12600000;
  std::uint64_t difficulty_adjustment_cutoff_time = 7;
  std::uint64_t difficulty_adjustment_factor = 512;
  std::uint32_t extra_shard_blocks_in_root_block = 3;
  std::uint64_t max_minor_blocks_in_memory = 1536;
  PoswConfig posw_config;
};

/// What one shard has of its chain: the chain's settings, but of the accounts only its own.
struct ShardConfig : ChainConfig {
  std::uint32_t full_shard_id = 0;
};

struct QuarkChainConfig {
  std::uint32_t chain_size = 3;
  std::uint64_t base_eth_chain_id = 100000;
  std::uint32_t network_id = 3;
  std::uint32_t p2p_protocol_version = 0;
  std::uint32_t p2p_command_size_limit = 134217728;
  std::string genesis_token = "QKC";
  Fraction reward_tax_rate{1, 2};
  Fraction block_reward_decay_factor{1, 2};
  FixedBytes<64> guardian_public_key;
  std::optional<Hash256> root_signer_private_key;
  std::uint32_t transaction_queue_size_limit_per_shard = 10000;
  std::uint32_t block_extra_data_size_limit = 1024;
  BigUint min_tx_pool_gas_price = BigUint(1000000000);
  BigUint min_mining_gas_price = BigUint(1000000000);
  bool skip_root_difficulty_check = false;
  bool skip_root_coinbase_check = false;
  bool skip_minor_difficulty_check = false;
  bool disable_pow_check = false;
  // Rules that begin at a time or height; without one they have always been there, but for the two that say otherwise.
  std::optional<std::uint64_t> enable_tx_timestamp;
  std::vector<Recipient> tx_whitelist_senders; // may send before enable_tx_timestamp
  std::optional<std::uint64_t> enable_evm_timestamp;
  std::optional<std::uint64_t> enable_eip155_signer_timestamp;
  std::optional<std::uint64_t> enable_qkchashx_height; // without one: never
  std::optional<std::uint64_t> enable_posw_staking_decay_timestamp; // without one: never
  std::uint64_t xshard_gas_ddos_fix_root_height = 90000;
  Hash256 root_chain_posw_contract_bytecode_hash;
  RootConfig root;
  std::vector<ChainConfig> chains; // in the order of the file
  std::vector<ShardConfig> shards; // chains in that order, shards ascending: this order is "the full shard ids"

  /// The object under QUARKCHAIN of the file. Errors: ConfigFailure.
  static QuarkChainConfig from_json(const Json& json);

  std::vector<std::uint32_t> full_shard_ids() const;
  /// Null when there is none.
  const ShardConfig* find_shard(std::uint32_t full_shard_id) const noexcept;
  /// The shard of a key, or nothing when its chain does not exist.
  std::optional<std::uint32_t> full_shard_id_of_key(std::uint32_t full_shard_key) const noexcept;
  /// Those that exist before the root block of this height is added, ascending.
  std::vector<std::uint32_t> shards_initialized_before(std::uint32_t root_height) const;
  /// How many headers of one shard a root block may have at most.
  std::uint32_t minor_headers_max(const ShardConfig& shard) const noexcept;
};

struct SlaveConfig {
  std::string id;
  std::string host = "127.0.0.1";
  std::uint16_t port = 38392;
  std::vector<std::uint32_t> full_shard_id_list; // in the order of the file, which is what a Pong says
  std::optional<std::uint16_t> websocket_json_rpc_port;

  friend bool operator==(const SlaveConfig&, const SlaveConfig&) = default;
};

struct SimpleNetworkConfig {
  std::string bootstrap_host = "127.0.0.1";
  std::uint16_t bootstrap_port = 38291;
};

struct ClusterConfig {
  std::uint16_t p2p_port = 38291;
  std::uint16_t json_rpc_port = 38391;
  std::uint16_t private_json_rpc_port = 38491;
  std::string json_rpc_host = "localhost";
  std::string private_json_rpc_host = "localhost";
  bool enable_public_json_rpc = true;
  bool enable_private_json_rpc = true;
  bool enable_transaction_history = false;
  std::string db_path_root = "./db"; // empty: in memory
  std::string log_level = "info";
  bool start_simulated_mining = false;
  bool clean = false;
  std::string genesis_dir; // empty: none
  double master_to_slave_connect_retry_delay = 1.0; // seconds
  QuarkChainConfig quarkchain;
  std::vector<SlaveConfig> slave_list;
  std::optional<SimpleNetworkConfig> simple_network; // nothing where the P2P module is configured instead

  /// Reads the whole file. Errors: ConfigFailure, which names the key, what was expected and what was seen.
  static ClusterConfig from_json(const Json& json);
  static ClusterConfig parse(std::string_view text);

  /// Errors: ConfigFailure, which names those that there are.
  const SlaveConfig& slave(std::string_view id) const;
  /// Shards of the chains that no slave runs: a cluster with any cannot start.
  std::vector<std::uint32_t> unserved_shards() const;
};

/// Replaces values by those of variables such as QKC__QUARKCHAIN__NETWORK_ID=5, which hold numbers, quoted texts, True,
/// False or None; other variables are left alone. Errors: ConfigFailure for a path through something that is no object,
/// or another value.
void apply_environment(Json& config, std::span<const std::pair<std::string, std::string>> variables);

/// Adds the accounts of the files alloc/N.json and loadtest.json to the shards' genesis, as GENESIS_DIR asks for.
/// `read` gives a file's content, or nothing when there is none. A chain's file that is missing or wrong leaves all of
/// them out, and a wrong loadtest.json only itself, as Python does; what was left out is returned as one phrase each.
std::vector<std::string> add_genesis_accounts(
    QuarkChainConfig& config, const std::function<std::optional<std::string>(const std::string& name)>& read);

} // namespace trunkline::quarkchain

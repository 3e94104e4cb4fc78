#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/unread_settings.hpp"
#include "tests/services/quarkchain/vectors.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::test;

namespace {

/// Two chains, of one and of two shards, and two slaves. Every test changes a little of it.
const char* const cluster_text = R"({
  "P2P_PORT": 38291, "GENESIS_DIR": null, "DB_PATH_ROOT": "", "A_KEY_OF_TOMORROW": {"X": [1, 2.5]},
  "QUARKCHAIN": {
    "CHAIN_SIZE": 2, "NETWORK_ID": 1033, "REWARD_TAX_RATE": 0.35, "ROOT_SIGNER_PRIVATE_KEY": null,
    "ROOT": {
      "CONSENSUS_TYPE": "POW_SIMULATE", "CONSENSUS_CONFIG": {"TARGET_BLOCK_TIME": 60, "REMOTE_MINE": false},
      "GENESIS": {"TIMESTAMP": 1556639999, "DIFFICULTY": 1000000000}, "COINBASE_AMOUNT": 156000000000000000000, "POSW_CONFIG": {}
    },
    "CHAINS": [
      {"CHAIN_ID": 0, "SHARD_SIZE": 1, "CONSENSUS_TYPE": "POW_SIMULATE", "CONSENSUS_CONFIG": {"TARGET_BLOCK_TIME": 10},
       "GENESIS": {"ROOT_HEIGHT": 2}, "EXTRA_SHARD_BLOCKS_IN_ROOT_BLOCK": 12, "POSW_CONFIG": {}},
      {"CHAIN_ID": 1, "SHARD_SIZE": 2, "CONSENSUS_TYPE": "NONE", "POSW_CONFIG": {"ENABLED": true, "TOTAL_STAKE_PER_BLOCK": 20000000000000000000000},
       "COINBASE_ADDRESS": "0000000000000000000000000000000000000001abcd1237",
       "GENESIS": {"ALLOC": {
         "000000000000000000000000000000000000000200010000": {"QKC": 120000000000000000000},
         "000000000000000000000000000000000000000300010001": {"balances": {"QI": 7}, "code": "0x6001", "storage": {"0x12": "0x0345"}}}}}
    ]
  },
  "MASTER": {"MASTER_TO_SLAVE_CONNECT_RETRY_DELAY": 0.5},
  "SLAVE_LIST": [
    {"HOST": "10.0.0.1", "PORT": 38000, "ID": "S0", "FULL_SHARD_ID_LIST": ["0x00010003", "1"]},
    {"HOST": "10.0.0.2", "PORT": 38001, "ID": "S1", "FULL_SHARD_ID_LIST": ["00010002"], "WEBSOCKET_JSON_RPC_PORT": 38590}
  ],
  "SIMPLE_NETWORK": {"BOOTSTRAP_HOST": "10.0.0.9", "BOOTSTRAP_PORT": 38292},
  "MONITORING": {}
})";

/// The text with its first `from` replaced.
std::string changed(const std::string& from, const std::string& to) {
  std::string text = cluster_text;
  const std::size_t place = text.find(from);
  REQUIRE_MESSAGE(place != std::string::npos, from);
  return text.replace(place, from.size(), to);
}

std::string refusal(const std::string& from, const std::string& to) {
  try {
    ClusterConfig::parse(changed(from, to));
  } catch (const ConfigFailure& failure) {
    return failure.what();
  }
  return "accepted";
}

ShardGenesis genesis_from(const Json& json) {
  // Through the whole of a configuration, as a node would get it.
  Json config = Json::parse(cluster_text);
  Json& chains = const_cast<Json&>(*config.find("QUARKCHAIN")->find("CHAINS"));
  const_cast<Json&>(*chains.items[1].find("GENESIS")) = json;
  return ClusterConfig::from_json(config).quarkchain.chains[1].genesis;
}

} // namespace

TEST_CASE("config: values, defaults and what follows from them") {
  const ClusterConfig config = ClusterConfig::parse(cluster_text);
  const QuarkChainConfig& quarkchain = config.quarkchain;

  CHECK(config.db_path_root.empty());
  CHECK(config.json_rpc_port == 38391);
  CHECK(config.master_to_slave_connect_retry_delay == 0.5);
  CHECK(config.simple_network->bootstrap_port == 38292);
  CHECK(quarkchain.network_id == 1033);
  CHECK(quarkchain.p2p_command_size_limit == 134217728);
  CHECK(quarkchain.reward_tax_rate == Fraction{7, 20});
  CHECK(quarkchain.block_reward_decay_factor == Fraction{1, 2});
  CHECK(quarkchain.root.coinbase_amount.to_decimal() == "156000000000000000000");
  CHECK(quarkchain.root.genesis.nonce == 0);
  CHECK(quarkchain.chains[0].eth_chain_id == 100001);
  CHECK(quarkchain.chains[1].posw_config.total_stake_per_block.to_decimal() == "20000000000000000000000");
  CHECK(quarkchain.full_shard_ids() == std::vector<std::uint32_t>{1, 0x00010002, 0x00010003});
  CHECK(quarkchain.full_shard_id_of_key(0x0001fff1) == 0x00010003);
  CHECK_FALSE(quarkchain.full_shard_id_of_key(0x00020000));
  CHECK(quarkchain.shards_initialized_before(2) == std::vector<std::uint32_t>{0x00010002, 0x00010003});
  CHECK(quarkchain.shards_initialized_before(3).size() == 3);
  CHECK(quarkchain.minor_headers_max(*quarkchain.find_shard(1)) == 18);
  CHECK(quarkchain.find_shard(2) == nullptr);

  const ShardConfig& second = *quarkchain.find_shard(0x00010003);
  CHECK(second.coinbase_address.full_shard_key == 0x00010003);
  CHECK(quarkchain.find_shard(0x00010002)->coinbase_address.full_shard_key == 0x00010002);
  REQUIRE(second.genesis.alloc.size() == 1);
  CHECK(second.genesis.alloc[0].balances == std::vector<std::pair<std::string, BigUint>>{{"QI", BigUint(7)}});
  CHECK(to_hex(*second.genesis.alloc[0].code) == "6001");
  CHECK(second.genesis.alloc[0].storage == std::vector<std::pair<BigUint, BigUint>>{{BigUint(0x12), BigUint(0x345)}});

  CHECK(config.slave("S0").full_shard_id_list == std::vector<std::uint32_t>{0x00010003, 1});
  CHECK(config.slave("S1").websocket_json_rpc_port == 38590);
  CHECK(config.unserved_shards().empty());
  CHECK_THROWS_WITH_AS(config.slave("S2"), "cluster_config: SLAVE_LIST: expected a slave with ID \"S2\", seen S0, S1",
                       ConfigFailure);
}

TEST_CASE("config: settings that nobody reads are named, and of what is below them nothing") {
  const std::vector<std::string> expected = {"A_KEY_OF_TOMORROW", "QUARKCHAIN.ROOT_SIGNER_PRIVATE_KEY",
                                             "SLAVE_LIST[1].WEBSOCKET_JSON_RPC_PORT", "SIMPLE_NETWORK", "MONITORING"};
  CHECK(unread_settings(Json::parse(cluster_text)) == expected);
  const std::string misspelt = changed("\"ROOT_HEIGHT\": 2", "\"ROOT_HEIGHT\": 2, \"ROOT_HIGHT\": 3");
  CHECK(unread_settings(Json::parse(misspelt)).at(2) == "QUARKCHAIN.CHAINS[0].GENESIS.ROOT_HIGHT");
}

TEST_CASE("config: what is wrong is named, with what was expected and what was seen") {
  CHECK(refusal("\"QUARKCHAIN\"", "\"QUARKCHAINS\"") == "cluster_config: QUARKCHAIN: expected an object, seen nothing");
  CHECK(refusal("\"MONITORING\": {}", "\"MONITORING\": 3") ==
        "cluster_config: MONITORING: expected an object, seen the number 3");
  CHECK(refusal("\"MASTER\": {", "\"M\": {") == "cluster_config: MASTER: expected an object, seen nothing");
  CHECK(refusal("\"SIMPLE_NETWORK\"", "\"P3P\"") == "cluster_config: SIMPLE_NETWORK: expected an object, seen nothing");
  CHECK(refusal("\"SIMPLE_NETWORK\"", "\"P2P\"") == "accepted");
  CHECK(refusal("38291", "70000") ==
        "cluster_config: P2P_PORT: expected an integer of 0 to 65535, seen the number 70000");
  CHECK(refusal("38291", "\"38291\"") ==
        "cluster_config: P2P_PORT: expected an integer of 0 to 65535, seen the text \"38291\"");
  CHECK(refusal("\"NETWORK_ID\": 1033", "\"NETWORK_ID\": 1033, \"P2P_COMMAND_SIZE_LIMIT\": 0") ==
        "cluster_config: QUARKCHAIN.P2P_COMMAND_SIZE_LIMIT: expected at least 1, seen 0");
  CHECK(refusal("\"SHARD_SIZE\": 2", "\"SHARD_SIZE\": 3") ==
        "cluster_config: QUARKCHAIN.CHAINS[1].SHARD_SIZE: expected a power of two, seen 3");
  CHECK(refusal("\"CHAIN_SIZE\": 2", "\"CHAIN_SIZE\": 3") ==
        "cluster_config: QUARKCHAIN.CHAINS: expected CHAIN_SIZE = 3 chains, seen 2");
  CHECK(refusal("\"CHAIN_ID\": 1", "\"CHAIN_ID\": 0") ==
        "cluster_config: QUARKCHAIN.CHAINS[1].CHAIN_ID: expected each of 0 to 1 once, seen 0");
  CHECK(refusal("\"CHAIN_ID\": 1,", "") ==
        "cluster_config: QUARKCHAIN.CHAINS[1].CHAIN_ID: expected an integer, seen nothing");
  CHECK(refusal("POW_SIMULATE", "POW_LUCK") ==
        "cluster_config: QUARKCHAIN.ROOT.CONSENSUS_TYPE: expected one of NONE, POW_ETHASH, POW_DOUBLESHA256, "
        "POW_SIMULATE, POW_QKCHASH, seen "
        "the text \"POW_LUCK\"");
  CHECK(refusal("0.35", "0.3333") ==
        "cluster_config: QUARKCHAIN.REWARD_TAX_RATE: expected a part of 0 to 1 with a denominator of at most 100, seen "
        "the number 0.3333");
  CHECK(refusal("156000000000000000000", "1.5e20") ==
        "cluster_config: QUARKCHAIN.ROOT.COINBASE_AMOUNT: expected an integer from 0, seen the number 1.5e20");
  CHECK(refusal("0000000000000000000000000000000000000001abcd1237", "0xab") ==
        "cluster_config: QUARKCHAIN.CHAINS[1].COINBASE_ADDRESS: expected an address of 48 hexadecimal digits, seen the "
        "text \"0xab\"");
  CHECK(refusal("\"0x12\"", "\"0x1\"") ==
        "cluster_config: "
        "QUARKCHAIN.CHAINS[1].GENESIS.ALLOC.000000000000000000000000000000000000000300010001.storage.0x1: expected at "
        "most 32 "
        "bytes in hexadecimal, seen \"0x1\"");
  CHECK(refusal("\"QI\"", "\"qi\"") ==
        "cluster_config: "
        "QUARKCHAIN.CHAINS[1].GENESIS.ALLOC.000000000000000000000000000000000000000300010001.balances.qi: expected the "
        "name of "
        "a token, 1 to 12 of 0-9 and A-Z, seen \"qi\"");
  CHECK(refusal("[\"00010002\"]", "[\"0x00010004\"]") ==
        "cluster_config: SLAVE_LIST[1].FULL_SHARD_ID_LIST[0]: expected a shard of CHAINS, which has 0x00000001, "
        "0x00010002, 0x00010003, seen "
        "0x00010004");
  CHECK(refusal("[\"00010002\"]", "[]") ==
        "cluster_config: SLAVE_LIST[1].FULL_SHARD_ID_LIST: expected exactly one of FULL_SHARD_ID_LIST and "
        "CHAIN_MASK_LIST, seen neither");
  CHECK(refusal("[\"00010002\"]", "[7]") ==
        "cluster_config: SLAVE_LIST[1].FULL_SHARD_ID_LIST[0]: expected a full shard id in hexadecimal, as "
        "\"0x00000001\", seen the number 7");
  CHECK(refusal("\"S1\"", "\"S0\"") ==
        "cluster_config: SLAVE_LIST[1].ID: expected an id that no other slave has, seen \"S0\"");
  CHECK(
      refusal("\"FULL_SHARD_ID_LIST\": [\"00010002\"]", "\"CHAIN_MASK_LIST\": [1]") ==
      "cluster_config: SLAVE_LIST[1].CHAIN_MASK_LIST: expected chains of one shard each, seen SHARD_SIZE 2 of chain 1");
  CHECK(refusal("\"MONITORING\"", "\"MONITORING").starts_with("cluster_config: JSON at byte "));
  CHECK_THROWS_WITH_AS(ClusterConfig::parse("[]"), "cluster_config: the file: expected an object, seen a list of 0",
                       ConfigFailure);
}

TEST_CASE("config: shards that nobody runs are found") {
  const ClusterConfig config = ClusterConfig::parse(changed("[\"0x00010003\", \"1\"]", "[\"0x00010003\"]"));

  CHECK(config.unserved_shards() == std::vector<std::uint32_t>{1});
}

TEST_CASE("config: masks choose chains by their low bits, and the last of several counts") {
  std::string text = cluster_text;
  const auto replace = [&](const std::string& from, const std::string& to) {
    text.replace(text.find(from), from.size(), to);
  };
  replace("\"SHARD_SIZE\": 2", "\"SHARD_SIZE\": 1");
  replace("\"FULL_SHARD_ID_LIST\": [\"0x00010003\", \"1\"]", "\"CHAIN_MASK_LIST\": [1]");
  replace("\"FULL_SHARD_ID_LIST\": [\"00010002\"]", "\"CHAIN_MASK_LIST\": [2, 3]");

  const ClusterConfig config = ClusterConfig::parse(text);

  CHECK(config.slave("S0").full_shard_id_list == std::vector<std::uint32_t>{1, 0x00010001});
  CHECK(config.slave("S1").full_shard_id_list == std::vector<std::uint32_t>{0x00010001});
}

TEST_CASE("config: the environment replaces values") {
  Json json = Json::parse(cluster_text);
  const std::vector<std::pair<std::string, std::string>> variables = {{"HOME", "/"},
                                                                      {"QKC__QUARKCHAIN__NETWORK_ID", "5"},
                                                                      {"QKC__DB_PATH_ROOT", "'./x'"},
                                                                      {"QKC__CLEAN", "True"},
                                                                      {"QKC__GENESIS_DIR", "None"}};

  apply_environment(json, variables);
  const ClusterConfig config = ClusterConfig::from_json(json);

  CHECK(config.quarkchain.network_id == 5);
  CHECK(config.db_path_root == "./x");
  CHECK(config.clean);
  const auto apply = [&](const char* name, const char* value) {
    const std::vector<std::pair<std::string, std::string>> one = {{name, value}};
    apply_environment(json, one);
  };
  CHECK_THROWS_WITH_AS(apply("QKC__NOWHERE__X", "1"),
                       "environment: QKC__NOWHERE__X: expected an object at NOWHERE, seen nothing", ConfigFailure);
  CHECK_THROWS_WITH_AS(
      apply("QKC__CLEAN", "yes"),
      "environment: QKC__CLEAN: expected a number, a quoted text, a list, True, False or None, seen yes",
      ConfigFailure);
}

TEST_CASE("config: accounts from files come in the place of those that are there") {
  ClusterConfig config = ClusterConfig::parse(cluster_text);
  std::map<std::string, std::string> files = {
      {"alloc/0.json", R"([{"address": "00000000000000000000000000000000000000aa00000000", "key": "..."}])"},
      {"alloc/1.json", R"([{"address": "000000000000000000000000000000000000000200010000"}])"},
      {"loadtest.json", R"([{"address": "00000000000000000000000000000000000000bb00071235"}])"}};
  const auto read = [&](const std::string& name) {
    return files.contains(name) ? std::optional<std::string>(files[name]) : std::nullopt;
  };

  CHECK(add_genesis_accounts(config.quarkchain, read).empty());

  const auto& first = config.quarkchain.find_shard(1)->genesis.alloc;
  REQUIRE(first.size() == 2);
  CHECK(first[0].balances.size() == 5);
  CHECK(first[0].balances[0].first == "QKC");
  CHECK(first[0].balances[0].second.to_decimal() == "1000000000000000000000000");
  CHECK(first[1].address.full_shard_key == 1);
  const auto& second = config.quarkchain.find_shard(0x00010002)->genesis.alloc;
  REQUIRE(second.size() == 2);
  CHECK(second[0].balances.size() == 5);
  CHECK(second[1].address.full_shard_key == 0x00010002);

  files.erase("alloc/1.json");
  ClusterConfig partly = ClusterConfig::parse(cluster_text);
  CHECK(add_genesis_accounts(partly.quarkchain, read) == std::vector<std::string>{"alloc/1.json: no such file"});
  CHECK(partly.quarkchain.find_shard(1)->genesis.alloc.size() == 1);
}

TEST_CASE("genesis: root blocks have the bytes and the hash of Python") {
  for (const Json& vector : at(vectors("genesis.json"), "root_genesis").items) {
    Json config = Json::parse(cluster_text);
    Json& root = const_cast<Json&>(*config.find("QUARKCHAIN")->find("ROOT"));
    Json genesis = at(vector, "genesis");
    for (JsonMember& member : genesis.members)
      if (member.name == "NONCE" || member.name == "DIFFICULTY")
        member.value.kind = Json::Kind::number; // texts in the vectors
    const_cast<Json&>(*root.find("GENESIS")) = genesis;

    const RootBlock block = genesis_root_block(ClusterConfig::from_json(config).quarkchain.root.genesis);

    CHECK(to_hex(encoded(block).bytes()) == text_at(vector, "root_block_hex"));
    CHECK(hash_of(block.header).hex() == text_at(vector, "hash"));
  }
  CHECK(hash_of(genesis_root_block(RootGenesis()).header).hex() ==
        "5e8da47101ca8a602b1aee32baacbe670b39ac08b2179fac85dee3ef685a469e");
}

namespace {

/// The vectors have large amounts as texts, a configuration as numbers.
Json with_numbers(Json json) {
  if (json.kind == Json::Kind::text && !json.text.empty() && json.text.size() < 32 &&
      json.text.find_first_not_of("0123456789") == std::string::npos)
    json.kind = Json::Kind::number;
  for (JsonMember& member : json.members) member.value = with_numbers(member.value);
  return json;
}

} // namespace

TEST_CASE("genesis: shard blocks have the bytes and the hash of Python") {
  const RootBlock root = genesis_root_block(RootGenesis());
  for (const Json& vector : at(vectors("genesis.json"), "shard_genesis").items) {
    const auto id = static_cast<std::uint32_t>(number_at(vector, "full_shard_id"));
    CAPTURE(id);
    QuarkChainConfig config;
    config.genesis_token = text_at(vector, "genesis_token");
    ShardConfig shard;
    shard.full_shard_id = id;
    shard.coinbase_amount = *BigUint::from_decimal(text_at(vector, "coinbase_amount"));
    shard.genesis = genesis_from(with_numbers(at(vector, "genesis")));

    const MinorBlock block = genesis_minor_block(config, shard, root.header);

    CHECK(to_hex(encoded(block).bytes()) == text_at(vector, "minor_block_hex"));
    CHECK(hash_of(block.header).hex() == text_at(vector, "hash"));
    CHECK(hash_of(block.meta).hex() == text_at(vector, "meta_hash"));
    CHECK(to_hex(encoded(block.header.coinbase_amount_map).bytes()) == text_at(vector, "coinbase_amount_map_hex"));
  }
}

TEST_CASE("genesis: accounts with code, storage and many tokens make the state of Python") {
  const RootBlock root = genesis_root_block(RootGenesis());
  for (const Json& vector : at(vectors("alloc.json"), "cases").items) {
    CAPTURE(text_at(vector, "what"));
    Json genesis;
    genesis.kind = Json::Kind::object;
    genesis.members.push_back({"ALLOC", at(vector, "alloc")});
    ShardConfig shard;
    shard.full_shard_id = 1;
    shard.genesis = genesis_from(genesis);

    CHECK(genesis_state_root(shard).hex() == text_at(vector, "state_root"));
    CHECK(hash_of(genesis_minor_block(QuarkChainConfig(), shard, root.header).header).hex() ==
          text_at(vector, "minor_hash"));
  }
}

TEST_CASE("genesis: accounts of another chain are refused") {
  ShardConfig shard;
  shard.full_shard_id = 1;
  shard.genesis.alloc.emplace_back().address.full_shard_key = 0x00020000;

  CHECK_THROWS_WITH_AS(genesis_state_root(shard),
                       "genesis of shard 0x00000001: ALLOC has key 0x00020000, which belongs to another chain",
                       ConfigFailure);
}

TEST_CASE("genesis: the block that says nothing has Python's defaults") {
  CHECK(filler_minor_block().header.branch.value == 1);
  CHECK(filler_minor_block().header.evm_gas_limit == Uint256(12000000));
}

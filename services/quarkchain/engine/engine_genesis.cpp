#include "services/quarkchain/engine/engine_genesis.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/rlp.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/chain/trie.hpp"
#include "services/quarkchain/engine/engine_json.hpp"

#include <fmt/format.h>

#include <set>

namespace trunkline::quarkchain {
namespace {

using engine_json::digits;
using engine_json::quantity;

constexpr std::size_t nonce_bytes = 8;

/// Of a list without anything in it.
const char* const uncles_hash = "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347";

std::string word(const BigUint& number) {
  const auto fixed = Uint256::from_bytes(bytes_of(number.bytes()));
  if (!fixed) throw ConfigFailure("genesis: ALLOC: storage: expected at most 256 bits, seen " + number.to_decimal());
  return std::string(text_of(fixed->bytes()));
}

/// An account and its line in the file.
struct Line {
  std::string json;
  std::string rlp;
};

Line line_of(const GenesisAccount& given, const QuarkChainConfig& config) {
  BigUint balance;
  for (const auto& [token, amount] : given.balances) {
    if (token != config.genesis_token && !amount.is_zero())
      throw ConfigFailure(fmt::format("genesis: ALLOC: {}: an execution layer keeps {} alone, seen {} of {}",
                                      given.address.recipient.hex(), config.genesis_token, amount.to_decimal(), token));
    balance = balance + amount;
  }
  Trie storage;
  std::string slots;
  for (const auto& [key, value] : given.storage) {
    if (value.is_zero()) continue;
    storage.set(word(key), rlp_bytes(value.bytes()));
    slots += fmt::format("{}{}:{}", slots.empty() ? "" : ",", digits(word(key)), digits(word(value)));
  }
  Line line;
  line.json = fmt::format(R"({}:{{"balance":{})", digits(given.address.recipient), quantity(balance));
  if (given.code) line.json += fmt::format(R"(,"nonce":"0x1","code":{})", digits(*given.code));
  if (!slots.empty()) line.json += fmt::format(R"(,"storage":{{{}}})", slots);
  line.json += "}";
  RlpList account;
  account.add(std::uint64_t{given.code ? 1u : 0u}).add(balance).add(text_of(storage.root().bytes));
  account.add(text_of(keccak256(bytes_of(given.code.value_or(std::string()))).bytes));
  line.rlp = account.encoded();
  return line;
}

} // namespace

EngineGenesis::EngineGenesis(const QuarkChainConfig& config, const ShardConfig& shard) : chain_id_(shard.eth_chain_id) {
  if (shard.shard_size != 1)
    throw ConfigFailure(fmt::format("CHAINS[{}]: an execution layer knows accounts by recipient alone: expected "
                                    "SHARD_SIZE 1, seen {}",
                                    shard.chain_id, shard.shard_size));
  Trie state;
  std::set<Recipient> seen;
  std::string alloc;
  for (const GenesisAccount& given : shard.genesis.alloc) {
    if (!seen.insert(given.address.recipient).second)
      throw ConfigFailure(fmt::format("genesis: ALLOC: an execution layer knows accounts by recipient alone: expected {} "
                                      "once, seen with another key",
                                      given.address.recipient.hex()));
    Line line = line_of(given, config);
    alloc += (alloc.empty() ? "" : ",") + line.json;
    state.set(text_of(given.address.recipient.bytes), std::move(line.rlp));
  }
  const ShardGenesis& genesis = shard.genesis;
  const std::string zeros(Hash256::size, '\0');
  const std::string nobody(Recipient::size, '\0');
  json_ = fmt::format(
      R"({{"config":{{"chainId":{},"homesteadBlock":0,"eip150Block":0,"eip155Block":0,"eip158Block":0,)"
      R"("byzantiumBlock":0,"constantinopleBlock":0,"petersburgBlock":0,"istanbulBlock":0,"berlinBlock":0,)"
      R"("londonBlock":0,"mergeNetsplitBlock":0,"shanghaiTime":0,"terminalTotalDifficulty":0,)"
      R"("terminalTotalDifficultyPassed":true}},"nonce":"0x0","timestamp":{},"extraData":"0x","gasLimit":{},)"
      R"("difficulty":"0x0","baseFeePerGas":"0x0","mixHash":{},"coinbase":{},"alloc":{{{}}}}})",
      chain_id_, quantity(genesis.timestamp), quantity(genesis.gas_limit), digits(zeros), digits(nobody), alloc);

  const std::string nothing(text_of(Trie().root().bytes));
  RlpList header;
  header.add(zeros).add(text_of(Hash256::from_hex(uncles_hash)->bytes)).add(nobody);
  state_root_ = state.root();
  header.add(text_of(state_root_.bytes)).add(nothing).add(nothing).add(std::string(Uint2048::size, '\0'));
  header.add(std::uint64_t{0}).add(std::uint64_t{0}).add(genesis.gas_limit).add(std::uint64_t{0});
  header.add(genesis.timestamp).add(std::string_view()).add(zeros).add(std::string(nonce_bytes, '\0'));
  header.add(std::uint64_t{0}).add(nothing); // base fee, withdrawals
  hash_ = keccak256(bytes_of(header.encoded()));
}

} // namespace trunkline::quarkchain

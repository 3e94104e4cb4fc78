#include "services/quarkchain/chain/genesis.hpp"

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/rlp.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/chain/trie.hpp"

#include <map>

namespace trunkline::quarkchain {
namespace {

/// More tokens than this are kept in a trie of their own.
constexpr std::size_t listed_tokens_max = 16;
const Uint256 xshard_gas_limit(6000000);
const Uint256 block_gas_limit(12000000);

struct Account {
  std::uint32_t full_shard_key = 0;
  std::uint64_t nonce = 0;
  Hash256 code_hash = keccak256({});
  TokenBalances balances;
  Trie storage;

  /// Storage alone does not make an account.
  bool is_blank() const { return nonce == 0 && balances.empty() && code_hash == keccak256({}); }
};

std::string word(const BigUint& number) {
  const auto padded = Uint256::from_bytes(bytes_of(number.bytes()));
  if (!padded) throw ConfigFailure("genesis: a storage key of more than 32 bytes");
  return std::string(text_of(padded->bytes()));
}

std::string encoded_number(const BigUint& number) { return rlp_bytes(number.bytes()); }

std::string encoded_balances(const TokenBalances& balances) {
  if (balances.empty()) return {};
  if (balances.size() > listed_tokens_max) {
    Trie trie;
    for (const auto& [token, amount] : balances) trie.set(word(token), encoded_number(amount));
    return '\1' + std::string(text_of(trie.root().bytes));
  }
  RlpList list;
  for (const auto& [token, amount] : balances) list.add_encoded(RlpList().add(token).add(amount).encoded());
  return '\0' + list.encoded();
}

std::string encoded_account(const Account& account) {
  std::byte key[4];
  put_big(key, account.full_shard_key);
  RlpList list;
  list.add(account.nonce).add(encoded_balances(account.balances)).add(text_of(account.storage.root().bytes));
  return list.add(text_of(account.code_hash.bytes)).add(text_of(key)).add(std::string_view()).encoded();
}

std::uint64_t token_of(const std::string& name) {
  const auto id = token_id(name);
  if (!id) throw ConfigFailure("genesis: expected the name of a token, 1 to 12 of 0-9 and A-Z, seen \"" + name + "\"");
  return *id;
}

void add_account(std::map<Recipient, Account>& accounts, const GenesisAccount& given) {
  // The first of several addresses of one recipient decides where the account lives.
  const auto [place, fresh] = accounts.try_emplace(given.address.recipient);
  Account& account = place->second;
  if (fresh) account.full_shard_key = given.address.full_shard_key;
  if (given.code) {
    account.code_hash = keccak256(bytes_of(*given.code));
    account.nonce = 1;
  }
  for (const auto& [key, value] : given.storage)
    account.storage.set(word(key), value.is_zero() ? std::string() : encoded_number(value));
  for (const auto& [name, amount] : given.balances) account.balances.add(token_of(name), amount);
}

Uint256 to_256(const char* key, const BigUint& number) {
  const auto fixed = Uint256::from_bytes(bytes_of(number.bytes()));
  if (!fixed)
    throw ConfigFailure(std::string("genesis: ") + key + ": expected at most 256 bits, seen " + number.to_decimal());
  return *fixed;
}

} // namespace

RootBlock genesis_root_block(const RootGenesis& genesis) {
  RootBlock block;
  block.header.version = genesis.version;
  block.header.height = genesis.height;
  block.header.hash_prev_block = genesis.hash_prev_block;
  block.header.hash_merkle_root = genesis.hash_merkle_root;
  block.header.create_time = genesis.timestamp;
  block.header.difficulty = genesis.difficulty;
  block.header.total_difficulty = genesis.difficulty;
  block.header.nonce = genesis.nonce;
  return block;
}

Hash256 genesis_state_root(const ShardConfig& shard) {
  std::map<Recipient, Account> accounts;
  for (const GenesisAccount& given : shard.genesis.alloc) {
    if (!contains_key(shard.full_shard_id, given.address.full_shard_key))
      throw ConfigFailure("genesis of shard " + shard_text(shard.full_shard_id) + ": ALLOC has key " +
                          shard_text(given.address.full_shard_key) + ", which belongs to another chain");
    add_account(accounts, given);
  }
  Trie state;
  for (const auto& [recipient, account] : accounts)
    if (!account.is_blank()) state.set(text_of(recipient.bytes), encoded_account(account));
  return state.root();
}

MinorBlock genesis_minor_block(const QuarkChainConfig& config, const ShardConfig& shard, const RootBlockHeader& root) {
  const ShardGenesis& genesis = shard.genesis;
  const Fraction& tax = config.reward_tax_rate;
  MinorBlock block;
  block.meta.hash_merkle_root = genesis.hash_merkle_root;
  block.meta.hash_evm_state_root = genesis_state_root(shard);
  block.meta.xshard_tx_cursor_info.root_block_height = root.height;
  block.meta.evm_xshard_gas_limit = xshard_gas_limit;
  MinorBlockHeader& header = block.header;
  header.version = genesis.version;
  header.branch.value = shard.full_shard_id;
  header.height = genesis.height;
  header.coinbase_address.full_shard_key = shard.full_shard_id;
  header.coinbase_amount_map.balance_map.set(
      token_of(config.genesis_token),
      BigUint::scaled(shard.coinbase_amount, tax.denominator - tax.numerator, tax.denominator));
  header.hash_prev_minor_block = genesis.hash_prev_minor_block;
  header.hash_prev_root_block = hash_of(root);
  header.evm_gas_limit = to_256("GAS_LIMIT", genesis.gas_limit);
  header.hash_meta = hash_of(block.meta);
  header.create_time = genesis.timestamp;
  header.difficulty = genesis.difficulty;
  header.extra_data = genesis.extra_data;
  return block;
}

MinorBlock filler_minor_block() {
  MinorBlock block;
  block.header.branch.value = 1;
  block.header.evm_gas_limit = block_gas_limit;
  block.meta.evm_xshard_gas_limit = xshard_gas_limit;
  return block;
}

} // namespace trunkline::quarkchain

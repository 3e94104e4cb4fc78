#include "services/quarkchain/execution/account.hpp"

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/chain/rlp.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace trunkline::quarkchain {
namespace {

/// More tokens than this are kept in a trie of their own.
constexpr std::ptrdiff_t listed_tokens_max = 16;
constexpr char listed = 0;
constexpr char in_trie = 1;
constexpr std::size_t items_count = 6;
constexpr std::size_t listed_tokens_read_max = 1 << 16;

std::string_view key_of(const Hash256& hash) { return text_of(hash.bytes); }

Hash256 hash_from(std::string_view bytes) {
  const auto hash = Hash256::from_bytes(bytes_of(bytes));
  if (!hash) throw MissingNode("an account with a hash of " + std::to_string(bytes.size()) + " bytes");
  return *hash;
}

std::uint64_t small_from(std::string_view bytes) {
  const auto number = BigUint::from_bytes(bytes_of(bytes));
  const auto small = number ? number->to_u64() : std::nullopt;
  if (!small) throw MissingNode("an account with a number of " + std::to_string(bytes.size()) + " bytes");
  return *small;
}

BigUint number_from(std::string_view bytes) {
  auto number = BigUint::from_bytes(bytes_of(bytes));
  if (!number) throw MissingNode("an account with an amount of " + std::to_string(bytes.size()) + " bytes");
  return *std::move(number);
}

BigUint amount_of_item(std::string_view rlp) {
  // One RLP byte string: the number itself below 128, otherwise behind its length.
  if (!rlp.empty() && static_cast<unsigned char>(rlp[0]) >= 0x80) rlp.remove_prefix(1);
  return number_from(rlp);
}

} // namespace

const Hash256& blank_code() {
  static const Hash256 hash = keccak256(std::span<const std::byte>());
  return hash;
}

Hash256 word_key(const BigUint& number) {
  const auto word = Uint256::from_bytes(bytes_of(number.bytes()));
  if (!word) throw std::overflow_error("a word of more than 32 bytes: " + number.to_decimal());
  return keccak256(word->bytes());
}

bool Account::is_blank() const {
  return nonce == 0 && !token_trie && !has_code() &&
         std::all_of(balances.begin(), balances.end(), [](const auto& entry) { return entry.second.is_zero(); });
}

Account Account::decode(std::string_view bytes) try {
  std::array<RlpItem, items_count> items;
  const std::size_t count = rlp_list(bytes, items);
  if (count != items_count || items[4].content.size() != 4)
    throw MissingNode("an account of " + std::to_string(count) + " items");
  Account account;
  account.nonce = small_from(items[0].content);
  std::string_view tokens = items[1].content;
  if (!tokens.empty() && tokens[0] == in_trie) {
    account.token_trie = hash_from(tokens.substr(1));
  } else if (!tokens.empty()) {
    for (const RlpItem& pair : rlp_list(tokens.substr(1), listed_tokens_read_max)) {
      std::array<RlpItem, 2> parts;
      if (rlp_list(pair.whole, parts) != parts.size()) throw MissingNode("an account with a token that has no amount");
      account.balances.emplace_hint(account.balances.end(), small_from(parts[0].content),
                                    number_from(parts[1].content));
    }
  }
  account.storage = hash_from(items[2].content);
  account.code_hash = hash_from(items[3].content);
  account.full_shard_key = get_big<std::uint32_t>(bytes_of(items[4].content).data());
  return account;
} catch (const RlpFailure& failure) {
  throw MissingNode(std::string("an account is no RLP: ") + failure.what());
}

std::string Account::encode(const TrieNodes& nodes, FreshNodes& fresh) {
  const auto held =
      std::count_if(balances.begin(), balances.end(), [](const auto& entry) { return !entry.second.is_zero(); });
  std::string tokens;
  if (token_trie || held > listed_tokens_max) {
    StateTrie trie(nodes, token_trie.value_or(blank_root()));
    for (const auto& [token, amount] : balances) {
      const Hash256 key = word_key(token);
      trie.set(key_of(key), amount.is_zero() ? std::string() : rlp_bytes(amount.bytes()));
      if (!amount.is_zero()) fresh.preimages.emplace_back(key, std::string(text_of(Uint256(token).bytes())));
    }
    token_trie = trie.commit(fresh);
    balances.clear();
    tokens = in_trie + std::string(text_of(token_trie->bytes));
  } else if (!balances.empty()) {
    RlpList list;
    for (const auto& [token, amount] : balances)
      if (!amount.is_zero()) list.add_encoded(RlpList().add(token).add(amount).encoded());
    tokens = listed + list.encoded();
  }
  std::byte key[4];
  put_big(key, full_shard_key);
  RlpList list;
  list.add(nonce).add(tokens).add(text_of(storage.bytes)).add(text_of(code_hash.bytes));
  return list.add(text_of(key)).add(std::string_view()).encoded();
}

BigUint Account::balance(const TrieNodes& nodes, std::uint64_t token) const {
  if (const auto known = balances.find(token); known != balances.end()) return known->second;
  if (!token_trie) return 0;
  StateTrie tokens(nodes, *token_trie);
  const std::string* const value = tokens.get(key_of(word_key(token)));
  return value ? amount_of_item(*value) : BigUint(0);
}

BigUint& Account::known_balance(const TrieNodes& nodes, std::uint64_t token) {
  const auto place = balances.lower_bound(token);
  if (place != balances.end() && place->first == token) return place->second;
  return balances.emplace_hint(place, token, balance(nodes, token))->second;
}

std::map<std::uint64_t, BigUint> Account::all_balances(const TrieNodes& nodes) const {
  std::map<std::uint64_t, BigUint> all = balances;
  if (token_trie)
    StateTrie(nodes, *token_trie).walk(std::nullopt, [&](const std::string& key, const std::string& value) {
      const auto token = nodes.preimage(hash_from(key));
      if (!token) throw MissingNode("the token behind the key " + to_hex(key) + " is not known");
      all.emplace(small_from(*token), amount_of_item(value)); // what is there already has been changed since
      return true;
    });
  std::erase_if(all, [](const auto& entry) { return entry.second.is_zero(); });
  return all;
}

} // namespace trunkline::quarkchain

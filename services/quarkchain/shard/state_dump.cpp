#include "services/quarkchain/shard/state_dump.hpp"

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/chain/json_codec.hpp"
#include "services/quarkchain/execution/account.hpp"
#include "services/quarkchain/shard/shard_database.hpp"
#include "services/quarkchain/shard/shard_keys.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

using Write = std::function<void(std::string_view)>;

/// "name": [ ... ], one item a line.
class List {
 public:
  List(const Write& write, std::string_view name) : write_(write) { write_(fmt::format(",\n\"{}\": [", name)); }
  List(const List&) = delete;
  ~List() { write_(first_ ? "]" : "\n]"); }
  void add(std::string_view item) {
    write_(first_ ? "\n " : ",\n ");
    write_(item);
    first_ = false;
  }

 private:
  const Write& write_;
  bool first_ = true;
};

std::string account_json(const TrieNodes& nodes, const Recipient& who, const Account& account) {
  std::string balances;
  for (const auto& [token, amount] : account.all_balances(nodes))
    balances += fmt::format("{}[{}, \"{}\"]", balances.empty() ? "" : ", ", token, amount.to_decimal());
  return fmt::format(
      "{{\"address\": \"{}\", \"nonce\": {}, \"balances\": [{}], \"token_trie\": {}, \"storage\": \"{}\", "
      "\"code_hash\": \"{}\", \"full_shard_key\": {}}}",
      who.hex(), account.nonce, balances, account.token_trie ? "\"" + account.token_trie->hex() + "\"" : "null",
      account.storage.hex(), account.code_hash.hex(), account.full_shard_key);
}

std::string receipt_json(const Receipt& receipt) {
  return fmt::format(
      "{{\"success\": {}, \"cumulative_gas\": {}, \"logs\": {}, \"contract\": {}, \"full_shard_key\": {}, "
      "\"rlp\": \"{}\"}}",
      receipt.success, receipt.cumulative_gas, receipt.logs.size(),
      receipt.contract ? "\"" + receipt.contract->hex() + "\"" : "null", receipt.full_shard_key,
      to_hex(receipt.to_rlp()));
}

void dump_accounts(const TrieNodes& nodes, const Hash256& root, const Write& write) {
  List accounts(write, "accounts");
  StateTrie(nodes, root).walk(std::nullopt, [&](const std::string& key, const std::string& value) {
    const auto address = nodes.preimage(*Hash256::from_bytes(bytes_of(key)));
    const auto who = address ? Recipient::from_bytes(bytes_of(*address)) : std::nullopt;
    if (!who) throw StoreFailure("the address behind the key " + to_hex(key) + " is not known");
    accounts.add(account_json(nodes, *who, Account::decode(value)));
    return true;
  });
}

/// Records of a family, each as JSON makes them of key and value.
void dump_family(const Store& store, const Write& write, std::string_view name, std::string_view family,
                 const std::function<std::string(std::string_view, std::string_view)>& json) {
  List records(write, name);
  store.scan(family, family, [&](std::string_view key, std::string_view value) {
    records.add(json(key.substr(family.size()), value));
    return true;
  });
}

} // namespace

void dump_state(Store& store, const Hash256& minor, const Write& write) {
  const ShardDatabase database(store, true);
  const TrieNodes nodes(store);
  const auto block = database.minor_block(minor);
  if (!block) throw StoreFailure("the database holds no block " + minor.hex());
  const Hash256& root = block->meta.hash_evm_state_root;
  if (root != blank_root() && !nodes.has(root))
    throw StoreFailure(fmt::format("the database does not hold the state {} of block {}", root.hex(), minor.hex()));
  std::string text;
  append_json(text, block->header);
  write(fmt::format("{{\"block\": \"{}\",\n\"header\": {}", minor.hex(), text));
  text.clear();
  append_json(text, block->meta);
  write(fmt::format(",\n\"meta\": {}", text));
  dump_accounts(nodes, root, write);
  {
    List receipts(write, "receipts");
    for (const Receipt& receipt : database.receipts(minor)) receipts.add(receipt_json(receipt));
  }
  {
    List taken(write, "deposits_taken");
    for (const CrossShardTransactionDeposit& deposit : database.deposits_taken(minor)) {
      text.clear();
      append_json(text, deposit);
      taken.add(text);
    }
  }
  dump_family(store, write, "canonical", "mi_", [](std::string_view height, std::string_view hash) {
    return fmt::format("[{}, \"{}\"]", height, to_hex(hash));
  });
  dump_family(store, write, "transactions", "txindex_", [](std::string_view hash, std::string_view place) {
    const auto* at = bytes_of(place).data();
    const bool whole = place.size() == 8;
    return fmt::format("[\"{}\", {}, {}]", to_hex(hash), whole ? get_big<std::uint32_t>(at) : 0,
                       whole ? get_big<std::uint32_t>(at + 4) : 0);
  });
  const auto key_only = [](std::string_view key, std::string_view) { return "\"" + to_hex(key) + "\""; };
  dump_family(store, write, "of_addresses", "index_addr_", key_only);
  dump_family(store, write, "of_all", "index_alltx_", key_only);
  write("\n}\n");
}

} // namespace trunkline::quarkchain

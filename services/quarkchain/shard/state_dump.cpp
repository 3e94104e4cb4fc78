#include "services/quarkchain/shard/state_dump.hpp"

#include "fragment/json_line.hpp"
#include "fragment/json_text.hpp"
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
  List(const Write& write, std::string_view name) : write_(write) {
    std::string begin = ",\n";
    append_json_text(begin, name);
    write_(begin + ": [");
  }
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
  JsonList balances;
  for (const auto& [token, amount] : account.all_balances(nodes))
    balances.add_json(JsonList().add(token).add(amount.to_decimal()).take());
  JsonLine line;
  line.add("address", who.hex()).add("nonce", account.nonce).add_json("balances", balances.take());
  if (account.token_trie) line.add("token_trie", account.token_trie->hex());
  else line.add_null("token_trie");
  line.add("storage", account.storage.hex()).add("code_hash", account.code_hash.hex());
  return line.add("full_shard_key", account.full_shard_key).take();
}

std::string receipt_json(const Receipt& receipt) {
  JsonLine line;
  line.add("success", receipt.success).add("cumulative_gas", receipt.cumulative_gas);
  line.add("logs", std::uint64_t{receipt.logs.size()});
  if (receipt.contract) line.add("contract", receipt.contract->hex());
  else line.add_null("contract");
  return line.add("full_shard_key", receipt.full_shard_key).add("rlp", to_hex(receipt.to_rlp())).take();
}

/// The block of the execution layer whose state is that of a minor block.
std::string engine_block(const Store& store, const Hash256& minor) {
  if (const auto hash = store.get(shard_keys::of_hash("el_", minor))) return to_hex(*hash);
  return store.get(shard_keys::meta("el_genesis")).value_or("");
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
  const bool of_engine = store.get(shard_keys::meta("executor")).value_or("").starts_with("engine");
  if (!of_engine && root != blank_root() && !nodes.has(root))
    throw StoreFailure(fmt::format("the database does not hold the state {} of block {}", root.hex(), minor.hex()));
  std::string header;
  std::string meta;
  append_json(header, block->header);
  append_json(meta, block->meta);
  std::string begin = JsonLine().add("block", minor.hex()).add_json("header", header).add_json("meta", meta).take();
  begin.pop_back(); // the brace: what follows is too much for one string
  write(begin);
  if (of_engine) {
    std::string named = ",\n\"execution_layer_block\": ";
    append_json_text(named, engine_block(store, minor));
    write(named);
  } else {
    dump_accounts(nodes, root, write);
  }
  {
    List receipts(write, "receipts");
    for (const Receipt& receipt : database.receipts(minor)) receipts.add(receipt_json(receipt));
  }
  {
    List taken(write, "deposits_taken");
    for (const CrossShardTransactionDeposit& deposit : database.deposits_taken(minor)) {
      std::string text;
      append_json(text, deposit);
      taken.add(text);
    }
  }
  dump_family(store, write, "canonical", "mi_", [](std::string_view height, std::string_view hash) {
    return JsonList().add_json(height).add(to_hex(hash)).take();
  });
  dump_family(store, write, "transactions", "txindex_", [](std::string_view hash, std::string_view place) {
    const auto* at = bytes_of(place).data();
    const bool whole = place.size() == 8;
    return JsonList()
        .add(to_hex(hash))
        .add(whole ? get_big<std::uint32_t>(at) : 0)
        .add(whole ? get_big<std::uint32_t>(at + 4) : 0)
        .take();
  });
  const auto key_only = [](std::string_view key, std::string_view) {
    std::string text;
    append_json_text(text, to_hex(key));
    return text;
  };
  dump_family(store, write, "of_addresses", "index_addr_", key_only);
  dump_family(store, write, "of_all", "index_alltx_", key_only);
  write("\n}\n");
}

} // namespace trunkline::quarkchain

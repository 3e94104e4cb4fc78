// The trie that is read and changed, held to the one that is made of all entries at once.
#include "services/quarkchain/chain/rlp.hpp"
#include "services/quarkchain/chain/trie.hpp"
#include "services/quarkchain/execution/account.hpp"
#include "services/quarkchain/execution/state_trie.hpp"
#include "tests/support/seed.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;

namespace {

std::string key_of(std::string_view text) { return std::string(text_of(keccak256(bytes_of(text)).bytes)); }

Hash256 root_of(const std::map<std::string, std::string>& entries) {
  Trie trie;
  for (const auto& [key, value] : entries) trie.set(key, value);
  return trie.root();
}

} // namespace

TEST_CASE("state trie: whatever is set and removed, the root is that of what is left") {
  std::mt19937_64 random(trunkline::test::test_seed());
  const auto store = make_memory_store();
  std::map<std::string, std::string> entries;
  Hash256 root = blank_root();

  for (int block = 0; block < 60; ++block) {
    // Each block begins from what the last one wrote, with nothing loaded.
    TrieNodes nodes(*store, 4096);
    StateTrie trie(nodes, root);
    const int changes = static_cast<int>(random() % 40);
    for (int i = 0; i < changes; ++i) {
      const std::string name = std::to_string(random() % 200);
      // Short values live inside their parents, long ones are named by their hash.
      const std::string value =
          random() % 3 == 0 ? "" : std::string(1 + random() % 60, static_cast<char>('a' + i % 26));
      trie.set(key_of(name), value);
      if (value.empty()) entries.erase(name);
      else entries[name] = value;
    }
    FreshNodes fresh;
    root = trie.commit(fresh);
    StoreBatch batch;
    nodes.write(std::move(fresh), batch);
    store->write(batch);

    REQUIRE(root == root_of(entries));
    StateTrie again(nodes, root);
    for (int i = 0; i < 200; ++i) {
      const auto known = entries.find(std::to_string(i));
      const auto value = again.get(key_of(std::to_string(i)));
      REQUIRE((value != nullptr) == (known != entries.end()));
      if (value) REQUIRE(*value == known->second);
    }
  }
}

TEST_CASE("state trie: one that keeps its upper levels from block to block writes what one that begins anew does") {
  std::mt19937_64 random(trunkline::test::test_seed());
  const auto store = make_memory_store();
  const TrieNodes nodes(*store, 4096);
  TrieNodes writer(*store, 0);
  StateTrie kept(nodes, blank_root());
  Hash256 root = blank_root();

  for (int block = 0; block < 60; ++block) {
    StateTrie anew(nodes, root);
    for (int i = 0; i < 40; ++i) {
      const std::string key = key_of(std::to_string(random() % 2000));
      const std::string value =
          random() % 5 == 0 ? "" : std::string(1 + random() % 60, static_cast<char>('a' + i % 26));
      kept.set(key, value);
      anew.set(key, value);
    }
    FreshNodes of_kept, of_new;
    root = anew.commit(of_new);

    REQUIRE(kept.commit(of_kept) == root);
    // Of those that it did not have to load, none is left out.
    CHECK(of_kept.nodes == of_new.nodes);
    CHECK(of_kept.upper_count == of_new.upper_count);
    if (!of_kept.nodes.empty()) CHECK(of_kept.nodes.back().first == root);
    kept.forget_lower();
    StoreBatch batch;
    writer.write(std::move(of_kept), batch, true);
    store->write(batch);
  }
}

TEST_CASE("state trie: a walk goes by ascending key, and can begin behind any") {
  const auto store = make_memory_store();
  const TrieNodes nodes(*store);
  StateTrie trie(nodes, blank_root());
  std::map<std::string, std::string> sorted;
  for (int i = 0; i < 100; ++i) {
    sorted[key_of(std::to_string(i))] = std::to_string(i);
    trie.set(key_of(std::to_string(i)), std::to_string(i));
  }

  const auto walked = [&](const std::optional<std::string>& after) {
    std::vector<std::string> keys;
    trie.walk(after, [&](const std::string& key, const std::string& value) {
      CHECK(sorted.at(key) == value);
      keys.push_back(key);
      return true;
    });
    return keys;
  };

  std::vector<std::string> all;
  for (const auto& [key, value] : sorted) all.push_back(key);
  CHECK(walked(std::nullopt) == all);
  for (std::size_t i = 0; i < all.size(); i += 7)
    CHECK(walked(all[i]) == std::vector<std::string>(all.begin() + static_cast<std::ptrdiff_t>(i) + 1, all.end()));
  std::string between = all[50];
  between.back() = static_cast<char>(between.back() + 1);
  CHECK(walked(between) == std::vector<std::string>(all.begin() + 51, all.end()));
  int seen = 0;
  trie.walk(std::nullopt, [&](const std::string&, const std::string&) { return ++seen < 5; });
  CHECK(seen == 5);
}

TEST_CASE("state trie: a state that is not there is named, not taken for an empty one") {
  const auto store = make_memory_store();
  const TrieNodes nodes(*store);
  Hash256 lost;
  lost.bytes[0] = std::byte{7};

  CHECK_THROWS_AS(StateTrie(nodes, lost).get(key_of("a")), MissingNode);
}

TEST_CASE("account: its bytes are those of its tokens, few and many, and it stays with a trie once it has one") {
  const auto store = make_memory_store();
  TrieNodes nodes(*store);
  Account account;
  account.nonce = 3;
  account.full_shard_key = 0x10002;
  for (std::uint64_t token = 1; token <= 16; ++token) account.balances[token] = token * 1000;
  FreshNodes fresh;

  const Account few = Account::decode(account.encode(nodes, fresh));
  account.balances[17] = *BigUint::from_decimal("1267650600228229401496703205376");
  const std::string many = account.encode(nodes, fresh);
  StoreBatch batch;
  nodes.write(std::move(fresh), batch);
  store->write(batch);
  Account back = Account::decode(many);

  CHECK(few.balances.size() == 16);
  CHECK(!few.token_trie);
  CHECK(few.full_shard_key == 0x10002);
  REQUIRE(back.token_trie);
  CHECK(back.balance(nodes, 17) == *BigUint::from_decimal("1267650600228229401496703205376"));
  CHECK(back.balance(nodes, 4) == 4000);
  CHECK(back.balance(nodes, 18) == 0);
  CHECK(back.all_balances(nodes).size() == 17);
  for (std::uint64_t token = 1; token <= 17; ++token) back.balances[token] = 0;
  FreshNodes none;
  const Account empty = Account::decode(back.encode(nodes, none));
  CHECK(empty.token_trie == blank_root());
  CHECK(!empty.is_blank());
}

TEST_CASE("rlp: what is appended in pieces is what is made at once, and as long as was said") {
  for (const std::size_t size : {0u, 1u, 2u, 55u, 56u, 255u, 256u, 65535u, 65536u})
    for (const char byte : {'\x01', '\x7f', '\x80'}) {
      CAPTURE(size);
      const std::string bytes(size, byte);
      std::string pieces;
      rlp_append_bytes(pieces, bytes);
      CHECK(pieces == rlp_bytes(bytes));
      CHECK(pieces.size() == rlp_bytes_size(bytes));
      std::string list;
      rlp_append_list_head(list, pieces.size());
      CHECK(list + pieces == RlpList().add(bytes).encoded());
    }
}

TEST_CASE("memory store: a scan is in order, whether a key is that of a node or not") {
  const auto store = make_memory_store();
  StoreBatch batch;
  for (const char* key : {"state_p1", "state_nb", "a", "state_na", "state_c1", "state_nc", "z", "state_"})
    batch.put(key, std::string("of ") + key);
  batch.put("state_nb", "again");
  batch.put("state_nd", "gone");
  batch.erase("state_nd");
  store->write(batch);
  const auto scanned = [&](std::string_view prefix, std::string_view from, std::size_t count_max = 100) {
    std::vector<std::string> keys;
    store->scan(prefix, from, [&](std::string_view key, std::string_view value) {
      CHECK(store->get(key) == std::string(value));
      keys.emplace_back(key);
      return keys.size() < count_max;
    });
    return keys;
  };

  using Keys = std::vector<std::string>;
  CHECK(scanned("", "") == Keys{"a", "state_", "state_c1", "state_na", "state_nb", "state_nc", "state_p1", "z"});
  CHECK(scanned("state_n", "state_nb") == Keys{"state_nb", "state_nc"});
  CHECK(scanned("state_", "state_nb") == Keys{"state_nb", "state_nc", "state_p1"});
  CHECK(scanned("state_nb", "") == Keys{"state_nb"});
  CHECK(scanned("", "state_c", 3) == Keys{"state_c1", "state_na", "state_nb"});
  CHECK(store->get("state_nb") == "again");
  CHECK(!store->has("state_nd"));
}

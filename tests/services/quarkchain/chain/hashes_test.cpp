#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/evm_transaction.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/json_codec.hpp"
#include "services/quarkchain/chain/rlp.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/chain/trie.hpp"
#include "tests/services/quarkchain/vectors.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::test;

namespace {

const std::vector<Json>& hashes(const char* name) { return at(vectors("hashes.json"), name).items; }

std::string text(const BigUint& number) { return number.to_decimal(); }

template <class Header> void check_headers(const char* name) {
  REQUIRE(hashes(name).size() == 6);
  for (const Json& vector : hashes(name)) {
    const auto header = decoded<Header>(bytes_at(vector, "hex"));

    CHECK(hash_of(header).hex() == text_at(vector, "hash"));
    CHECK(mining_hash_of(header).hex() == text_at(vector, "hash_for_mining"));
    CHECK(mining_hash_of(header) == keccak256(bytes_at(vector, "mining_preimage_hex")));
  }
}

template <class Value> void check_hashes(const char* name) {
  REQUIRE(hashes(name).size() == 6);
  for (const Json& vector : hashes(name))
    CHECK(hash_of(decoded<Value>(bytes_at(vector, "hex"))).hex() == text_at(vector, "hash"));
}

} // namespace

TEST_CASE("hashes: Keccak has its own padding") {
  for (const Json& vector : hashes("keccak256")) {
    const auto data = bytes_at(vector, "data");
    CHECK(keccak256(data).hex() == text_at(vector, "hash"));
    const std::span<const std::byte> all = data;
    CHECK(keccak256(all.first(data.size() / 2), all.subspan(data.size() / 2)).hex() == text_at(vector, "hash"));
  }
}

TEST_CASE("hashes: of headers, metas, transactions and balances") {
  check_headers<MinorBlockHeader>("minor_block_header");
  check_headers<RootBlockHeader>("root_block_header");
  check_hashes<MinorBlockMeta>("minor_block_meta");
  check_hashes<TypedTransaction>("typed_transaction");
  check_hashes<TokenBalanceMap>("token_balance_map");
  for (const Json& vector : hashes("root_block_header"))
    CHECK(is_signed(decoded<RootBlockHeader>(bytes_at(vector, "hex"))) == at(vector, "is_signed").boolean);
}

TEST_CASE("hashes: of lists, odd ones and none included") {
  for (const Json& vector : hashes("merkle_root")) {
    REQUIRE(text_at(vector, "item_type") == "TypedTransaction");
    std::vector<TypedTransaction> items;
    for (const Json& item : at(vector, "items_hex").items)
      items.push_back(decoded<TypedTransaction>(bytes_of_hex(item.text)));

    CHECK(merkle_root(items).hex() == text_at(vector, "root"));
  }
}

TEST_CASE("transaction: its fields, hashes and sender as Python has them") {
  REQUIRE(hashes("evm_transaction").size() == 6);
  for (const Json& vector : hashes("evm_transaction")) {
    const auto typed = decoded<TypedTransaction>(bytes_at(vector, "typed_hex"));
    const auto tx = EvmTransaction::from(typed);
    const Json& fields = at(vector, "fields");

    CHECK(text(tx.nonce) == at(fields, "nonce").text);
    CHECK(text(tx.gasprice) == at(fields, "gasprice").text);
    CHECK(text(tx.startgas) == at(fields, "startgas").text);
    CHECK(tx.to->hex() == at(fields, "to").text);
    CHECK(text(tx.value) == at(fields, "value").text);
    CHECK(to_hex(tx.data) == at(fields, "data").text);
    CHECK(text(tx.network_id) == at(fields, "network_id").text);
    CHECK(std::to_string(tx.from_full_shard_key) == at(fields, "from_full_shard_key").text);
    CHECK(std::to_string(tx.to_full_shard_key) == at(fields, "to_full_shard_key").text);
    CHECK(std::to_string(tx.gas_token_id) == at(fields, "gas_token_id").text);
    CHECK(std::to_string(tx.transfer_token_id) == at(fields, "transfer_token_id").text);
    CHECK(text(tx.version) == at(fields, "version").text);
    CHECK(text(tx.v) == at(fields, "v").text);
    CHECK(text(tx.r) == at(fields, "r").text);
    CHECK(text(tx.s) == at(fields, "s").text);
    CHECK(to_hex(tx.to_rlp()) == text_at(vector, "rlp_hex"));
    CHECK(tx.typed() == typed);
    CHECK(hash_of(typed).hex() == text_at(vector, "tx_hash"));
    CHECK(tx.hash_unsigned().hex() == text_at(vector, "hash_unsigned"));
    CHECK(tx.sender().hex() == text_at(vector, "sender"));
  }
}

TEST_CASE("transaction: one of version 2 is signed as in Ethereum") {
  // The example of EIP-155, in our fifteen items: chain 1, private key 0x46...46.
  EvmTransaction tx;
  tx.nonce = 9;
  tx.gasprice = 20'000'000'000;
  tx.startgas = 21000;
  tx.to = Recipient::from_hex("3535353535353535353535353535353535353535");
  tx.value = 1'000'000'000'000'000'000;
  tx.network_id = 1;
  tx.version = 2;
  tx.v = 37;
  tx.r = *BigUint::from_decimal("18515461264373351373200002665853028612451056578545711640558177340181847433846");
  tx.s = *BigUint::from_decimal("46948507304638947509940763649030358759909902576025900602547168820602576006531");

  CHECK(tx.hash_unsigned().hex() == "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53");
  CHECK(tx.sender().hex() == "9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f");
  CHECK(EvmTransaction::from_rlp(tx.to_rlp()) == tx);
}

TEST_CASE("transaction: what nobody signed, or cannot be read, is refused by field") {
  EvmTransaction tx = EvmTransaction::from_rlp(*from_hex(text_at(hashes("evm_transaction")[1], "rlp_hex")));
  const auto refusal = [](const EvmTransaction& wrong) -> std::string {
    try {
      return wrong.sender().hex();
    } catch (const TransactionFailure& failure) {
      return failure.what();
    }
  };
  const auto with = [&](auto change) {
    EvmTransaction changed = tx;
    change(changed);
    return refusal(changed);
  };
  const BigUint order =
      *BigUint::from_decimal("115792089237316195423570985008687907852837564279074904382605163141518161494337");

  CHECK(with([](auto& t) { t.r = BigUint(); }) == "transaction: signature is nobody's");
  CHECK(with([&](auto& t) { t.s = order; }) == "transaction: signature is nobody's");
  CHECK(with([](auto& t) { t.v = BigUint(26); }) == "transaction: v is 26, expected 27 or a little more");
  CHECK(with([](auto& t) { t.v = BigUint(31); }) == "transaction: v is 31, expected 27 or a little more");
  CHECK(with([](auto& t) { t.version = BigUint(3); }) == "transaction: version is 3, known are 0, 1 and 2");
  CHECK_THROWS_WITH_AS(EvmTransaction::from_rlp("x"), "transaction: RLP at byte 0: expected a list, seen a byte string",
                       TransactionFailure);
  CHECK_THROWS_WITH_AS(EvmTransaction::from_rlp("\xc0"), "transaction: has 0 items, expected 15", TransactionFailure);
  const std::string rlp = tx.to_rlp();
  for (std::size_t size = 0; size < rlp.size(); ++size)
    CHECK_THROWS_AS(EvmTransaction::from_rlp(std::string_view(rlp).substr(0, size)), TransactionFailure);
}

TEST_CASE("rlp: the shortest form and no other") {
  CHECK(to_hex(rlp_bytes("")) == "80");
  CHECK(to_hex(rlp_bytes("\x7f")) == "7f");
  CHECK(to_hex(rlp_bytes("\x80")) == "8180");
  CHECK(to_hex(rlp_bytes("dog")) == "83646f67");
  CHECK(to_hex(RlpList().add("cat").add("dog").encoded()) == "c88363617483646f67");
  CHECK(to_hex(rlp_bytes(std::string(56, 'x'))).starts_with("b83878"));
  CHECK(rlp_items(RlpList().add("cat").add(std::string(1000, 'x')).encoded(), 2)[1].size() == 1000);
  for (const char* wrong : {"", "80", "c1", "c18180", "c28100", "c88363617483646f6700", "f800", "f83700", "c1c0",
                            "c2b800", "ffffffffffffffffff", "c9bfffffffffffffffff", "b90400"})
    CHECK_THROWS_AS(rlp_items(*from_hex(wrong), 10), RlpFailure);
  CHECK_THROWS_WITH_AS(rlp_items(RlpList().add("a").add("b").encoded(), 1), "RLP at byte 2: more than 1 items",
                       RlpFailure);
}

TEST_CASE("trie: the root of a known state") {
  // ethereum/tests, TrieTests/hex_encoded_securetrie_test.json, test1.
  Trie trie;
  CHECK(trie.root().hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
  const std::pair<const char*, const char*> entries[] = {
      {"a94f5374fce5edbc8e2a8697c15331677e6ebf0b",
       "f848018405f446a7a056e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421a0c5d2460186f7233c927e7db2dcc"
       "703c0e500b653ca82273b7bfad8045d85a470"},
      {"095e7baea6a6c7c4c2dfeb977efac326af552d87",
       "f8440101a056e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421a004bccc5d94f4d1f99aab44369a910179931"
       "772f2a5c001c3229f57831c102769"},
      {"d2571607e241ecf590ed94b12d87c94babe36db6",
       "f8440180a0ba4b47865c55a341a4a78759bb913cd15c3ee8eaf30a62fa8d1c8863113d84e8a0c5d2460186f7233c927e7db2dcc703c0e50"
       "0b653ca82273b7bfad8045d85a470"},
      {"62c01474f089b07dae603491675dc5b5748f7049",
       "f8448080a056e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421a0c5d2460186f7233c927e7db2dcc703c0e50"
       "0b653ca82273b7bfad8045d85a470"},
      {"2adc25665018aa1fe0e6bc666dac8fc2697ff9ba",
       "f8478083019a59a056e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421a0c5d2460186f7233c927e7db2dcc70"
       "3c0e500b653ca82273b7bfad8045d85a470"}};
  for (const auto& [key, value] : entries) trie.set(*from_hex(key), *from_hex(value));
  CHECK(trie.root().hex() == "730a444e08ab4b8dee147c9b232fc52d34a223d600031c1e9d25bfc985cbd797");
  trie.set("other", "x");
  CHECK(trie.root().hex() != "730a444e08ab4b8dee147c9b232fc52d34a223d600031c1e9d25bfc985cbd797");
  trie.set("other", "");
  CHECK(trie.root().hex() == "730a444e08ab4b8dee147c9b232fc52d34a223d600031c1e9d25bfc985cbd797");
}

TEST_CASE("shard: ids, sizes and addresses as Python has them") {
  for (const Json& vector : hashes("full_shard_id")) {
    const auto key = static_cast<std::uint32_t>(number_at(vector, "full_shard_key"));
    const auto id = static_cast<std::uint32_t>(number_at(vector, "full_shard_id"));

    CHECK(full_shard_id_of_key(key, static_cast<std::uint32_t>(number_at(vector, "shard_size"))) == id);
    CHECK(chain_of(id) == number_at(vector, "chain_id"));
    CHECK(shard_of(id) == number_at(vector, "shard_id"));
    CHECK(shard_size_of(id) == number_at(vector, "branch_shard_size"));
    CHECK(contains_key(id, key));
    CHECK_FALSE(contains_key(id, key ^ 1));
    CHECK_FALSE(contains_key(id, key ^ 0x10000));
    CHECK(shard_text(id) == "0x" + text_at(vector, "hex"));
  }
  for (const Json& vector : hashes("address")) {
    const auto address = decoded<Address>(bytes_at(vector, "hex"));
    CHECK(encoded(address_in_branch(address, static_cast<std::uint32_t>(number_at(vector, "branch")))).text() ==
          text_of(bytes_at(vector, "address_in_branch_hex")));
  }
  CHECK(are_neighbours(full_shard_id(0, 1, 0), full_shard_id(7, 1, 0), 32));
  CHECK_FALSE(are_neighbours(full_shard_id(0, 1, 0), full_shard_id(7, 1, 0), 33));
  CHECK(are_neighbours(full_shard_id(1, 1, 0), full_shard_id(5, 1, 0), 33));
  CHECK(are_neighbours(full_shard_id(0, 64, 3), full_shard_id(0, 64, 3), 64));
  CHECK(are_neighbours(full_shard_id(0, 64, 1), full_shard_id(0, 64, 33), 64));
  CHECK_FALSE(are_neighbours(full_shard_id(0, 64, 1), full_shard_id(1, 64, 2), 128));
}

// Every golden vector in both directions. Types are found by name, as the program does; what the compiler knows of them
// is the same description.
#include "services/quarkchain/protocol/cluster_messages.hpp"
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/protocol/types.hpp"
#include "services/quarkchain/protocol/p2p_messages.hpp"
#include "tests/services/quarkchain/vectors.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::test;

// Not in a namespace without a name, where a function that nobody defines is a warning.
namespace trunkline::test {

/// Members that a structure has, by how many values it can be initialised with.
struct Anything {
  template <class T> operator T() const; // never called
};
template <class T, class... Values> constexpr std::size_t members_count() {
  if constexpr (requires { T{std::declval<Values>()..., Anything()}; }) return members_count<T, Values..., Anything>();
  else return sizeof...(Values);
}

} // namespace trunkline::test

namespace {

struct Decoded {
  bool good = false;
  Json fields;
  std::string encoded_again; // hexadecimal
  std::string error;
};

Decoded decode_by_name(const std::string& type, std::span<const std::byte> bytes) {
  const TypeInfo* info = find_type(type);
  REQUIRE_MESSAGE(info, "no type ", type);
  Decoded result;
  std::string fields;
  ByteBuffer again;
  DecodeError error;
  result.good = info->to_json(bytes, fields, again, error);
  if (result.good) result.fields = Json::parse(fields);
  else result.error = error.text();
  result.encoded_again = to_hex(again);
  return result;
}

struct Encoded {
  bool good = false;
  std::string hex;
  std::string error;
};

Encoded encode_by_name(const std::string& type, const Json& fields) {
  const TypeInfo* info = find_type(type);
  REQUIRE_MESSAGE(info, "no type ", type);
  Encoded result;
  ByteBuffer bytes;
  result.good = info->from_json(fields, bytes, result.error);
  result.hex = to_hex(bytes);
  return result;
}

void check_vectors(const char* file, std::size_t count) {
  const auto& all = at(vectors(file), "vectors").items;
  REQUIRE(all.size() == count);
  for (const Json& vector : all) {
    const std::string& type = text_at(vector, "type");
    CAPTURE(type);
    CAPTURE(text_at(vector, "mode"));
    const std::string& hex = text_at(vector, "hex");

    const Decoded decoded = decode_by_name(type, bytes_of_hex(hex));
    const Encoded encoded = encode_by_name(type, at(vector, "fields"));

    CHECK_MESSAGE(decoded.good, decoded.error);
    CHECK(same(decoded.fields, at(vector, "fields")));
    CHECK(decoded.encoded_again == hex);
    CHECK_MESSAGE(encoded.good, encoded.error);
    CHECK(encoded.hex == hex);
    if (text_at(vector, "mode") == "min") CHECK(find_type(type)->bytes_min == hex.size() / 2);
  }
}

} // namespace

TEST_CASE("codec: structures are read, shown and written as Python does") { check_vectors("structs.json", 150); }
TEST_CASE("codec: cluster messages are read, shown and written as Python does") {
  check_vectors("cluster_messages.json", 335);
}
TEST_CASE("codec: messages between clusters are read, shown and written as Python does") {
  check_vectors("p2p_messages.json", 105);
}

TEST_CASE("codec: no structure has a member that its description leaves out"){
#define CHECK_MEMBERS(TYPE) CHECK_MESSAGE(members_count<TYPE>() == TYPE::fields_count, #TYPE);
#define CHECK_ROW(CODE, NAME, MESSAGE, ...) CHECK_MEMBERS(MESSAGE)
    QUARKCHAIN_CORE_TYPES(CHECK_MEMBERS) QUARKCHAIN_CLUSTER_TYPES(CHECK_ROW, CHECK_MEMBERS)
        QUARKCHAIN_P2P_TYPES(CHECK_MEMBERS)
#undef CHECK_ROW
#undef CHECK_MEMBERS
}

TEST_CASE("codec: every type has vectors, and every vector a type") {
  std::set<std::string, std::less<>> seen;
  for (const Sample& sample : samples()) seen.insert(sample.type);
  for (const TypeInfo& type : types())
    if (type.name != "biguint") CHECK_MESSAGE(seen.contains(type.name), type.name);
  CHECK(seen.size() + 1 == types().size());
}

TEST_CASE("codec: odd bytes that Python accepts mean the same here") {
  for (const Json& vector : at(vectors("noncanonical.json"), "cases").items) {
    CAPTURE(text_at(vector, "what"));

    const Decoded decoded = decode_by_name(text_at(vector, "type"), bytes_at(vector, "hex"));

    CHECK_MESSAGE(decoded.good, decoded.error);
    CHECK(same(decoded.fields, at(vector, "fields")));
    CHECK(decoded.encoded_again == text_at(vector, "reencoded_hex"));
  }
}

TEST_CASE("codec: bytes that Python refuses are refused with type, field and offset") {
  const auto& all = at(vectors("negative.json"), "cases").items;
  REQUIRE(all.size() == 353);
  for (const Json& vector : all) {
    const std::string& type = text_at(vector, "type");
    CAPTURE(type);
    CAPTURE(text_at(vector, "what"));

    const Decoded decoded = decode_by_name(type, bytes_at(vector, "hex"));

    CHECK_FALSE(decoded.good);
    CAPTURE(decoded.error);
    CHECK(decoded.error.starts_with(type + "."));
    CHECK(decoded.error.find(" at byte ") != std::string::npos);
    CHECK(decoded.error.find(": ") != std::string::npos);
  }
}

TEST_CASE("codec: a refusal says where it is, what it wanted and what there was") {
  const auto refusal = [](const char* type, const std::string& hex) {
    return decode_by_name(type, bytes_of_hex(hex)).error;
  };

  CHECK(refusal("Pong", "") == "Pong.id at byte 0: needs 4 bytes, 0 are left");
  CHECK(refusal("Pong", "00000001") == "Pong.id at byte 4: needs 1 byte, 0 are left");
  CHECK(refusal("Pong", "0000000141ffffffff0000000000000000") ==
        "Pong.full_shard_id_list at byte 5: 4294967295 elements of at least 4 bytes, 8 bytes are left");
  CHECK(refusal("AddTransactionRequest", "0100000000") ==
        "AddTransactionRequest.tx.tx at byte 0: unknown transaction type 1, known is 0");
  CHECK(refusal("TokenBalanceMap", "00000002010201030105") ==
        "TokenBalanceMap.balance_map[1].amount at byte 10: needs 1 byte, 0 are left");
  CHECK(refusal("ConnectToSlavesRequest", "0000000100000002414200000100" + std::string(16, '0')) ==
        "ConnectToSlavesRequest.slave_info_list[0].host at byte 14: needs 256 bytes, 8 are left");
}

TEST_CASE("codec: every prefix of every value is refused and nothing behind it is read") {
  for (const Sample& sample : samples()) {
    const TypeInfo* type = find_type(sample.type);
    for (std::size_t size = 0; size < sample.bytes.size(); ++size) {
      const std::vector<std::byte> prefix(sample.bytes.begin(),
                                          sample.bytes.begin() + static_cast<std::ptrdiff_t>(size));
      DecodeError error;
      if (type->check(prefix, error)) FAIL_CHECK(sample.type << " accepts its first " << size << " bytes");
      if (error.offset > size) FAIL_CHECK(sample.type << " looked at byte " << error.offset << " of " << size);
    }
  }
}

TEST_CASE("codec: what follows a value is left alone") {
  Pong pong;
  pong.id = "S0";
  const Payload bytes = encoded(pong);
  std::string longer(bytes.text());
  longer += "more";

  Pong seen;
  DecodeError error;
  std::size_t consumed = 0;
  REQUIRE(decode(bytes_of(longer), seen, error, &consumed));

  CHECK(seen == pong);
  CHECK(consumed == bytes.size());
}

TEST_CASE("codec: unusual values are written as Python writes them") {
  for (const Json& vector : at(vectors("encode.json"), "accepted").items) {
    Json fields = at(vector, "input");
    if (text_at(vector, "type") == "TokenBalanceMap") {
      Json map;
      map.kind = Json::Kind::object;
      map.members.push_back({"balance_map", fields});
      fields = map;
    }

    const Encoded encoded = encode_by_name(text_at(vector, "type"), fields);

    CHECK_MESSAGE(encoded.good, encoded.error);
    CHECK(encoded.hex == text_at(vector, "hex"));
  }
}

TEST_CASE("codec: what has no encoding is refused by name") {
  const auto refusal = [](const char* type, const std::string& json) {
    const Encoded encoded = encode_by_name(type, Json::parse(json));
    CHECK_FALSE(encoded.good);
    CHECK(encoded.hex.empty());
    return encoded.error;
  };
  const std::string two_2040 =
      "1262383049660586222684174870651169998454847760535761095005091618262681841362026988015515680137613807175340545"
      "34851164138648904527931605160527688095259563605939964364716019515983399209962459578542172100149937763938581"
      "219604072733422507180056009672540900709554109516816573779593326332288314873251559077853068444977864803391962"
      "580800682760017849589281937637993445539366428356761821065267423102149447628375691862210717202025241630303118"
      "559188678304314076943801692528246980959705901641444238894928620825482303431806955690226308773426829503900930529"
      "395181208739591967195841536053143145775307050594328881077553168201547776";

  CHECK(refusal("biguint", two_2040)
            .starts_with("biguint: expected an integer of at most 255 bytes, seen the number 126238"));
  CHECK(refusal("MineResponse", R"({"error_code": 4294967296})") ==
        "MineResponse.error_code: expected an integer of 0 to 4294967295, seen the number 4294967296");
  CHECK(refusal("CreateClusterPeerConnectionRequest", R"({"cluster_peer_id": -1})") ==
        "CreateClusterPeerConnectionRequest.cluster_peer_id: expected an integer of 0 to 18446744073709551615, seen "
        "the number -1");
  CHECK(refusal("HashList", R"({"hlist": [")" + std::string(62, '0') + R"("]})") ==
        "HashList.hlist[0]: expected 32 bytes in hexadecimal, seen 31");
  CHECK(refusal("GetStorageResponse", R"({"error_code": 1, "result": ""})") ==
        "GetStorageResponse.result: expected 32 bytes in hexadecimal, seen 0");
  CHECK(refusal("TypedTransaction", R"({"tx": {"type": 1, "serialized_tx": ""}})") ==
        "TypedTransaction.tx.type: unknown transaction type 1, known is 0");
  CHECK(refusal("Pong", R"({"id": "53"})") == "Pong: field full_shard_id_list is missing");
  CHECK(refusal("Pong", R"({"id": "53", "full_shard_id_list": [], "root": 1})") ==
        "Pong: no field \"root\"; there are id, full_shard_id_list");
  CHECK(refusal("Pong", R"({"id": "5", "full_shard_id_list": []})") ==
        "Pong.id: expected bytes in hexadecimal, seen the text \"5\"");

  RootBlock block;
  block.header.extra_data.assign(65536, 'x');
  ByteBuffer bytes;
  CHECK_THROWS_WITH_AS(encode(block, bytes), "RootBlock.header.extra_data: 65536 do not fit behind a length of 2 bytes",
                       EncodeFailure);
  CHECK(bytes.empty());
  GetTransactionReceiptResponse receipt;
  receipt.receipt.logs.emplace_back().topics.resize(256);
  CHECK_THROWS_WITH_AS(encode(receipt, bytes),
                       "GetTransactionReceiptResponse.receipt.logs[0].topics: 256 do not fit behind a length of 1 byte",
                       EncodeFailure);
  Address address;
  static_assert(!std::is_constructible_v<decltype(address.recipient), std::string>,
                "a recipient of another size cannot be made");
}

TEST_CASE("codec: a version that is read and forgotten is written as 1") {
  const auto decoded = decode_by_name("CrossShardTransactionList", bytes_of_hex("0000000000000007"));

  CHECK(decoded.encoded_again == "0000000000000001");
  CHECK(encode_by_name("CrossShardTransactionList", Json::parse(R"({"tx_list": [], "version": 7})")).hex ==
        "0000000000000001");
}

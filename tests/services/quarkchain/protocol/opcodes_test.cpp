#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/protocol/types.hpp"
#include "services/quarkchain/protocol/opcodes.hpp"
#include "tests/services/quarkchain/protocol/opcode_page.hpp"
#include "tests/services/quarkchain/vectors.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::test;

namespace {

std::set<int> codes_from(OpTable table, std::uint8_t sender) {
  std::set<int> codes;
  for (const OpInfo& op : ops(table))
    if (op.senders & sender) codes.insert(op.code);
  return codes;
}

static_assert(std::is_same_v<Rpc<GetAccountDataRequest>::Reply, GetAccountDataResponse>);
static_assert(Rpc<GetAccountDataRequest>::code == ClusterOp::get_account_data_request);
static_assert(Rpc<GetRootBlockHeaderListWithSkipRequest>::reply_code == CommandOp::get_root_block_header_list_response);
static_assert(std::is_same_v<MessageOf<CommandOp::pong>::type, PingPongCommand>);
static_assert(static_cast<int>(ClusterOp::get_total_balance_response) == 196);

} // namespace

TEST_CASE("opcodes: the tables have the codes, names and messages of Python, and no other") {
  CHECK(ops(OpTable::cluster).size() == 67);
  CHECK(ops(OpTable::command).size() == 21);
  CHECK(find_op(OpTable::cluster, std::uint8_t{156}) == nullptr);
  for (const auto& [file, table] :
       {std::pair{"cluster_messages.json", OpTable::cluster}, {"p2p_messages.json", OpTable::command}}) {
    std::set<std::uint64_t> seen;
    for (const Json& vector : at(vectors(file), "vectors").items) {
      const std::uint64_t code = number_at(vector, "op");
      seen.insert(code);
      const OpInfo* op = find_op(table, static_cast<std::uint8_t>(code));
      REQUIRE(op);
      CHECK(op->code == code);
      CHECK(op->name == text_at(vector, "op_name"));
      CHECK(op->message == text_at(vector, "type"));
      CHECK(find_op(table, op->name) == op);
    }
    CHECK(seen.size() == ops(table).size());
  }
  CHECK(find_op(OpTable::cluster, "get_account_data_request")->code == 141);
  CHECK(find_op(OpTable::cluster, "GET_ACCOUNT") == nullptr);
}

TEST_CASE("opcodes: a request is answered with the next code, but 16 with 6") {
  for (const OpTable table : {OpTable::cluster, OpTable::command})
    for (const OpInfo& op : ops(table)) {
      if (op.op_class != OpClass::request) continue;
      CAPTURE(op.name);
      CHECK(op.reply == (table == OpTable::command && op.code == 16 ? 6 : op.code + 1));
      CHECK(find_op(table, op.reply)->op_class == OpClass::reply);
    }
}

TEST_CASE("opcodes: who may send what is as Python serves it") {
  CHECK(codes_from(OpTable::cluster, from_slave) == std::set<int>{145, 187});
  CHECK(codes_from(OpTable::cluster, between_slaves) == std::set<int>{129, 147, 161});
  CHECK(codes_from(OpTable::cluster, from_master).size() == 30);
  CHECK(codes_from(OpTable::command, shard) == std::set<int>{1, 2, 9, 11, 13, 19});
  CHECK(codes_from(OpTable::command, root_chain) == std::set<int>{0, 1, 2, 3, 5, 7, 14, 15, 16, 18});
  for (const OpTable table : {OpTable::cluster, OpTable::command})
    for (const OpInfo& op : ops(table)) CHECK((op.senders == nobody) == (op.op_class == OpClass::reply));
}

TEST_CASE("opcodes: an unserved request that is not fatal has a well-formed answer") {
  std::size_t errors = 0;
  for (const OpTable table : {OpTable::cluster, OpTable::command})
    for (const OpInfo& op : ops(table)) {
      CAPTURE(op.name);
      const bool answers = op.op_class == OpClass::request && op.unserved != Unserved::close;
      REQUIRE((op.fallback != nullptr) == answers);
      if (op.op_class == OpClass::command) CHECK(op.unserved != Unserved::error);
      if (!answers) continue;

      const Payload reply = op.fallback(1);

      std::string fields;
      ByteBuffer again;
      DecodeError error;
      REQUIRE(find_type(find_op(table, op.reply)->message)->to_json(reply.bytes(), fields, again, error));
      CHECK(again.size() == reply.size());
      if (op.unserved != Unserved::error) continue;
      CHECK(fields.starts_with("{\"error_code\": 1"));
      ++errors;
    }
  CHECK(errors == 31);
}

TEST_CASE("opcodes: the page in docs/ is the table") {
  std::ifstream file(QUARKCHAIN_OPCODES_PAGE, std::ios::binary);
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  CHECK_MESSAGE(page == opcode_page(), "the first lines of the page say how it is made anew");
}

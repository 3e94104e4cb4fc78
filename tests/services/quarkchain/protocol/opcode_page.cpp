#include "tests/services/quarkchain/protocol/opcode_page.hpp"

#include "services/quarkchain/protocol/opcodes.hpp"

#include <fmt/format.h>

namespace trunkline::test {
namespace {

using namespace quarkchain;

std::string senders_text(std::uint8_t senders) {
  constexpr struct {
    Senders sender;
    const char* text;
  } all[] = {{from_master, "master to slave"},
             {from_slave, "slave to master"},
             {between_slaves, "slave to slave"},
             {root_chain, "master to master"},
             {shard, "shard to shard"}};
  std::string text;
  for (const auto& [sender, words] : all)
    if (senders & sender) text += (text.empty() ? "" : ", ") + std::string(words);
  return text.empty() ? "whoever was asked" : text;
}

std::string table_text(OpTable table) {
  std::string text =
      "| op | hex | name | message | class | answered with | sent by | unserved |\n|---|---|---|---|---|---|---|---|\n";
  for (const OpInfo& op : ops(table)) {
    const bool asks = op.op_class == OpClass::request;
    text += fmt::format("| {0} | 0x{0:02x} | {1} | `{2}` | {3} | {4} | {5} | {6} |\n", op.code, op.name, op.message,
                        to_string(op.op_class),
                        asks ? fmt::format("{} `{}`", op.reply, find_op(table, op.reply)->message) : "–",
                        senders_text(op.senders), op.op_class == OpClass::reply ? "–" : to_string(op.unserved));
  }
  return text;
}

} // namespace

std::string opcode_page() {
  return "# Opcodes of the QuarkChain cluster protocol\n\n"
         "Made from `services/quarkchain/protocol/opcode_table.hpp`; a test holds the two together. After a change "
         "there:\n\n"
         "```sh\n./dev build -- tests/services/quarkchain/quarkchain_opcodes\n"
         "build/debug/tests/services/quarkchain/quarkchain_opcodes > docs/quarkchain-opcodes.md\n```\n\n"
         "A *request* carries an rpc id from 1 ascending and is answered with the same id; a *command* carries rpc id "
         "0 and is not\nanswered. What becomes of one that may be sent, and that nobody here implements:\n\n"
         "- *error*: a well-formed reply with error code 1 and nothing else in it\n"
         "- *empty*: a well-formed reply with nothing in it, which truly says \"I have none\"\n"
         "- *ignore*: the command is dropped and counted\n"
         "- *close*: there is no harmless answer; the connection, or the virtual one, is closed\n\n"
         "## ClusterOp: a master and its slaves, and slaves among themselves\n\n156 does not exist.\n\n" +
         table_text(OpTable::cluster) +
         "\n## CommandOp: between clusters\n\n16 is answered with 6. Nobody sends 17, but who gets it can read "
         "it.\n\n" +
         table_text(OpTable::command);
}

} // namespace trunkline::test

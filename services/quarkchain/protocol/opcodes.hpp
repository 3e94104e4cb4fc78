// The opcodes of both tables and what is known about each. The facts are in opcode_table.hpp, one line per opcode.
//
//   Rpc<GetAccountDataRequest>::code                 ClusterOp::get_account_data_request
//   Rpc<GetAccountDataRequest>::Reply                GetAccountDataResponse
//   MessageOf<CommandOp::new_root_block>::type       NewRootBlockCommand
//   find_op(OpTable::cluster, 141)->unserved         Unserved::error
#pragma once

#include "fragment/payload.hpp"
#include "services/quarkchain/protocol/cluster_messages.hpp"
#include "services/quarkchain/protocol/opcode_table.hpp"
#include "services/quarkchain/protocol/p2p_messages.hpp"

#include <cstdint>
#include <span>
#include <string_view>

namespace trunkline::quarkchain {

/// Which of the two sets of opcodes a connection speaks: on a master's connection the one with peer id 0 speaks
/// `cluster`, every other, and every connection between clusters, speaks `command`.
enum class OpTable : std::uint8_t { cluster, command };

#define QUARKCHAIN_CODE(CODE, NAME, ...) NAME = CODE,
enum class ClusterOp : std::uint8_t { QUARKCHAIN_CLUSTER_OPS(QUARKCHAIN_CODE, QUARKCHAIN_CODE, QUARKCHAIN_CODE) };
enum class CommandOp : std::uint8_t { QUARKCHAIN_COMMAND_OPS(QUARKCHAIN_CODE, QUARKCHAIN_CODE, QUARKCHAIN_CODE) };
#undef QUARKCHAIN_CODE

enum class OpClass : std::uint8_t {
  request, // rpc ids from 1 ascending; answered with the same id
  reply,
  command, // rpc id 0, never answered
};

/// Who may send an opcode to whom; a set.
enum Senders : std::uint8_t {
  nobody = 0,
  from_master = 1,    // to its slave
  from_slave = 2,     // to its master
  between_slaves = 4,
  root_chain = 8,     // another cluster's master, to ours
  shard = 16,         // another cluster's shard, to ours
};

/// What becomes of a request or command that may be sent, and that nobody here implements.
enum class Unserved : std::uint8_t {
  error,  // a well-formed reply with error_code 1 and nothing else in it
  empty,  // a well-formed reply with nothing in it, which truly says "I have none"
  ignore, // a command is dropped and counted
  close,  // there is no harmless answer: the connection, or the virtual one, is closed
};

struct OpInfo {
  std::uint8_t code;
  std::string_view name;    // as in pyquarkchain: "GET_ACCOUNT_DATA_REQUEST"
  std::string_view message; // "GetAccountDataRequest"
  OpClass op_class;
  std::uint8_t reply;       // of a request: the opcode of its answer
  std::uint8_t senders;     // of Senders
  Unserved unserved;
  Payload (*fallback)(std::uint32_t error_code); // makes the reply of Unserved::error and ::empty; otherwise null
};

/// Ascending by code.
std::span<const OpInfo> ops(OpTable table) noexcept;
/// Null for a code that the table does not have.
const OpInfo* find_op(OpTable table, std::uint8_t code) noexcept;
/// By its name, in either case of letters.
const OpInfo* find_op(OpTable table, std::string_view name) noexcept;

std::string_view to_string(OpTable table) noexcept;
std::string_view to_string(OpClass op_class) noexcept;
std::string_view to_string(Unserved unserved) noexcept;

// Types by opcode and opcodes by type, for the compiler.

template <auto Code> struct MessageOf; // ::type, ::senders
template <class Request> struct Rpc;   // ::code, ::reply_code, ::Reply, ::senders

/// What is sent to be answered.
template <class Message>
concept IsRequest = requires { Rpc<Message>::code; };
/// A reply that can say that something was refused.
template <class Reply>
concept SaysError = requires(Reply reply) { reply.error_code; };

#define QUARKCHAIN_MESSAGE_OF(NAME, MESSAGE, SENDERS) \
  template <> struct MessageOf<QuarkchainOp::NAME> {  \
    using type = MESSAGE;                             \
    static constexpr std::uint8_t senders = SENDERS;  \
  };
#define QUARKCHAIN_REQUEST(CODE, NAME, MESSAGE, REPLY, SENDERS, ...) QUARKCHAIN_MESSAGE_OF(NAME, MESSAGE, SENDERS)
#define QUARKCHAIN_REPLY(CODE, NAME, MESSAGE) QUARKCHAIN_MESSAGE_OF(NAME, MESSAGE, nobody)
#define QUARKCHAIN_COMMAND(CODE, NAME, MESSAGE, SENDERS, ...) QUARKCHAIN_MESSAGE_OF(NAME, MESSAGE, SENDERS)
#define QUARKCHAIN_RPC(CODE, NAME, MESSAGE, REPLY, SENDERS, ...) \
  template <> struct Rpc<MESSAGE> {                              \
    static constexpr auto code = QuarkchainOp::NAME;             \
    static constexpr auto reply_code = QuarkchainOp::REPLY;      \
    static constexpr std::uint8_t senders = SENDERS;             \
    using Reply = MessageOf<QuarkchainOp::REPLY>::type;          \
  };
#define QuarkchainOp ClusterOp
QUARKCHAIN_CLUSTER_OPS(QUARKCHAIN_REQUEST, QUARKCHAIN_REPLY, QUARKCHAIN_COMMAND)
QUARKCHAIN_CLUSTER_OPS(QUARKCHAIN_RPC, QUARKCHAIN_NOTHING, QUARKCHAIN_NOTHING)
#undef QuarkchainOp
#define QuarkchainOp CommandOp
QUARKCHAIN_COMMAND_OPS(QUARKCHAIN_REQUEST, QUARKCHAIN_REPLY, QUARKCHAIN_COMMAND)
QUARKCHAIN_COMMAND_OPS(QUARKCHAIN_RPC, QUARKCHAIN_NOTHING, QUARKCHAIN_NOTHING)
#undef QuarkchainOp
#undef QUARKCHAIN_MESSAGE_OF
#undef QUARKCHAIN_REQUEST
#undef QUARKCHAIN_REPLY
#undef QUARKCHAIN_COMMAND
#undef QUARKCHAIN_RPC

/// Which table the messages of a sender are in.
constexpr OpTable table_of(Senders sender) noexcept {
  return sender == root_chain || sender == shard ? OpTable::command : OpTable::cluster;
}

/// Calls `visit.template operator()<code>()` for each opcode, ascending.
template <OpTable table, class Visit> void for_each_op(const Visit& visit) {
#define QUARKCHAIN_VISIT_OP(CODE, NAME, ...) visit.template operator()<QuarkchainOp::NAME>();
  if constexpr (table == OpTable::cluster) {
#define QuarkchainOp ClusterOp
    QUARKCHAIN_CLUSTER_OPS(QUARKCHAIN_VISIT_OP, QUARKCHAIN_VISIT_OP, QUARKCHAIN_VISIT_OP)
#undef QuarkchainOp
  } else {
#define QuarkchainOp CommandOp
    QUARKCHAIN_COMMAND_OPS(QUARKCHAIN_VISIT_OP, QUARKCHAIN_VISIT_OP, QUARKCHAIN_VISIT_OP)
#undef QuarkchainOp
  }
#undef QUARKCHAIN_VISIT_OP
}

} // namespace trunkline::quarkchain

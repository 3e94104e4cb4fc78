// A request or command that somebody has written as words: an opcode, and its fields as JSON.
#pragma once

#include "fragment/byte_buffer.hpp"
#include "services/quarkchain/protocol/opcodes.hpp"
#include "services/quarkchain/rpc/rpc.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace trunkline::cli {

/// Ready to be sent.
struct Asked {
  const quarkchain::OpInfo* op = nullptr;
  quarkchain::OpTable table = quarkchain::OpTable::cluster; // where it was found
  ByteBuffer payload;

  /// "141 GET_ACCOUNT_DATA_REQUEST"
  std::string text() const;
};

/// By number, or by name in either case, whose _REQUEST or _COMMAND may be left out; the first of `tables` that has it.
/// Errors: UsageError, which names those that are near; also for replies.
Asked find_asked(std::span<const quarkchain::OpTable> tables, const std::string& word);

/// Each opcode with the fields that follow it: JSON, @FILE, or @- for the standard input. Without any, every field is
/// zero, empty or absent. Errors: UsageError, which names message and field; sync::FileError.
std::vector<Asked> read_asked(std::span<const quarkchain::OpTable> tables, std::span<const std::string> words);

/// The fields of a new message, as JSON.
std::string blank_fields(const Asked& asked);

/// Fields that somebody sent, as JSON. Errors: error::cannot_decode, which names the message, its field and `from`.
std::string fields_text(const quarkchain::OpInfo& op, std::span<const std::byte> payload, const std::string& from);

/// The fields of a reply. What answers with another opcode than it should is taken at its word, and `note` says so.
std::string reply_text(const Asked& asked, const quarkchain::RpcReply& reply, const std::string& from,
                       std::string& note);

} // namespace trunkline::cli

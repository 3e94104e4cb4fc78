#include "cli/quarkchain/request_line.hpp"

#include "cli/exit_code.hpp"
#include "cli/nearest.hpp"
#include "fragment/error.hpp"
#include "fragment/input_file.hpp"
#include "services/quarkchain/protocol/types.hpp"
#include "services/sync/disk.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <iostream>
#include <iterator>
#include <string_view>
#include <system_error>
#include <utility>

namespace trunkline::cli {

using namespace quarkchain;

namespace {

const TypeInfo& type_of(const OpInfo& op) { return *find_type(op.message); }

const OpInfo* find_named(OpTable table, const std::string& word) {
  std::uint8_t code = 0;
  const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), code);
  if (failure == std::errc() && end == word.data() + word.size()) return find_op(table, code);
  for (const char* ending : {"", "_REQUEST", "_COMMAND"})
    if (const OpInfo* found = find_op(table, std::string_view(word + ending))) return found;
  return nullptr;
}

std::string content_of(const std::string& path) {
  if (path == "-") {
    std::string content((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
    if (std::cin.bad()) throw sync::FileError("read", path, errno);
    return content;
  }
  try {
    return content_of_file(path);
  } catch (const std::system_error& failure) {
    throw sync::FileError("read", path, failure.code().value());
  }
}

/// Whatever is no opcode for sure.
bool is_fields(const std::string& word) {
  const std::size_t at = word.find_first_not_of(" \t\r\n");
  return at != std::string::npos && std::string_view("{[\"@").find(word[at]) != std::string_view::npos;
}

void encode_fields(Asked& asked, const std::string& text) {
  std::string why;
  try {
    if (type_of(*asked.op).from_json(Json::parse(text), asked.payload, why)) return;
  } catch (const JsonError& failure) {
    why = fmt::format("{}: {}", asked.op->message, failure.what());
  }
  throw UsageError(fmt::format("{}: {}", asked.text(), why));
}

} // namespace

std::string Asked::text() const { return fmt::format("{} {}", op->code, op->name); }

Asked find_asked(std::span<const OpTable> tables, const std::string& word) {
  Asked asked;
  std::vector<std::string_view> names;
  for (const OpTable table : tables) {
    for (const OpInfo& op : ops(table))
      if (op.op_class != OpClass::reply) names.push_back(op.name);
    if (asked.op) continue;
    asked.op = find_named(table, word);
    asked.table = table;
  }
  if (!asked.op)
    throw UsageError(fmt::format("there is no opcode \"{}\"{}", word.substr(0, 80), did_you_mean(word, names)));
  if (asked.op->op_class == OpClass::reply)
    throw UsageError(fmt::format("{} is a reply: nobody answers it", asked.text()));
  return asked;
}

std::vector<Asked> read_asked(std::span<const OpTable> tables, std::span<const std::string> words) {
  std::vector<Asked> all;
  for (std::size_t i = 0; i < words.size(); ++i) {
    Asked asked = find_asked(tables, words[i]);
    std::string fields;
    if (i + 1 == words.size() || !is_fields(words[i + 1])) fields = blank_fields(asked);
    else if (words[++i].starts_with('@')) fields = content_of(words[i].substr(1));
    else fields = words[i];
    encode_fields(asked, fields);
    all.push_back(std::move(asked));
  }
  return all;
}

std::string blank_fields(const Asked& asked) {
  std::string fields;
  type_of(*asked.op).blank(fields);
  return fields;
}

std::string fields_text(const OpInfo& op, std::span<const std::byte> payload, const std::string& from) {
  std::string fields;
  ByteBuffer again;
  DecodeError error;
  if (!type_of(op).to_json(payload, fields, again, error))
    throw_error(error::cannot_decode,
                fmt::format("{} bytes from {} are no {}: {}", payload.size(), from, op.message, error.text()));
  return fields;
}

std::string reply_text(const Asked& asked, const RpcReply& reply, const std::string& from, std::string& note) {
  const OpInfo* op = find_op(asked.table, reply.op);
  if (!op || op->op_class != OpClass::reply) op = find_op(asked.table, asked.op->reply);
  if (reply.op != asked.op->reply)
    note = fmt::format("{} answered {} with opcode {} instead of {}", from, asked.text(), reply.op, asked.op->reply);
  return fields_text(*op, reply.payload.bytes(), from);
}

} // namespace trunkline::cli

#include "services/quarkchain/protocol/frame_json.hpp"

#include "services/quarkchain/chain/bytes.hpp"
#include "services/quarkchain/protocol/types.hpp"
#include "services/quarkchain/chain/json_fields.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace trunkline::quarkchain {
namespace {

/// Ends reading a frame from JSON; never leaves this file.
struct Refused {
  std::string why;
};

[[noreturn]] void refuse(const char* member, const std::string& expected, const Json* seen) {
  throw Refused{std::string(member) + ": expected " + expected + ", seen " +
                (seen ? seen->describe() : std::string("nothing"))};
}

std::uint64_t number(const Json* json, const char* member, std::uint64_t max) {
  JsonReader reader;
  std::uint64_t value = 0;
  if (!json || !take_json_number(reader, *json, max, value))
    refuse(member, fmt::format("an integer of 0 to {}", max), json);
  return value;
}

void read_metadata(const Json* metadata, Framing framing, FrameHeader& header) {
  if (!metadata) return;
  if (metadata->kind != Json::Kind::object) refuse("metadata", "an object", metadata);
  for (const JsonMember& member : metadata->members) {
    if (member.name == "branch" && framing != Framing::slave) {
      header.branch = static_cast<std::uint32_t>(
          number(&member.value, "metadata.branch", std::numeric_limits<std::uint32_t>::max()));
    } else if (member.name == "cluster_peer_id" && framing == Framing::cluster) {
      header.cluster_peer_id =
          number(&member.value, "metadata.cluster_peer_id", std::numeric_limits<std::uint64_t>::max());
    } else {
      throw Refused{"metadata: framing " + std::string(to_string(framing)) + " has no \"" + member.name + "\""};
    }
  }
}

constexpr OpTable other(OpTable table) { return table == OpTable::cluster ? OpTable::command : OpTable::cluster; }

template <class Key> const OpInfo* find_in_either(OpTable table, Key key) {
  const OpInfo* const found = find_op(table, key);
  return found ? found : find_op(other(table), key);
}

std::uint8_t read_op(const Json& json, OpTable table) {
  const Json* const op = json.find("op");
  const Json* const name = json.find("op_name");
  if (!name) return static_cast<std::uint8_t>(number(op, "op", 255));
  // PING and PONG are in both.
  const OpInfo* info = nullptr;
  if (op) {
    info = find_in_either(table, static_cast<std::uint8_t>(number(op, "op", 255)));
    if (!info || name->kind != Json::Kind::text || name->text != info->name)
      refuse("op_name", info ? std::string(info->name) + " for " + op->text : "the name of an opcode", name);
  } else {
    info = name->kind == Json::Kind::text ? find_in_either(table, std::string_view(name->text)) : nullptr;
    if (!info) refuse("op_name", "the name of an opcode", name);
  }
  return info->code;
}

void read_payload(const Json& json, const OpInfo* op, ByteBuffer& payload) {
  if (const Json* hex = json.find("payload_hex")) {
    const auto bytes = hex->kind == Json::Kind::text ? from_hex(hex->text) : std::nullopt;
    if (!bytes) refuse("payload_hex", "bytes in hexadecimal", hex);
    payload.append(bytes_of(*bytes));
    return;
  }
  const Json* const fields = json.find("fields");
  if (!fields) refuse("fields", "an object", nullptr);
  if (!op) throw Refused{"op: nothing is known of its fields; give its payload_hex"};
  const Json* const type = json.find("type");
  if (type && type->text != op->message) refuse("type", fmt::format("{} for {}", op->message, op->name), type);
  std::string why;
  if (!find_type(op->message)->from_json(*fields, payload, why)) throw Refused{std::move(why)};
}

} // namespace

std::optional<Framing> framing_named(std::string_view name) noexcept {
  for (const Framing framing : {Framing::cluster, Framing::slave, Framing::p2p})
    if (to_string(framing) == name) return framing;
  return std::nullopt;
}

OpTable table_of(Framing framing, const FrameHeader& header) noexcept {
  return framing == Framing::p2p || header.cluster_peer_id != 0 ? OpTable::command : OpTable::cluster;
}

const OpInfo* op_of(Framing framing, const FrameHeader& header) noexcept {
  return find_in_either(table_of(framing, header), header.opcode);
}

std::string append_frame_json(std::string& out, Framing framing, const FrameHeader& header,
                              std::span<const std::byte> payload) {
  const OpInfo* const op = op_of(framing, header);
  out += "\"metadata\": {";
  if (framing != Framing::slave) out += fmt::format("\"branch\": {}", header.branch);
  if (framing == Framing::cluster) {
    out += ", \"cluster_peer_id\": ";
    put_json(out, header.cluster_peer_id);
  }
  out += fmt::format("}}, \"op\": {}", header.opcode);
  if (op) out += fmt::format(", \"op_name\": \"{}\"", op->name);
  out += ", \"rpc_id\": ";
  put_json(out, header.rpc_id);
  const auto add_payload = [&] {
    out += ", \"payload_hex\": ";
    put_json_hex(out, payload);
  };
  if (!op) {
    add_payload();
    return fmt::format("there is no opcode {}", header.opcode);
  }
  out += fmt::format(", \"type\": \"{}\"", op->message);
  std::string fields;
  ByteBuffer again;
  DecodeError error;
  if (!find_type(op->message)->to_json(payload, fields, again, error)) {
    add_payload();
    return error.text();
  }
  out += ", \"fields\": " + fields;
  const std::span<const std::byte> canonical = again;
  if (!std::equal(payload.begin(), payload.end(), canonical.begin(), canonical.end())) add_payload();
  return {};
}

bool frame_from_json(const Json& json, Framing framing, ByteBuffer& into, std::string& why) {
  try {
    if (json.kind != Json::Kind::object) throw Refused{"expected an object, seen " + json.describe()};
    FrameHeader header;
    read_metadata(json.find("metadata"), framing, header);
    header.opcode = read_op(json, table_of(framing, header));
    header.rpc_id = number(json.find("rpc_id"), "rpc_id", std::numeric_limits<std::uint64_t>::max());
    ByteBuffer payload;
    read_payload(json, op_of(framing, header), payload);
    if (payload.size() > std::numeric_limits<std::uint32_t>::max()) throw Refused{"a payload beyond 4 GiB"};
    header.length = static_cast<std::uint32_t>(payload.size());
    append_frame_header(into, framing, header);
    into.append(payload);
    return true;
  } catch (Refused& refused) {
    why = std::move(refused.why);
    return false;
  }
}

} // namespace trunkline::quarkchain

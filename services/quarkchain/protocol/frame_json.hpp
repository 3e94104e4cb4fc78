// Whole frames as lines of JSON and back, for people and scripts who look at recordings.
#pragma once

#include "fragment/byte_buffer.hpp"
#include "services/quarkchain/protocol/frame.hpp"
#include "services/quarkchain/chain/json.hpp"
#include "services/quarkchain/protocol/opcodes.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace trunkline::quarkchain {

/// Nothing for a name that is none of "cluster", "slave", "p2p".
std::optional<Framing> framing_named(std::string_view name) noexcept;

/// The opcodes that a frame's opcode should be one of.
OpTable table_of(Framing framing, const FrameHeader& header) noexcept;
/// What is known of it. The two tables share no code, so that one in the wrong place is still known for what it is;
/// null for a code that is in neither.
const OpInfo* op_of(Framing framing, const FrameHeader& header) noexcept;

/// Appends the members of one frame, without braces: metadata, op, op_name, rpc_id, type, fields. A payload that is
/// none, or not exactly what its fields would be encoded as, is there as payload_hex, too. Returns why it is none;
/// otherwise nothing.
std::string append_frame_json(std::string& out, Framing framing, const FrameHeader& header,
                              std::span<const std::byte> payload);

/// The inverse: appends the frame that an object of these members tells, other members being left alone. The payload is
/// payload_hex where it is given, else the fields. Says false and why when it tells none.
bool frame_from_json(const Json& json, Framing framing, ByteBuffer& into, std::string& why);

} // namespace trunkline::quarkchain

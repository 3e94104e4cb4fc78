// The protocol of channels on their circuits. docs/network.md specifies it for other implementations.
//
// One circuit per sender, receiver and channel, opened by the sender to the service "network", with the channel's name
// as the circuit's name. Fragments on it are messages (payload and args). With op_acked, `part` is a number, which
// comes back with op_ack when the processor has handled the message.
#pragma once

#include "peer/channel/conduit.hpp"

#include <cstdint>

namespace trunkline {

inline constexpr const char* network_service = "network";
inline constexpr const char* operator_service = "network.operator";
inline constexpr std::int32_t op_message = 0;
inline constexpr std::int32_t op_acked = 1;
inline constexpr std::int32_t op_ack = 2;
// Answers to an operator; counters are args.
inline constexpr std::int32_t op_operator_total = 1;
inline constexpr std::int32_t op_operator_channel = 2;
inline constexpr std::int32_t op_operator_peer = 3;

/// Copies a message into a fragment. A large payload is shared with the message, which may have to be sent again.
Fragment fragment_of(std::int32_t op, std::int64_t number, Message& message);

} // namespace trunkline

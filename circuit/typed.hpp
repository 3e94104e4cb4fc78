// Protobuf messages as fragments: the payload is the message, the op says of which type.
#pragma once

#include "circuit/circuit.hpp"
#include "fragment/error.hpp"

#include <google/protobuf/message_lite.h>

#include <optional>
#include <string>
#include <utility>

namespace trunkline {

/// A fragment with the message as its payload. Errors: error::fragment_too_large for a message beyond 1 GiB.
Fragment to_fragment(std::int32_t op, const google::protobuf::MessageLite& message);

/// Reads a message out of a fragment. Errors: error::cannot_decode, which names the type, the op and the size.
void from_fragment(const Fragment& fragment, google::protobuf::MessageLite& message);

/// Sends a message on the circuit; see Circuit::send.
awaitable<void> send_message(Circuit& circuit, std::int32_t op, const google::protobuf::MessageLite& message);

/// The next fragment of the circuit as a message; see Circuit::receive. Errors also: error::cannot_decode.
template <class Message> awaitable<std::optional<Message>> receive_message(Circuit& circuit) {
  const std::optional<Fragment> fragment = co_await circuit.receive();
  std::optional<Message> message;
  if (fragment) from_fragment(*fragment, message.emplace());
  co_return message;
}

} // namespace trunkline

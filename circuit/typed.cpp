#include "circuit/typed.hpp"

#include <fmt/format.h>

namespace trunkline {

Fragment to_fragment(std::int32_t op, const google::protobuf::MessageLite& message) {
  const std::size_t size = message.ByteSizeLong();
  if (size > std::size_t{1} << 30)
    throw_error(error::fragment_too_large, fmt::format("{} of {} bytes exceeds 1 GiB", message.GetTypeName(), size));
  Fragment fragment(op, Payload::uninitialized(size));
  message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(fragment.payload.writable().data()));
  return fragment;
}

void from_fragment(const Fragment& fragment, google::protobuf::MessageLite& message) {
  if (!message.ParseFromArray(fragment.payload.data(), static_cast<int>(fragment.payload.size())))
    throw_error(error::cannot_decode, fmt::format("payload of {} bytes with op {} is not a {}", fragment.payload.size(),
                                                  fragment.op, message.GetTypeName()));
}

awaitable<void> send_message(Circuit& circuit, std::int32_t op, const google::protobuf::MessageLite& message) {
  return circuit.send(to_fragment(op, message));
}

} // namespace trunkline

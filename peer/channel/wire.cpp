#include "peer/channel/wire.hpp"

namespace trunkline {

Fragment fragment_of(std::int32_t op, std::int64_t number, Message& message) {
  Fragment fragment(op);
  fragment.part = number;
  fragment.payload = message.payload.slice(0, message.payload.size());
  fragment.args = message.metadata;
  return fragment;
}

} // namespace trunkline

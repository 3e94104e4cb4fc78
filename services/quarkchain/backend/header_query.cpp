#include "services/quarkchain/backend/header_query.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {

Hash256 data_of_height(const BigUint& height) {
  const auto number = Uint256::from_bytes(bytes_of(height.bytes()));
  if (!number) throw Refused(Refusal::failed, "a height of more than 32 bytes");
  return *Hash256::from_bytes(number->bytes());
}

HeaderQuery header_query(std::uint8_t type, const Hash256& data, std::uint32_t limit, std::uint32_t skip,
                         std::uint8_t direction) {
  if (type > 1) throw Refused(Refusal::failed, fmt::format("type is {}, expected 0 or 1", type));
  if (direction > 1) throw Refused(Refusal::failed, fmt::format("direction is {}, expected 0 or 1", direction));
  HeaderQuery query;
  if (type == 0) {
    query.hash = data;
  } else {
    query.height = *BigUint::from_bytes(data);
  }
  query.limit = limit;
  query.skip = skip;
  query.towards_tip = direction == 1;
  return query;
}

} // namespace trunkline::quarkchain

// Numbers in the keys and values of a store: big-endian, so that keys ascend with them.
#pragma once

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/chain/bytes.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace trunkline::quarkchain::keys {

template <class Number> std::string number(Number value) {
  std::byte bytes[sizeof(Number)];
  put_big(bytes, value);
  return std::string(text_of(bytes));
}
/// 0 for a text of another length.
template <class Number> Number to_number(std::string_view text) {
  return text.size() == sizeof(Number) ? get_big<Number>(bytes_of(text).data()) : Number();
}

} // namespace trunkline::quarkchain::keys

// Ethereum's recursive length prefix: byte strings and lists of them.
#pragma once

#include "services/quarkchain/chain/bytes.hpp"
#include "services/quarkchain/chain/number.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

/// Writes one list, item by item.
class RlpList {
 public:
  RlpList() { items_.reserve(bytes_usual); }
  RlpList& add(std::string_view bytes);
  RlpList& add(const BigUint& number) { return add(number.bytes()); }
  RlpList& add(std::uint64_t number) { return add(BigUint(number)); }
  /// An item that is encoded already: an inner list, or what rlp_bytes made.
  RlpList& add_encoded(std::string_view item);
  std::string encoded() const;

 private:
  static constexpr std::size_t bytes_usual = 128; // an account, a transaction: one allocation

  std::string items_;
};

std::string rlp_bytes(std::string_view bytes);

// The same in pieces, for who knows beforehand how long it will be.
std::size_t rlp_bytes_size(std::string_view bytes);
void rlp_append_bytes(std::string& to, std::string_view bytes);
/// What stands before the items of a list; together they have `size` bytes.
void rlp_append_list_head(std::string& to, std::size_t size);

/// Why bytes are no RLP, or not the one that was asked for: "RLP at byte 3: ...".
class RlpFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One item of a list: its content, and the whole of it with its length in front.
struct RlpItem {
  bool list = false;
  std::string_view content;
  std::string_view whole;
};

/// The items of one list that fills `bytes` exactly, be they byte strings or lists. They view `bytes`.
/// Only the shortest form is read. Errors: RlpFailure.
std::vector<RlpItem> rlp_list(std::string_view bytes, std::size_t items_max);
/// The same into `items`, of which there may be no more; returns how many there are.
std::size_t rlp_list(std::string_view bytes, std::span<RlpItem> items);

/// The items of one list that fills `bytes` exactly; each is a byte string, no list. They view `bytes`.
/// Only the shortest form is read. Errors: RlpFailure.
std::vector<std::string_view> rlp_items(std::string_view bytes, std::size_t items_max);

} // namespace trunkline::quarkchain

#include "services/quarkchain/engine/account_proofs.hpp"

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/chain/rlp.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::string_view family = "state_p"; // as the executor of plain transfers names it: what a key is the hash of
constexpr std::size_t branch_items = 17;
constexpr std::size_t account_items = 4;
constexpr std::size_t bytes_max = std::size_t{32} << 20; // of nodes; then they are asked for again

std::string digits_of(std::string_view bytes) {
  std::string digits;
  for (const char byte : bytes) {
    digits += static_cast<char>(static_cast<unsigned char>(byte) >> 4);
    digits += static_cast<char>(static_cast<unsigned char>(byte) & 15);
  }
  return digits;
}

std::string bytes_of_digits(std::string_view digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) bytes += static_cast<char>(digits[i] << 4 | digits[i + 1]);
  return bytes;
}

BigUint number_of(std::string_view bytes) {
  const auto number = BigUint::from_bytes(bytes_of(bytes));
  if (!number) throw RlpFailure("an account with a number of " + std::to_string(bytes.size()) + " bytes");
  return *number;
}

Hash256 hash_from(std::string_view bytes) {
  const auto hash = Hash256::from_bytes(bytes_of(bytes));
  if (!hash) throw RlpFailure("a hash of " + std::to_string(bytes.size()) + " bytes");
  return *hash;
}

} // namespace

void HashedAddresses::know(const Recipient& who, StoreBatch& into) {
  into.put(std::string(family).append(text_of(keccak256(who.bytes).bytes)), std::string(text_of(who.bytes)));
}

std::optional<Recipient> HashedAddresses::below(const Store& known, std::string_view digits) {
  std::string from = std::string(family) + bytes_of_digits(digits);
  const std::string prefix = from; // all but an odd last digit
  const bool odd = digits.size() % 2 == 1;
  if (odd) from += static_cast<char>(digits.back() << 4);
  std::optional<Recipient> found;
  known.scan(prefix, from, [&](std::string_view key, std::string_view who) {
    if (!odd || static_cast<unsigned char>(key[prefix.size()]) >> 4 == digits.back())
      found = Recipient::from_bytes(bytes_of(who)); // nothing for what is no address
    return false;
  });
  return found ? found : made_up(digits);
}

/// Each is hashed once, however often this is called.
std::optional<Recipient> HashedAddresses::made_up(std::string_view digits) {
  if (digits.size() > digits_max) return std::nullopt;
  const auto address = [](std::uint32_t number) {
    Recipient who;
    put_big(who.bytes.data() + Recipient::size - sizeof number, number);
    return who;
  };
  std::size_t first = 0;
  for (const char digit : digits) first = first << 4 | static_cast<std::size_t>(digit);
  const std::size_t shift = 4 * (digits_max - digits.size());
  const std::size_t begin = first << shift;
  const std::size_t end = (first + 1) << shift;
  if (first_.empty()) first_.resize(std::size_t{1} << (4 * digits_max));
  const auto at = [&](std::size_t place) { return first_.begin() + static_cast<std::ptrdiff_t>(place); };
  if (const auto known = std::find_if(at(begin), at(end), [](std::uint32_t number) { return number != 0; });
      known != at(end))
    return address(*known);
  for (;;) {
    const Hash256 hash = keccak256(address(++made_).bytes);
    const std::size_t place = get_big<std::uint32_t>(hash.bytes.data()) >> (32 - 4 * digits_max);
    if (first_[place] == 0) first_[place] = made_;
    if (place >= begin && place < end) return address(made_);
  }
}

void AccountProofs::learn(std::string node) {
  if (bytes_ + node.size() > bytes_max) {
    nodes_.clear();
    bytes_ = 0;
  }
  const Hash256 hash = keccak256(bytes_of(node));
  const std::size_t size = node.size();
  if (nodes_.try_emplace(hash, std::move(node)).second) bytes_ += size;
}

std::optional<std::string> AccountProofs::walk(const Hash256& root, const std::optional<Hash256>& after,
                                               const Visit& visit) {
  static const Hash256 blank = keccak256(bytes_of(rlp_bytes({})));
  if (root == blank) return std::nullopt;
  std::string way;
  const std::string bound = after ? digits_of(text_of(after->bytes)) : std::string();
  const Step step =
      walk_hash(text_of(root.bytes), way, after ? std::optional<std::string_view>(bound) : std::nullopt, visit);
  return step == Step::unknown ? std::optional(way) : std::nullopt;
}

/// Where it is unknown `way` stays as it is.
AccountProofs::Step AccountProofs::walk_hash(std::string_view hash, std::string& way,
                                             std::optional<std::string_view> bound, const Visit& visit) {
  const auto known = nodes_.find(hash_from(hash));
  return known == nodes_.end() ? Step::unknown : walk_node(known->second, way, bound, visit);
}

AccountProofs::Step AccountProofs::walk_node(std::string_view node, std::string& way,
                                             std::optional<std::string_view> bound, const Visit& visit) {
  std::array<RlpItem, branch_items> items;
  const std::size_t count = rlp_list(node, items);
  const std::size_t before = way.size();
  // Short nodes stand in their parents themselves.
  const auto walk_child = [&](const RlpItem& child, std::optional<std::string_view> rest) {
    return child.list ? walk_node(child.whole, way, rest, visit) : walk_hash(child.content, way, rest, visit);
  };
  Step step = Step::on;
  if (count == branch_items) {
    const std::size_t first = bound && !bound->empty() ? static_cast<std::size_t>(bound->front()) : 0;
    for (std::size_t digit = first; step == Step::on && digit < branch_items - 1; ++digit) {
      if (!items[digit].list && items[digit].content.empty()) continue;
      way += static_cast<char>(digit);
      const bool edge = bound && !bound->empty() && digit == first;
      step = walk_child(items[digit], edge ? std::optional(bound->substr(1)) : std::nullopt);
      if (step != Step::unknown) way.resize(before);
    }
    return step;
  }
  if (count != 2 || items[0].content.empty()) throw RlpFailure("a node of no known form");
  const auto flag = static_cast<unsigned char>(items[0].content.front());
  std::string own = digits_of(items[0].content);
  own.erase(0, (flag & 0x10) != 0 ? 1 : 2);
  if (bound && !bound->starts_with(own)) {
    if (own < *bound) return Step::on; // all of it is before
    bound.reset();
  } else if (bound) {
    bound = bound->substr(own.size());
  }
  way += own;
  if ((flag & 0x20) == 0) {
    step = walk_child(items[1], bound);
  } else if (!bound) { // with one it is that account itself
    std::array<RlpItem, account_items> account;
    if (rlp_list(items[1].content, account) != account.size()) throw RlpFailure("an account of another form");
    const auto nonce = number_of(account[0].content).to_u64();
    const Hash256 key = hash_from(bytes_of_digits(way));
    const bool on = visit(key, nonce.value_or(~std::uint64_t{0}), number_of(account[1].content), hash_from(account[3].content));
    step = on ? Step::on : Step::enough;
  }
  if (step != Step::unknown) way.resize(before);
  return step;
}

} // namespace trunkline::quarkchain

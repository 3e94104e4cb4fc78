// Amounts by token: what a block pays, what an account holds.
#pragma once

#include "services/quarkchain/chain/fields.hpp"

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain {

/// Never holds an amount of zero, and is always in the order of the wire; so two of them are equal exactly when their
/// bytes are.
class TokenBalances {
 public:
  struct Entry {
    BigUint token;
    BigUint amount;

    friend bool operator==(const Entry&, const Entry&) = default;
  };

  TokenBalances() = default;
  TokenBalances(std::initializer_list<Entry> entries) {
    for (const Entry& entry : entries) set(entry.token, entry.amount);
  }

  /// An amount of zero removes the token.
  void set(const BigUint& token, const BigUint& amount);
  void add(const BigUint& token, const BigUint& amount);
  /// Zero for a token that it does not hold.
  BigUint of(const BigUint& token) const;

  bool empty() const noexcept { return entries_.empty(); }
  std::size_t size() const noexcept { return entries_.size(); }
  auto begin() const noexcept { return entries_.begin(); }
  auto end() const noexcept { return entries_.end(); }
  friend bool operator==(const TokenBalances&, const TokenBalances&) = default;

  /// For decoders: appends and says true when the token is larger than all before it; otherwise does nothing.
  bool append(Entry&& entry);

 private:
  std::vector<Entry>::iterator place_of(const BigUint& token);

  std::vector<Entry> entries_; // tokens ascending, amounts not zero
};

template <> struct Minimum<TokenBalances> {
  static constexpr std::size_t bytes = 4;
};

struct TokenBalanceMap {
  TokenBalances balance_map;
  QUARKCHAIN_FIELDS(TokenBalanceMap, balance_map)
};

/// The number of a token's name, 1 to 12 of 0-9 and A-Z; nothing for any other name. "QKC" is 35760.
std::optional<std::uint64_t> token_id(std::string_view name);
/// The inverse; nothing for a number that no name has.
std::optional<std::string> token_name(std::uint64_t id);

} // namespace trunkline::quarkchain

#include "services/quarkchain/chain/token_balance_map.hpp"

#include <algorithm>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t name_letters_max = 12;
constexpr std::uint64_t token_id_max = 4873763662273663091; // ZZZZZZZZZZZZ

std::optional<std::uint64_t> letter_value(char letter) {
  if (letter >= '0' && letter <= '9') return static_cast<std::uint64_t>(letter - '0');
  if (letter >= 'A' && letter <= 'Z') return static_cast<std::uint64_t>(letter - 'A') + 10;
  return std::nullopt;
}

char letter_of(std::uint64_t value) {
  return static_cast<char>(value < 10 ? '0' + static_cast<int>(value) : 'A' + static_cast<int>(value - 10));
}

} // namespace

std::vector<TokenBalances::Entry>::iterator TokenBalances::place_of(const BigUint& token) {
  return std::lower_bound(entries_.begin(), entries_.end(), token,
                          [](const Entry& entry, const BigUint& wanted) { return entry.token < wanted; });
}

void TokenBalances::set(const BigUint& token, const BigUint& amount) {
  const auto place = place_of(token);
  const bool held = place != entries_.end() && place->token == token;
  if (amount.is_zero()) {
    if (held) entries_.erase(place);
  } else if (held) {
    place->amount = amount;
  } else {
    entries_.insert(place, Entry{token, amount});
  }
}

void TokenBalances::add(const BigUint& token, const BigUint& amount) { set(token, of(token) + amount); }

BigUint TokenBalances::of(const BigUint& token) const {
  const auto place = const_cast<TokenBalances*>(this)->place_of(token);
  return place != entries_.end() && place->token == token ? place->amount : BigUint();
}

bool TokenBalances::append(Entry&& entry) {
  if (!entries_.empty() && !(entries_.back().token < entry.token)) return false;
  if (!entry.amount.is_zero()) entries_.push_back(std::move(entry));
  return true;
}

std::optional<std::uint64_t> token_id(std::string_view name) {
  if (name.empty() || name.size() > name_letters_max) return std::nullopt;
  std::uint64_t id = 0;
  std::uint64_t weight = 1;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const auto value = letter_value(name[name.size() - 1 - i]);
    if (!value) return std::nullopt;
    id += weight * (i == 0 ? *value : *value + 1);
    weight *= 36;
  }
  return id;
}

std::optional<std::string> token_name(std::uint64_t id) {
  if (id > token_id_max) return std::nullopt;
  std::string name(1, letter_of(id % 36));
  for (id /= 36; id > 0; id = (id - 1) / 36) name.insert(name.begin(), letter_of((id - 1) % 36));
  return name;
}

} // namespace trunkline::quarkchain

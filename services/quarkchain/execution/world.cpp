#include "services/quarkchain/execution/world.hpp"

#include <cassert>
#include <utility>

namespace trunkline::quarkchain {

BigUint World::balance(const Recipient& who, std::uint64_t token) { return at(who).account.balance(nodes_, token); }

void World::increment_nonce(const Recipient& who) { ++changed(who).nonce; }

void World::add(const Recipient& who, std::uint64_t token, const BigUint& amount) {
  Account& account = changed(who);
  if (amount.is_zero()) return;
  BigUint& balance = account.known_balance(nodes_, token);
  balance = balance + amount;
}

void World::deduct(const Recipient& who, std::uint64_t token, const BigUint& amount) {
  Account& account = changed(who);
  if (amount.is_zero()) return;
  BigUint& balance = account.known_balance(nodes_, token);
  assert(balance >= amount);
  balance = balance - amount;
}

Account& World::changed(const Recipient& who) {
  Entry& entry = at(who);
  entry.touched = true;
  return entry.account;
}

void World::forget_asked() {
  for (const Recipient& who : asked_) entries_.erase(who);
  asked_.clear();
}

const Account& World::peek(const Recipient& who) {
  static const Account blank;
  Hash256 key;
  const Entry* known = existing(who, key);
  return known ? known->account : blank;
}

Hash256 World::commit(FreshNodes& fresh) {
  for (auto& [recipient, entry] : entries_) {
    if (!entry.touched) continue;
    // Encoding first: tokens that move into a trie make the account one that is not blank.
    std::string bytes = entry.account.encode(nodes_, fresh);
    if (entry.account.is_blank()) bytes.clear();
    else if (entry.fresh) fresh.preimages.emplace_back(entry.key, std::string(text_of(recipient.bytes)));
    trie_.set(text_of(entry.key.bytes), std::move(bytes));
  }
  entries_.clear();
  asked_.clear();
  return trie_.commit(fresh);
}

World::Entry& World::at(const Recipient& who) {
  Hash256 key;
  if (Entry* known = existing(who, key)) return *known;
  Entry entry;
  entry.key = key;
  entry.fresh = true;
  entry.account.full_shard_key = full_shard_key_;
  asked_.push_back(who);
  return entries_.emplace(who, std::move(entry)).first->second;
}

World::Entry* World::existing(const Recipient& who, Hash256& key) {
  if (const auto known = entries_.find(who); known != entries_.end()) return &known->second;
  key = keccak256(who.bytes);
  const std::string* const stored = trie_.get(text_of(key.bytes));
  if (!stored) return nullptr;
  Entry entry;
  entry.key = key;
  entry.account = Account::decode(*stored);
  return &entries_.emplace(who, std::move(entry)).first->second;
}

} // namespace trunkline::quarkchain

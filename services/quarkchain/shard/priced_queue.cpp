#include "services/quarkchain/shard/priced_queue.hpp"

#include <iterator>

namespace trunkline::quarkchain {

SignedTransactionPtr PricedQueue::find(const Hash256& hash) const {
  const auto place = places_.find(hash);
  return place == places_.end() ? nullptr : waiting_.at(place->second);
}

bool PricedQueue::add(SignedTransactionPtr transaction) {
  if (has(transaction->hash)) return true;
  if (count_max_ == 0) return false;
  if (waiting_.size() >= count_max_) {
    const auto cheapest = std::prev(waiting_.end());
    if (transaction->tx.gasprice < cheapest->first.price) return false;
    erase(cheapest->second->hash);
  }
  const Place place{transaction->tx.gasprice, arrivals_++};
  places_.emplace(transaction->hash, place);
  of_nonce_[{transaction->sender, transaction->tx.nonce}].insert(transaction->hash);
  waiting_.emplace(place, std::move(transaction));
  return true;
}

void PricedQueue::remove_used(const Recipient& sender, const BigUint& nonce) {
  const auto found = of_nonce_.find({sender, nonce});
  if (found == of_nonce_.end()) return;
  const std::set<Hash256> hashes = found->second;
  for (const Hash256& hash : hashes) erase(hash);
}

std::vector<SignedTransactionPtr> PricedQueue::all() const {
  std::vector<SignedTransactionPtr> all;
  all.reserve(waiting_.size());
  for (const auto& [place, transaction] : waiting_) all.push_back(transaction);
  return all;
}

void PricedQueue::erase(const Hash256& hash) {
  const auto place = places_.find(hash);
  const auto waits = waiting_.find(place->second);
  const auto of_nonce = of_nonce_.find({waits->second->sender, waits->second->tx.nonce});
  of_nonce->second.erase(hash);
  if (of_nonce->second.empty()) of_nonce_.erase(of_nonce);
  waiting_.erase(waits);
  places_.erase(place);
}

} // namespace trunkline::quarkchain

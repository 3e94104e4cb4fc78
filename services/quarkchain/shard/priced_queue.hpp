// Transactions that wait for a block: the best paid first, and of equal ones the earliest.
#pragma once

#include "services/quarkchain/execution/signed_transaction.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

/// size() <= count_max.
class PricedQueue {
 public:
  explicit PricedQueue(std::size_t count_max) : count_max_(count_max) {}

  std::size_t size() const noexcept { return waiting_.size(); }
  std::size_t count_max() const noexcept { return count_max_; }
  bool has(const Hash256& hash) const { return places_.contains(hash); }
  /// Null when it does not wait here.
  SignedTransactionPtr find(const Hash256& hash) const;
  /// Does nothing for one that waits already. A full queue drops the cheapest, be it this one: false then.
  bool add(SignedTransactionPtr transaction);
  /// Removes all of this sender and nonce: one of them has been in a block.
  void remove_used(const Recipient& sender, const BigUint& nonce);
  /// Best first.
  std::vector<SignedTransactionPtr> all() const;

 private:
  struct Place {
    BigUint price;
    std::uint64_t arrival;
    bool operator<(const Place& other) const {
      return price == other.price ? arrival < other.arrival : price > other.price;
    }
  };

  void erase(const Hash256& hash);

  std::size_t count_max_;
  std::uint64_t arrivals_ = 0;
  std::map<Place, SignedTransactionPtr> waiting_;
  std::unordered_map<Hash256, Place> places_;
  std::map<std::pair<Recipient, BigUint>, std::set<Hash256>> of_nonce_;
};

} // namespace trunkline::quarkchain

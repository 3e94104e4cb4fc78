// A bounded amount that several holders share: bytes of memory, open files, jobs under way.
#pragma once

#include "async/signal.hpp"
#include "async/types.hpp"

#include <cstddef>
#include <memory>
#include <utility>

namespace trunkline {

/// One executor; not thread safe. Only BudgetShares take from it and give back to it.
class SharedBudget {
 public:
  explicit SharedBudget(std::size_t amount_max) : amount_max_(amount_max) {}

  std::size_t amount_max() const noexcept { return amount_max_; }
  std::size_t amount_used() const noexcept { return amount_used_; } // <= amount_max

 private:
  friend class BudgetShare;

  std::size_t amount_max_;
  std::size_t amount_used_ = 0;
  Signal given_back_;
};

/// The part of a budget that one holder has; given back when the share is destroyed.
class BudgetShare {
 public:
  explicit BudgetShare(std::shared_ptr<SharedBudget> budget) : budget_(std::move(budget)) {}
  BudgetShare(const BudgetShare&) = delete;
  BudgetShare& operator=(const BudgetShare&) = delete;
  ~BudgetShare() { give_back(amount_); }

  const SharedBudget& budget() const noexcept { return *budget_; }

  /// False when the budget has no room for it; nothing was added then.
  [[nodiscard]] bool add(std::size_t amount) noexcept;
  /// Waits until there is room for one more, oldest waiter first, and adds it. Cancelled: throws operation_aborted, and
  /// nothing was added. The share must outlive the wait.
  awaitable<void> wait_for_one();
  /// No more than the share has.
  void give_back(std::size_t amount) noexcept;

 private:
  std::shared_ptr<SharedBudget> budget_;
  std::size_t amount_ = 0;
};

} // namespace trunkline

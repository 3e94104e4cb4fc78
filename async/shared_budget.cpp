#include "async/shared_budget.hpp"

#include <algorithm>

namespace trunkline {

bool BudgetShare::add(std::size_t amount) noexcept {
  if (amount > budget_->amount_max_ - budget_->amount_used_) return false;
  budget_->amount_used_ += amount;
  amount_ += amount;
  return true;
}

awaitable<void> BudgetShare::wait_for_one() {
  while (!add(1)) {
    try {
      co_await budget_->given_back_.wait();
      co_await throw_if_cancelled();
    } catch (...) {
      budget_->given_back_.notify_one(); // it may have been this one's, and another waiter can use it
      throw;
    }
  }
}

void BudgetShare::give_back(std::size_t amount) noexcept {
  const std::size_t given = std::min(amount, amount_);
  if (given == 0) return;
  budget_->amount_used_ -= given;
  amount_ -= given;
  if (given == 1) {
    budget_->given_back_.notify_one();
  } else {
    budget_->given_back_.notify_all();
  }
}

} // namespace trunkline

// What the syncs of one node share, so that many of them together cost no more than is allowed.
#pragma once

#include "async/shared_budget.hpp"
#include "services/sync/claims.hpp"
#include "services/sync/report.hpp"

#include <cstddef>
#include <memory>
#include <utility>

namespace trunkline::sync {

class DigestThreads;

/// One executor; not thread safe.
struct Budgets {
  static constexpr std::size_t digests_max = 2;

  explicit Budgets(std::size_t listing_bytes_max, std::size_t files_open_max = Tuning().files_open_max)
      : listing_bytes(listing_bytes_max), files_read(files_open_max), files_written(files_open_max) {}

  SharedBudget listing_bytes; // of all listings here, those of this side's trees and of far sides'
  SharedBudget digests{digests_max}; // under way
  // Open files. Those that are read and those that are written wait for each other, so that they must not share.
  SharedBudget files_read;
  SharedBudget files_written;
  Claims claims; // of the trees here
  std::shared_ptr<DigestThreads> digest_threads; // none: digests are made on the node's own thread
};

/// One of the budgets, for a BudgetShare: keeps all of them.
inline std::shared_ptr<SharedBudget> one_of(std::shared_ptr<Budgets> budgets, SharedBudget Budgets::* which) {
  SharedBudget* const budget = &(budgets.get()->*which);
  return {std::move(budgets), budget};
}

/// What the listings of one sync take, until it goes.
class ListingShare {
 public:
  explicit ListingShare(std::shared_ptr<Budgets> budgets)
      : share_(one_of(std::move(budgets), &Budgets::listing_bytes)) {}

  /// Errors: Failure::Kind::denied when there is no room; nothing was added then.
  void add(std::size_t bytes);
  void give_back(std::size_t bytes) noexcept { share_.give_back(bytes); }

 private:
  BudgetShare share_;
};

} // namespace trunkline::sync

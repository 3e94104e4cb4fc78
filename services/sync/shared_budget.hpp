// What the syncs of one node share, so that many of them together cost no more than is allowed.
#pragma once

#include "async/signal.hpp"
#include "async/types.hpp"
#include "services/sync/digest.hpp"
#include "services/sync/report.hpp"
#include "services/sync/root.hpp"

#include <cstddef>
#include <memory>
#include <string>

namespace trunkline::sync {

/// One executor; not thread safe.
struct SharedBudget {
  explicit SharedBudget(std::size_t bytes) : listing_bytes_max(bytes) {}

  const std::size_t listing_bytes_max; // what all listings here take, those of this side's trees and of far sides'
  std::size_t listing_bytes = 0;       // <= listing_bytes_max
  static constexpr std::size_t digests_max = 2;
  std::size_t digests = 0; // under way, <= digests_max
  Signal digest_ended;     // for one of those who wait
};

/// What the listings of one sync take of the budget, until it goes.
class BudgetShare {
 public:
  explicit BudgetShare(std::shared_ptr<SharedBudget> budget) : budget_(std::move(budget)) {}
  BudgetShare(const BudgetShare&) = delete;
  BudgetShare& operator=(const BudgetShare&) = delete;
  ~BudgetShare() { budget_->listing_bytes -= bytes_; }

  /// Errors: Failure::Kind::denied when there is no room; nothing was added then.
  void add(std::size_t bytes);
  void give_back(std::size_t bytes) noexcept;

 private:
  std::shared_ptr<SharedBudget> budget_;
  std::size_t bytes_ = 0;
};

/// What a file's content came to.
struct FileDigest {
  Digest digest;
  bool unchanged = false; // nobody wrote to it meanwhile; otherwise the digest is of nothing that ever was
};

/// The digest of a file as it is now; waits for its turn among all digests of the budget, then pauses every 256 KiB.
/// Holes are not read. Errors: FileError.
awaitable<FileDigest> digest_file(std::shared_ptr<SharedBudget> budget, std::shared_ptr<Directory> directory,
                                  std::string name, std::shared_ptr<Progress> progress);

} // namespace trunkline::sync

// What the syncs of one node share, so that many of them together cost no more than is allowed.
#pragma once

#include "async/signal.hpp"
#include "async/types.hpp"
#include "services/sync/claims.hpp"
#include "services/sync/digest.hpp"
#include "services/sync/report.hpp"
#include "services/sync/root.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

namespace trunkline::sync {

/// One executor; not thread safe.
struct SharedBudget {
  explicit SharedBudget(std::size_t bytes, std::size_t files = Tuning().files_open_max)
      : listing_bytes_max(bytes), files_max(files) {}

  const std::size_t listing_bytes_max; // what all listings here take, those of this side's trees and of far sides'
  std::size_t listing_bytes = 0;       // <= listing_bytes_max
  static constexpr std::size_t digests_max = 2;
  std::size_t digests = 0; // under way, <= digests_max
  Signal digest_ended;     // for one of those who wait

  /// Open files in one direction; those that are read and those that are written wait for each other, so that they must
  /// not share what there is.
  struct Files {
    std::size_t open = 0; // <= files_max
    Signal closed; // for one of those who wait
  };
  const std::size_t files_max;
  Files read;
  Files written;
  Claims claims; // of the trees here
};

/// One of the files that may be open in one direction.
class FileTurn {
 public:
  FileTurn(std::shared_ptr<SharedBudget> budget, SharedBudget::Files& files)
      : budget_(std::move(budget)), files_(files) {
    ++files_.open;
  }
  FileTurn(const FileTurn&) = delete;
  FileTurn& operator=(const FileTurn&) = delete;
  ~FileTurn() {
    --files_.open;
    files_.closed.notify_one();
  }

 private:
  std::shared_ptr<SharedBudget> budget_;
  SharedBudget::Files& files_;
};

/// Returns when one more file may be open: make the FileTurn at once then.
awaitable<void> wait_for_file(std::shared_ptr<SharedBudget> budget, SharedBudget::Files& files);

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
/// Holes are not read, nor what lies behind bytes_max. Errors: FileError.
awaitable<FileDigest> digest_file(std::shared_ptr<SharedBudget> budget, std::shared_ptr<Directory> directory,
                                  std::string name, std::shared_ptr<Progress> progress,
                                  std::uint64_t bytes_max = std::numeric_limits<std::uint64_t>::max());

} // namespace trunkline::sync

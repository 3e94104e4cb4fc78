#include "services/sync/shared_budget.hpp"

#include "async/task_group.hpp"
#include "services/sync/outgoing_file.hpp"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

namespace trunkline::sync {
namespace {

constexpr std::size_t bytes_between_yields = 256 * 1024;

/// One of the digests that may be under way.
class DigestTurn {
 public:
  explicit DigestTurn(std::shared_ptr<SharedBudget> budget) : budget_(std::move(budget)) { ++budget_->digests; }
  DigestTurn(const DigestTurn&) = delete;
  DigestTurn& operator=(const DigestTurn&) = delete;
  ~DigestTurn() {
    --budget_->digests;
    budget_->digest_ended.notify_one();
  }

 private:
  std::shared_ptr<SharedBudget> budget_;
};

awaitable<void> wait_for_turn(std::shared_ptr<SharedBudget> budget) {
  while (budget->digests >= SharedBudget::digests_max) {
    try {
      co_await budget->digest_ended.wait();
    } catch (...) {
      budget->digest_ended.notify_one(); // it may have been this one's, and somebody else can use it
      throw;
    }
  }
}

} // namespace

awaitable<void> wait_for_file(std::shared_ptr<SharedBudget> budget, SharedBudget::Files& files) {
  while (files.open >= budget->files_max) {
    try {
      co_await files.closed.wait();
    } catch (...) {
      files.closed.notify_one(); // it may have been this one's, and somebody else can use it
      throw;
    }
  }
}

void BudgetShare::add(std::size_t bytes) {
  if (bytes > budget_->listing_bytes_max - budget_->listing_bytes)
    throw Failure(Failure::Kind::denied, "the listings here would take more than " +
                                             std::to_string(budget_->listing_bytes_max) +
                                             " bytes together, which is listing_bytes_max");
  budget_->listing_bytes += bytes;
  bytes_ += bytes;
}

void BudgetShare::give_back(std::size_t bytes) noexcept {
  const std::size_t given = std::min(bytes, bytes_);
  budget_->listing_bytes -= given;
  bytes_ -= given;
}

awaitable<FileDigest> digest_file(std::shared_ptr<SharedBudget> budget, std::shared_ptr<Directory> directory,
                                  std::string name, std::shared_ptr<Progress> progress, std::uint64_t bytes_max) {
  co_await wait_for_turn(budget);
  const DigestTurn turn(budget);
  OutgoingFile file(std::move(directory), std::move(name));
  Digester digester;
  const std::uint64_t end = std::min(bytes_max, file.status().size);
  std::vector<std::byte> buffer(std::min<std::uint64_t>(bytes_between_yields, end));
  std::vector<std::byte> zeros;
  std::uint64_t done = 0;
  while (done < end) {
    const std::size_t size = file.next_bytes(std::min<std::uint64_t>(buffer.size(), end - done));
    while (done < std::min(end, file.offset())) { // a hole
      if (zeros.empty()) zeros.resize(buffer.size());
      const std::size_t count = std::min<std::uint64_t>(zeros.size(), std::min(end, file.offset()) - done);
      digester.add(std::span(zeros).first(count));
      done += count;
      ++progress->worked;
      co_await let_others_run();
    }
    if (size == 0 || done >= end) break;
    const std::size_t count = file.read(std::span(buffer).first(std::min<std::uint64_t>(size, end - done)));
    if (count == 0) break;
    digester.add(std::span(buffer).first(count));
    done += count;
    ++progress->worked;
    if (done >= bytes_between_yields) co_await let_others_run();
  }
  FileDigest result;
  result.digest = digester.take();
  result.unchanged = file.unchanged();
  co_return result;
}

} // namespace trunkline::sync

#include "services/sync/file_digest.hpp"

#include "async/task_group.hpp"

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <span>
#include <utility>

namespace trunkline::sync {
namespace {

constexpr std::size_t bytes_between_yields = 256 * 1024;

} // namespace

FileDigesting::FileDigesting(std::shared_ptr<Directory> directory, std::string name, std::uint64_t seed,
                             std::uint64_t bytes_max)
    : directory_(std::move(directory)), name_(std::move(name)), bytes_max_(bytes_max), digester_(seed) {}

void FileDigesting::open() {
  file_.emplace(directory_, name_);
  end_ = std::min(bytes_max_, file_->status().size);
  buffer_.resize(std::min<std::uint64_t>(bytes_between_yields, end_));
}

bool FileDigesting::step(std::size_t bytes_max) {
  if (!file_) open();
  for (std::uint64_t left = bytes_max; left > 0 && done_ < end_;) {
    std::size_t count = 0;
    if (done_ < hole_end_) {
      if (zeros_.empty()) zeros_.resize(buffer_.size());
      count = std::min<std::uint64_t>(zeros_.size(), hole_end_ - done_);
      digester_.add(std::span(zeros_).first(count));
    } else {
      const std::size_t size = file_->next_bytes(std::min<std::uint64_t>(buffer_.size(), end_ - done_));
      hole_end_ = std::min(end_, file_->offset());
      if (done_ < hole_end_) continue;
      count = file_->read(std::span(buffer_).first(size));
      digester_.add(std::span(buffer_).first(count));
      if (count == 0) end_ = done_; // it has become shorter
    }
    done_ += count;
    left -= std::min<std::uint64_t>(left, count);
  }
  if (done_ < end_) return true;
  result_.digest = digester_.take();
  result_.unchanged = file_->unchanged();
  file_.reset();
  return false;
}

awaitable<FileDigest> digest_file(std::shared_ptr<Budgets> budgets, std::shared_ptr<Directory> directory,
                                  std::string name, std::shared_ptr<Progress> progress, std::uint64_t seed,
                                  std::uint64_t bytes_max) {
  const auto digesting = std::make_shared<FileDigesting>(std::move(directory), std::move(name), seed, bytes_max);
  if (budgets->digest_threads) {
    DigestThreads& threads = *budgets->digest_threads;
    co_await threads.end(threads.begin(digesting, std::move(progress), co_await asio::this_coro::executor));
    co_return digesting->result();
  }
  BudgetShare turn(one_of(std::move(budgets), &Budgets::digests));
  co_await turn.wait_for_one();
  while (digesting->step(bytes_between_yields)) {
    ++progress->worked;
    co_await let_others_run();
  }
  ++progress->worked;
  co_return digesting->result();
}

} // namespace trunkline::sync

#include "services/sync/file_digest.hpp"

#include "async/task_group.hpp"
#include "services/sync/path.hpp"

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

bool SmallFilesDigesting::has_room_for(const Directory& directory, std::uint64_t size) const noexcept {
  if (files_.empty()) return true;
  const bool is_new = files_.back().directory.get() != &directory;
  return files_.size() < files_max && bytes_ + size <= bytes_max && (!is_new || directories_count_ < directories_max);
}

void SmallFilesDigesting::add(std::shared_ptr<Directory> directory, std::string name, std::uint64_t size) {
  if (files_.empty() || files_.back().directory != directory) ++directories_count_;
  bytes_ += size;
  size_max_ = std::max(size_max_, size);
  DigestedFile& file = files_.emplace_back();
  file.directory = std::move(directory);
  file.name = std::move(name);
  file.size = size;
}

bool SmallFilesDigesting::step(std::size_t bytes_wanted) {
  for (std::uint64_t left = bytes_wanted; left > 0 && next_ < files_.size(); ++next_) {
    DigestedFile& file = files_[next_];
    try {
      digest(file);
    } catch (const FileError& failure) {
      file.failure = failure;
    }
    left -= std::min(left, file.size);
  }
  if (next_ < files_.size()) return true;
  buffer_ = {};
  return false;
}

void SmallFilesDigesting::digest(DigestedFile& file) {
  const Directory& directory = *file.directory;
  const Fd fd = directory.open_unseen(file.name);
  buffer_.resize(size_max_ + 1);
  const ssize_t count = directory.disk().read_once(fd.number(), std::span(buffer_).first(file.size + 1));
  if (count < 0) throw FileError("read", join(directory.path(), file.name), static_cast<int>(-count));
  file.made.unchanged = static_cast<std::uint64_t>(count) == file.size;
  if (file.made.unchanged) file.made.digest = Digest::of(std::span(buffer_).first(file.size), seed_);
}

awaitable<void> make_digests(std::shared_ptr<Budgets> budgets, std::shared_ptr<DigestWork> work,
                             std::shared_ptr<Progress> progress) {
  if (budgets->digest_threads) {
    DigestThreads& threads = *budgets->digest_threads;
    co_await threads.end(threads.begin(std::move(work), std::move(progress), co_await asio::this_coro::executor));
    co_return;
  }
  BudgetShare turn(one_of(std::move(budgets), &Budgets::digests));
  co_await turn.wait_for_one();
  while (work->step(bytes_between_yields)) {
    ++progress->worked;
    co_await let_others_run();
  }
  ++progress->worked;
}

awaitable<FileDigest> digest_file(std::shared_ptr<Budgets> budgets, std::shared_ptr<Directory> directory,
                                  std::string name, std::shared_ptr<Progress> progress, std::uint64_t seed,
                                  std::uint64_t bytes_max) {
  const auto digesting = std::make_shared<FileDigesting>(std::move(directory), std::move(name), seed, bytes_max);
  co_await make_digests(std::move(budgets), digesting, std::move(progress));
  co_return digesting->result();
}

} // namespace trunkline::sync

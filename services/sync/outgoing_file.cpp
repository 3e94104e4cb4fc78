#include "services/sync/outgoing_file.hpp"

#include "services/sync/path.hpp"

#include <algorithm>
#include <cerrno>

namespace trunkline::sync {

OutgoingFile::OutgoingFile(std::shared_ptr<Directory> directory, std::string name)
    : directory_(std::move(directory)), name_(std::move(name)), fd_(directory_->open_file(name_, status_)) {
  sparse_ = status_.allocated_bytes < status_.size;
}

std::size_t OutgoingFile::next_bytes(std::size_t bytes_max) {
  if (offset_ >= data_end_) find_data();
  return static_cast<std::size_t>(std::min<std::uint64_t>(bytes_max, data_end_ - offset_));
}

std::size_t OutgoingFile::next_bytes_with_holes(std::size_t bytes_max) const noexcept {
  return static_cast<std::size_t>(std::min<std::uint64_t>(bytes_max, status_.size - offset_));
}

void OutgoingFile::find_data() {
  data_end_ = status_.size;
  if (!sparse_ || offset_ >= status_.size) {
    offset_ = std::min(offset_, status_.size);
    return;
  }
  const std::int64_t begin = directory_->disk().next_data(fd_.number(), offset_);
  if (begin < 0) {
    // ENXIO: only a hole is left. Any other answer: this file system does not tell, all of it is data.
    if (begin == -ENXIO) offset_ = status_.size;
    return;
  }
  const std::int64_t end = directory_->disk().next_hole(fd_.number(), static_cast<std::uint64_t>(begin));
  offset_ = std::min(status_.size, static_cast<std::uint64_t>(begin));
  if (end > begin) data_end_ = std::min(status_.size, static_cast<std::uint64_t>(end));
}

std::size_t OutgoingFile::read(std::span<std::byte> into) {
  const ssize_t count = directory_->disk().read(fd_.number(), into, offset_);
  if (count < 0) throw FileError("read", join(directory_->path(), name_), static_cast<int>(-count));
  offset_ += static_cast<std::uint64_t>(count);
  return static_cast<std::size_t>(count);
}

bool OutgoingFile::unchanged() const {
  Status now;
  const int returned = directory_->disk().status(fd_.number(), now);
  if (returned < 0) throw FileError("read", join(directory_->path(), name_), -returned);
  return now.same_content(status_);
}

} // namespace trunkline::sync

#include "services/sync/incoming_file.hpp"

#include "services/sync/path.hpp"
#include "services/sync/walk.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

namespace trunkline::sync {
namespace {

constexpr int names_tried_max = 16;
/// The sticky bit says nothing about a file, and hardly any has it: with the name and the owner it tells a temporary
/// file of ours from a file of somebody's that is only called like one. Where a file system does not keep it, what dead
/// runs leave stays.
constexpr mode_t temporary_mark = S_ISVTX;

/// The mark of a temporary symlink, which has neither a mode nor a lock: its name is made from its target.
std::uint64_t symlink_mark(std::string_view target, int tried) {
  std::uint64_t hash = 14695981039346656037ull + static_cast<std::uint64_t>(tried);
  for (const char byte : target) hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211ull;
  return hash ^ (hash >> 32);
}

bool is_marked_symlink(const Directory& directory, const std::string& name) {
  const std::string target = directory.read_link(name);
  const std::string_view letters = std::string_view(name).substr(name.size() - temporary_letters);
  for (int tried = 0; tried < names_tried_max; ++tried)
    if (temporary_name({}, symlink_mark(target, tried)).ends_with(letters)) return true;
  return false;
}

} // namespace

IncomingFile::IncomingFile(std::shared_ptr<Directory> directory, std::string name,
                           const std::function<std::uint64_t()>& random, Writing writing)
    : directory_(std::move(directory)), name_(std::move(name)), writing_(writing) {
  Disk& disk = directory_->disk();
  if (writing_ == Writing::in_place) {
    temporary_ = name_;
    std::optional<Fd> opened = directory_->open_to_change(name_);
    if (!opened) opened = directory_->create_file(name_, 0600);
    if (!opened) throw FileError("create", join(directory_->path(), name_), EEXIST);
    fd_ = std::move(*opened);
    return;
  }
  for (int tried = 0;; ++tried) {
    if (tried == names_tried_max)
      throw FileError("create a temporary file for", join(directory_->path(), name_), EEXIST);
    temporary_ = temporary_name(name_, random());
    std::optional<Fd> created;
    try {
      created = directory_->create_file(temporary_, temporary_mark | 0600);
    } catch (const FileError& failure) {
      throw FileError("create", join(directory_->path(), name_), failure.error_number());
    }
    if (!created) continue;
    fd_ = std::move(*created);
    // Where locks do not work, temporary files of dead runs may take live ones with them. Before the lock another sync
    // may have taken this one for dead.
    Status status;
    if (disk.lock(fd_.number()) == -EWOULDBLOCK) continue;
    if (disk.status(fd_.number(), status) == 0 && status.names_count == 0) continue;
    return;
  }
}

IncomingFile::~IncomingFile() {
  if (committed_ || left_ || writing_ == Writing::in_place) return;
  try {
    directory_->remove_file(temporary_);
  } catch (const FileError&) { // the next sync reaps it
  }
}

void IncomingFile::check(std::string_view verb, int returned) const {
  if (returned < 0) throw FileError(verb, join(directory_->path(), name_), -returned);
}

void IncomingFile::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  check("write", directory_->disk().write(fd_.number(), bytes, offset));
  written_end_ = std::max(written_end_, offset + bytes.size());
}

std::string IncomingFile::leave(std::uint64_t bytes_min) {
  left_ = writing_ == Writing::aside && written_end_ >= bytes_min;
  return left_ ? join(directory_->path(), temporary_) : std::string();
}

void IncomingFile::write_data(std::uint64_t offset, std::span<const std::byte> bytes) {
  constexpr std::size_t page = 4096;
  while (!bytes.empty()) {
    const std::span<const std::byte> first = bytes.first(std::min<std::size_t>(bytes.size(), page - offset % page));
    if (std::ranges::any_of(first, [](std::byte byte) { return byte != std::byte{0}; })) write(offset, first);
    offset += first.size();
    bytes = bytes.subspan(first.size());
  }
}

void IncomingFile::commit(std::uint64_t size, mode_t mode, FileTime mtime) {
  Disk& disk = directory_->disk();
  if (size != written_end_ || writing_ == Writing::in_place) check("write", disk.truncate(fd_.number(), size));
  if (dress_) dress_(*directory_, temporary_);
  check("set the time of", disk.set_mtime(fd_.number(), mtime));
  if (writing_ == Writing::in_place) {
    check("set the mode of", disk.set_mode(fd_.number(), mode));
    committed_ = true;
    check("write", disk.close(std::move(fd_)));
    return;
  }
  // The mark stays until the file has its name: whoever dies in between leaves something that can be told.
  const bool marked = disk.set_mode(fd_.number(), mode | temporary_mark) == 0;
  if (!marked) check("set the mode of", disk.set_mode(fd_.number(), mode));
  check("write", disk.flush(fd_.number())); // some file systems only now say that they are full
  directory_->rename(temporary_, name_);
  committed_ = true;
  if (marked) check("set the mode of", disk.set_mode(fd_.number(), mode));
  check("write", disk.close(std::move(fd_))); // and with it the lock, which kept others from reaping the file
}

std::optional<Fd> adopt_temporary(Directory& directory, const std::string& name, std::uint64_t bytes_min) {
  const std::optional<Status> status = directory.status(name);
  if (!status || !status->is_file() || status->owner != ::geteuid() || !(status->mode & temporary_mark) ||
      status->size < bytes_min)
    return std::nullopt;
  Status opened;
  Fd fd = directory.open_file(name, opened);
  if (directory.disk().lock(fd.number()) < 0) return std::nullopt;
  const std::optional<Status> now = directory.status(name);
  if (!now || now->inode != opened.inode || !(now->mode & temporary_mark)) return std::nullopt;
  return fd;
}

Reaped reap_temporary(Directory& directory, const std::string& name) {
  const std::optional<Status> status = directory.status(name);
  if (!status) return Reaped::gone;
  if (status->owner != ::geteuid()) return Reaped::not_ours;
  if (status->is_symlink()) {
    if (!is_marked_symlink(directory, name)) return Reaped::not_ours;
  } else {
    if (!status->is_file() || !(status->mode & temporary_mark)) return Reaped::not_ours;
    Status opened;
    Fd fd;
    try {
      fd = directory.open_file(name, opened);
    } catch (const FileError& failure) {
      if (failure.error_number() == ENOENT) return Reaped::gone;
      throw;
    }
    if (directory.disk().lock(fd.number()) < 0) return Reaped::in_use;
    // Its writer may have given it its own name, and be gone, since.
    const std::optional<Status> now = directory.status(name);
    if (!now || now->inode != opened.inode) return Reaped::gone;
    directory.remove_file(name);
    return Reaped::removed;
  }
  directory.remove_file(name);
  return Reaped::removed;
}

void place_symlink(Directory& directory, const std::string& name, const std::string& target, FileTime mtime,
                   const std::function<void(Directory&, const std::string&)>& dress) {
  for (int tried = 0; tried < names_tried_max; ++tried) {
    const std::string temporary = temporary_name(name, symlink_mark(target, tried));
    if (!directory.make_symlink(temporary, target)) continue;
    try {
      if (dress) dress(directory, temporary);
      directory.set_mtime(temporary, mtime);
      directory.rename(temporary, name);
      return;
    } catch (const FileError& failure) {
      if (failure.error_number() == ENOENT) continue; // another sync took it for one that was left behind
      try {
        directory.remove_file(temporary);
      } catch (const FileError&) { // the next sync reaps it
      }
      throw;
    }
  }
  throw FileError("create the symlink", join(directory.path(), name), EEXIST);
}

} // namespace trunkline::sync

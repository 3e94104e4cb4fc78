#include "services/sync/incoming_file.hpp"

#include "services/sync/path.hpp"
#include "services/sync/walk.hpp"

#include <cerrno>

namespace trunkline::sync {
namespace {

constexpr int names_tried_max = 16;

} // namespace

IncomingFile::IncomingFile(std::shared_ptr<Directory> directory, std::string name,
                           const std::function<std::uint64_t()>& random)
    : directory_(std::move(directory)), name_(std::move(name)) {
  for (int tried = 0; !fd_; ++tried) {
    if (tried == names_tried_max)
      throw FileError("create a temporary file for", join(directory_->path(), name_), EEXIST);
    temporary_ = temporary_name(name_, random());
    try {
      std::optional<Fd> created = directory_->create_file(temporary_);
      if (created) fd_ = std::move(*created);
    } catch (const FileError& failure) {
      throw FileError("create", join(directory_->path(), name_), failure.error_number());
    }
  }
  directory_->disk().lock(
      fd_.number()); // where locks do not work, temporary files of dead runs may take live ones with them
}

IncomingFile::~IncomingFile() {
  if (committed_) return;
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

void IncomingFile::commit(std::uint64_t size, mode_t mode, FileTime mtime) {
  Disk& disk = directory_->disk();
  if (size != written_end_) check("write", disk.truncate(fd_.number(), size));
  check("set the mode of", disk.set_mode(fd_.number(), mode));
  check("set the time of", disk.set_mtime(fd_.number(), mtime));
  check("write", disk.close(std::move(fd_))); // some file systems only now say that they are full
  directory_->rename(temporary_, name_);
  committed_ = true;
}

bool reap_temporary(Directory& directory, const std::string& name) {
  const std::optional<Status> status = directory.status(name);
  if (!status || status->is_directory()) return false;
  if (status->is_file()) {
    Status opened;
    const Fd fd = directory.open_file(name, opened);
    if (directory.disk().lock(fd.number()) < 0) return false;
    directory.remove_file(name);
  } else {
    directory.remove_file(name);
  }
  return true;
}

void place_symlink(Directory& directory, const std::string& name, const std::string& target, FileTime mtime,
                   const std::function<std::uint64_t()>& random) {
  std::string temporary;
  bool made = false;
  for (int tried = 0; !made; ++tried) {
    if (tried == names_tried_max) throw FileError("create the symlink", join(directory.path(), name), EEXIST);
    temporary = temporary_name(name, random());
    made = directory.make_symlink(temporary, target);
  }
  try {
    directory.set_mtime(temporary, mtime);
    directory.rename(temporary, name);
  } catch (const FileError&) {
    try {
      directory.remove_file(temporary);
    } catch (const FileError&) { // the next sync reaps it
    }
    throw;
  }
}

} // namespace trunkline::sync

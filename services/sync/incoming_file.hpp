// A file that is being written: under a temporary name until it is whole, then under its own at once.
#pragma once

#include "services/sync/root.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace trunkline::sync {

/// One new content of one file. Its name has the old content, or none, until `commit` has returned; dropping it before
/// removes the temporary file. While it lives the temporary file is locked, so that others can tell it from one whose
/// process died. Errors: FileError that names the file, not the temporary one.
class IncomingFile {
 public:
  IncomingFile(std::shared_ptr<Directory> directory, std::string name, const std::function<std::uint64_t()>& random);
  IncomingFile(const IncomingFile&) = delete;
  IncomingFile& operator=(const IncomingFile&) = delete;
  ~IncomingFile();

  /// Bytes never written before `commit` are zeros, and take no space where the file system can do that.
  void write(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Gives it its size, mode and time, then its name, in place of whatever file or symlink has it.
  void commit(std::uint64_t size, mode_t mode, FileTime mtime);

 private:
  void check(std::string_view verb, int returned) const;

  std::shared_ptr<Directory> directory_;
  std::string name_;
  std::string temporary_;
  Fd fd_;
  std::uint64_t written_end_ = 0;
  bool committed_ = false;
};

/// What became of something that has the name of a temporary file.
enum class Reaped : std::uint8_t { removed, gone, in_use, not_ours };

/// Removes a temporary file or symlink that a run left which died: it is of this user, nobody is writing it, and it
/// carries a mark beyond its name. Anything else that is called like one is somebody's own. Errors: FileError.
Reaped reap_temporary(Directory& directory, const std::string& name);

/// A symlink in place of whatever file or symlink has its name, at once. Errors: FileError.
void place_symlink(Directory& directory, const std::string& name, const std::string& target, FileTime mtime);

} // namespace trunkline::sync

// A file that is being written: under a temporary name until it is whole, then under its own at once.
#pragma once

#include "services/sync/root.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace trunkline::sync {

/// How the content of a file gets its name: whole and at once, or as it comes.
enum class Writing : std::uint8_t { aside, in_place };

/// One new content of one file. Written aside, its name has the old content, or none, until `commit` has returned;
/// dropping it before removes the temporary file, unless it is left for the next sync. In place the file is what has
/// come so far, and stays so when it is dropped. While it lives the temporary file is locked, so that others can tell
/// it from one whose process died. Errors: FileError that names the file, not the temporary one.
class IncomingFile {
 public:
  IncomingFile(std::shared_ptr<Directory> directory, std::string name, const std::function<std::uint64_t()>& random,
               Writing writing = Writing::aside);
  IncomingFile(const IncomingFile&) = delete;
  IncomingFile& operator=(const IncomingFile&) = delete;
  ~IncomingFile();

  /// Bytes never written before `commit` are zeros, and take no space where the file system can do that.
  void write(std::uint64_t offset, std::span<const std::byte> bytes);
  /// The same without the zeros, which are what is there anyway in a file that is written aside.
  void write_data(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Takes out everything that is there of a file that is written in place.
  void empty() { check("write", directory_->disk().truncate(fd_.number(), 0)); }
  /// What has come stays under its temporary name, for the next sync to go on from, if it is so much at least.
  /// Returns its path then; empty: it is less, and goes.
  std::string leave(std::uint64_t bytes_min);
  /// Called by `commit` with the directory and the name that the file has then, before it gets its mode.
  void on_commit(std::function<void(Directory&, const std::string&)> dress) { dress_ = std::move(dress); }
  /// Gives it its size, mode and time, then its name, in place of whatever file or symlink has it.
  void commit(std::uint64_t size, mode_t mode, FileTime mtime);

 private:
  void check(std::string_view verb, int returned) const;

  std::shared_ptr<Directory> directory_;
  std::string name_;
  const Writing writing_;
  std::string temporary_; // its own name when it is written in place
  Fd fd_;
  std::function<void(Directory&, const std::string&)> dress_;
  std::uint64_t written_end_ = 0;
  bool committed_ = false;
  bool left_ = false;
};

/// What became of something that has the name of a temporary file.
enum class Reaped : std::uint8_t { removed, gone, in_use, not_ours };

/// Removes a temporary file or symlink that a run left which died: it is of this user, nobody is writing it, and it
/// carries a mark beyond its name. Anything else that is called like one is somebody's own. Errors: FileError.
Reaped reap_temporary(Directory& directory, const std::string& name);
/// What a dead run has got of a file, if it is a temporary file as above with so much in it: locked, so that nobody
/// else takes or removes it. Errors: FileError.
std::optional<Fd> adopt_temporary(Directory& directory, const std::string& name, std::uint64_t bytes_min);

/// A symlink in place of whatever file or symlink has its name, at once. Errors: FileError.
/// `dress` is called with its temporary name before that.
void place_symlink(Directory& directory, const std::string& name, const std::string& target, FileTime mtime,
                   const std::function<void(Directory&, const std::string&)>& dress = {});

} // namespace trunkline::sync

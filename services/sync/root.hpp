// The jail of a sync: a directory that is opened once. Everything is reached from its descriptor, through directories
// that the kernel resolved beneath it without following a symlink, one name at a time.
#pragma once

#include "services/sync/disk.hpp"

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::sync {

/// An open directory in a root. It stays the same directory when somebody renames it or puts a symlink in its place.
/// Every `name` is one component; symlinks are never followed, they are data. Errors: FileError.
class Directory {
 public:
  Directory(std::shared_ptr<Disk> disk, Fd fd, std::string path)
      : disk_(std::move(disk)), fd_(std::move(fd)), path_(std::move(path)) {}

  /// Relative to the root; for messages.
  const std::string& path() const noexcept { return path_; }

  std::vector<std::string> names() const;
  /// Nothing when there is no such name.
  std::optional<Status> status(const std::string& name) const;
  Status own_status() const;
  std::string read_link(const std::string& name) const;
  /// Of the extended attributes (no name: the directory's own), each with a zero byte behind it; empty where they
  /// cannot be read.
  std::string xattr_names(const std::string& name) const;

  /// Of an extended attribute (no name: the directory's own); nothing when it cannot be read.
  std::optional<std::string> xattr(const std::string& name, const std::string& xattr) const;
  /// False when the file system or the system's rules do not let it happen.
  bool set_xattr(const std::string& name, const std::string& xattr, std::string_view value);
  bool remove_xattr(const std::string& name, const std::string& xattr);
  /// The same; what is not given stays.
  bool set_owner(const std::string& name, std::optional<uid_t> owner, std::optional<gid_t> group);
  /// A device, a fifo or a socket. False when the name is taken.
  bool make_special(const std::string& name, mode_t mode, dev_t device);

  /// A regular file for reading; anything else fails with not_a_file.
  Fd open_file(const std::string& name, Status& status) const;
  /// The same of what was a regular file when it was seen, and may be something else by now.
  Fd open_unseen(const std::string& name) const;
  /// The same for changing what is in it; nothing when there is none of this name.
  std::optional<Fd> open_to_change(const std::string& name) const;
  /// A new file for writing; nothing when the name is taken.
  std::optional<Fd> create_file(const std::string& name, mode_t mode);
  /// False when the name is taken.
  bool make_directory(const std::string& name, mode_t mode);
  /// False when the name is taken.
  bool make_symlink(const std::string& name, const std::string& target);
  void rename(const std::string& from, const std::string& to);
  void move(const std::string& from, Directory& into, const std::string& to);
  /// A second name, in `into`, for a file here. False when the name is taken, or the file system has no second names.
  bool link(const std::string& from, Directory& into, const std::string& to) const;
  void remove_file(const std::string& name);
  void remove_directory(const std::string& name);
  void set_mode(const std::string& name, mode_t mode);
  void set_mtime(const std::string& name, FileTime mtime);
  void set_own_mode(mode_t mode);
  void set_own_mtime(FileTime mtime);

  Disk& disk() const noexcept { return *disk_; }
  int fd_number() const noexcept { return fd_.number(); }

 private:
  void check(std::string_view verb, const std::string& name, long returned) const;
  [[noreturn]] void fail(std::string_view verb, const std::string& name, int error_number) const;

  std::shared_ptr<Disk> disk_;
  Fd fd_;
  std::string path_;
};

/// A directory outside of which nothing can be read or written. Errors: FileError.
class Root {
 public:
  /// The path is the user's own and may lead through symlinks.
  static std::shared_ptr<Root> open(const std::string& path, std::shared_ptr<Disk> disk = std::make_shared<Disk>());
  explicit Root(std::shared_ptr<Disk> disk, Fd fd);

  /// The directory at a path below; "" is the root's own. Recently used ones are kept open.
  std::shared_ptr<Directory> directory(std::string_view path);
  /// A directory below as a root of its own.
  std::shared_ptr<Root> below(std::string_view path);
  /// Lets go of the directories kept open, after one was removed or replaced.
  void forget() noexcept { recent_.clear(); }

  Disk& disk() const noexcept { return *disk_; }

 private:
  Fd open_below(std::string_view path);

  static constexpr std::size_t recent_max = 16;

  std::shared_ptr<Disk> disk_;
  Fd fd_;
  std::list<std::shared_ptr<Directory>> recent_; // most recent first
};

/// The beginning of a regular file; nothing when there is none of this name. Errors: FileError.
std::optional<std::string> read_small_file(Root& root, const std::string& directory, const std::string& name,
                                           std::size_t bytes_max);

} // namespace trunkline::sync

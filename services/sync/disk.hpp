// The system calls of the tree sync, each on a directory's descriptor and one name, with one place through which all of
// them pass: a test fails the n-th there, or lets nothing happen after it.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::sync {

/// The number of a FileError about something that is to be a regular file and is not; ours, no system call returns it.
inline constexpr int not_a_file = 100'000;

/// A file system said no. The text is a whole sentence without a full stop: `cannot write "a/b": No space left on
/// device`.
class FileError : public std::runtime_error {
 public:
  FileError(std::string_view verb, std::string_view path, int error_number);
  /// For what the number says badly: `words` in its place.
  FileError(std::string_view verb, std::string_view path, int error_number, std::string_view words);

  int error_number() const noexcept { return error_number_; }
  /// What was there when somebody looked is not there any more, or something else has its name.
  bool is_gone() const noexcept;

 private:
  int error_number_;
};

/// Owns a descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int number) noexcept : number_(number) {}
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Fd();

  int number() const noexcept { return number_; }
  int release() noexcept { return std::exchange(number_, -1); }
  explicit operator bool() const noexcept { return number_ >= 0; }

 private:
  int number_ = -1;
};

/// A point in time as a file carries it.
struct FileTime {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;

  friend auto operator<=>(const FileTime&, const FileTime&) = default;
};

/// What a file system says of one name, symlinks not followed.
struct Status {
  mode_t mode = 0; // with the type
  std::uint64_t size = 0;
  std::uint64_t allocated_bytes = 0;
  FileTime mtime;
  FileTime ctime;
  dev_t device = 0;
  ino_t inode = 0;
  dev_t special_device = 0; // of a device
  nlink_t names_count = 0; // 0 of an open file that was deleted
  uid_t owner = 0;
  gid_t group = 0;

  bool is_file() const noexcept { return S_ISREG(mode); }
  bool is_directory() const noexcept { return S_ISDIR(mode); }
  bool is_symlink() const noexcept { return S_ISLNK(mode); }
  /// Nothing was written between the two.
  bool same_content(const Status& other) const noexcept {
    return size == other.size && mtime == other.mtime && ctime == other.ctime && inode == other.inode;
  }
};

enum class DiskCall : std::uint8_t {
  open,
  list,
  status,
  read_link,
  read,
  create,
  write,
  truncate,
  set_mode,
  set_mtime,
  close,
  rename,
  make_directory,
  make_symlink,
  remove,
  lock,
  list_xattrs,
  link,
  xattr,
  set_owner,
  make_special,
};

/// The system calls. They return what the kernel returns, or minus the error number, and never throw.
/// No name is ever resolved through a symlink, and none leads out of the directory it is asked in: `open_beneath` has
/// the kernel see to it, the others take one component only.
class Disk {
 public:
  virtual ~Disk() = default;

  /// A directory by any path, as the person who started the program meant it.
  int open_start(const std::string& path);
  /// A directory below `directory`, by a path of any number of components; "." is the directory itself.
  int open_beneath(int directory, const std::string& path);
  /// A regular file for reading; never waits for the other end of a pipe.
  int open_file(int directory, const std::string& name);
  /// A new file for writing; -EEXIST when the name is taken.
  int create_file(int directory, const std::string& name, mode_t mode);
  /// A regular file for reading and writing.
  int open_to_change(int directory, const std::string& name);
  /// All names in a directory, without "." and "..", in no order.
  int list(int directory, std::vector<std::string>& into);
  int status(int directory, const std::string& name, Status& into);
  int status(int fd, Status& into);
  int read_link(int directory, const std::string& name, std::string& into);
  /// The names of the extended attributes of one name, each with a zero byte behind it.
  int list_xattrs(int directory, const std::string& name, std::string& into);
  int xattr(int directory, const std::string& name, const std::string& xattr, std::string& into);
  int set_xattr(int directory, const std::string& name, const std::string& xattr, std::string_view value);
  int remove_xattr(int directory, const std::string& name, const std::string& xattr);
  /// Owner or group, or both; -1 leaves one as it is.
  int set_owner(int directory, const std::string& name, uid_t owner, gid_t group);
  /// A device, a fifo or a socket.
  int make_special(int directory, const std::string& name, mode_t mode, dev_t device);
  ssize_t read(int fd, std::span<std::byte> into, std::uint64_t offset);
  /// The beginning, in one call: less than `into` takes, also where more would come.
  ssize_t read_once(int fd, std::span<std::byte> into);
  /// Writes all of it.
  int write(int fd, std::span<const std::byte> bytes, std::uint64_t offset);
  /// Where data begins at or after an offset; -ENXIO when only a hole follows.
  std::int64_t next_data(int fd, std::uint64_t offset);
  /// Where the data at an offset ends.
  std::int64_t next_hole(int fd, std::uint64_t offset);
  int truncate(int fd, std::uint64_t size);
  int set_mode(int fd, mode_t mode);
  int set_mode(int directory, const std::string& name, mode_t mode);
  int set_mtime(int fd, FileTime mtime);
  int set_mtime(int directory, const std::string& name, FileTime mtime);
  int close(Fd fd);
  /// What closing would do to what was written, on file systems that only then say what went wrong; it stays open.
  int flush(int fd);
  /// Takes the file's lock if nobody has it; it goes with the descriptor.
  int lock(int fd);
  int rename(int directory, const std::string& from, const std::string& to);
  /// The same into another directory.
  int move(int directory, const std::string& from, int into, const std::string& to);
  /// A second name for a file; -EEXIST when it is taken.
  int link(int directory, const std::string& from, int into, const std::string& to);
  int make_directory(int directory, const std::string& name, mode_t mode);
  int make_symlink(int directory, const std::string& name, const std::string& target);
  int remove_file(int directory, const std::string& name);
  int remove_directory(int directory, const std::string& name);

 protected:
  /// Called before each; an error number other than 0 is what the call returns, and nothing happens.
  virtual int before(DiskCall, std::string_view /*name*/) { return 0; }

 private:
  ssize_t list_xattrs_at(int directory, const std::string& name, std::span<char> into);

  std::atomic<bool> lists_xattrs_at_ = true; // the kernel does, as far as anybody has tried
};

} // namespace trunkline::sync

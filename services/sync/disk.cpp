#include "services/sync/disk.hpp"

#include "services/sync/path.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <iterator>

namespace trunkline::sync {
namespace {

/// What openat2 does with no_way_out, for where it is not to be had: under systemd's RestrictSUIDSGID=, which DynamicUser=
/// implies, it is answered with ENOSYS. One component after the other, none of them followed and none of them "..", so
/// there is no way out either.
int open_by_components(int directory, const std::string& path, std::uint64_t flags) {
  if (path.starts_with('/')) return -EXDEV;
  Fd beneath;
  for (std::size_t begin = 0;;) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    if (name == "..") return -EXDEV;
    const bool is_last = end == path.size();
    const int at = beneath ? beneath.number() : directory;
    const int how = is_last ? static_cast<int>(flags) : O_PATH | O_DIRECTORY;
    const int fd = ::openat(at, name.c_str(), how | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EINTR) continue;
    if (fd < 0) {
      const int error = errno;
      struct stat status{};
      const bool is_link = error == ENOTDIR && ::fstatat(at, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
      return is_link ? -ELOOP : -error; // as openat2 says it
    }
    if (is_last) return fd;
    beneath = Fd(fd);
    begin = end + 1;
  }
}

constexpr std::uint64_t no_way_out = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

int open_at(int directory, const std::string& name, std::uint64_t flags, std::uint64_t resolve) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve;
  for (;;) {
    const long fd = ::syscall(SYS_openat2, directory, name.c_str(), &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    if (errno == ENOSYS) return open_by_components(directory, name, flags);
    // EAGAIN: something was renamed meanwhile and the kernel could not tell whether the path stays beneath.
    if (errno != EINTR && errno != EAGAIN) return -errno;
  }
}

/// One component, which nothing has to be resolved for.
int open_one(int directory, const std::string& name, int flags, mode_t mode = 0) {
  for (;;) {
    const int fd = ::openat(directory, name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd >= 0) return fd;
    if (errno != EINTR) return -errno;
  }
}

/// Kernels before 6.13 have no calls for extended attributes of a name in an open directory; this path leads there
/// without following the name.
std::string path_of(int directory, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(directory) + "/" + name;
}

int answer(int returned) { return returned < 0 ? -errno : returned; }

Status to_status(const struct stat& from) {
  Status status;
  status.mode = from.st_mode;
  status.size = static_cast<std::uint64_t>(from.st_size);
  status.allocated_bytes = static_cast<std::uint64_t>(from.st_blocks) * 512;
  status.mtime = {from.st_mtim.tv_sec, static_cast<std::uint32_t>(from.st_mtim.tv_nsec)};
  status.ctime = {from.st_ctim.tv_sec, static_cast<std::uint32_t>(from.st_ctim.tv_nsec)};
  status.device = from.st_dev;
  status.inode = from.st_ino;
  status.special_device = from.st_rdev;
  status.names_count = from.st_nlink;
  status.owner = from.st_uid;
  status.group = from.st_gid;
  return status;
}

/// The system's words, but for those that name another thing than what has happened here.
const char* words_of(int error_number) {
  switch (error_number) {
    case ELOOP: return "a symbolic link is in its path, and none is followed";
    case EINVAL: return "the file system takes no such name or value";
    case EXDEV: return "it leads out of the tree, or to another file system";
    case not_a_file: return "it is no regular file any more";
    default: return std::strerror(error_number);
  }
}

struct Times {
  explicit Times(FileTime mtime) {
    both[0].tv_sec = 0;
    both[0].tv_nsec = UTIME_OMIT;
    both[1].tv_sec = mtime.seconds;
    both[1].tv_nsec = mtime.nanoseconds;
  }
  timespec both[2]{};
};

} // namespace

FileError::FileError(std::string_view verb, std::string_view path, int error_number)
    : FileError(verb, path, error_number, words_of(error_number)) {}

FileError::FileError(std::string_view verb, std::string_view path, int error_number, std::string_view words)
    : std::runtime_error("cannot " + std::string(verb) + " \"" + (path.empty() ? "." : printable(path)) +
                         "\": " + std::string(words)),
      error_number_(error_number) {}

bool FileError::is_gone() const noexcept {
  constexpr int gone[] = {ENOENT, ENOTDIR, ELOOP, ESTALE, not_a_file};
  return std::find(std::begin(gone), std::end(gone), error_number_) != std::end(gone);
}

Fd::~Fd() {
  if (number_ >= 0) ::close(number_);
}

int Disk::open_start(const std::string& path) {
  if (const int error = before(DiskCall::open, path)) return -error;
  return answer(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

int Disk::open_beneath(int directory, const std::string& path) {
  if (const int error = before(DiskCall::open, path)) return -error;
  return open_at(directory, path, O_RDONLY | O_DIRECTORY, no_way_out);
}

int Disk::open_file(int directory, const std::string& name) {
  if (const int error = before(DiskCall::open, name)) return -error;
  return open_one(directory, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

int Disk::create_file(int directory, const std::string& name, mode_t mode) {
  if (const int error = before(DiskCall::create, name)) return -error;
  return open_one(directory, name, O_WRONLY | O_CREAT | O_EXCL, mode);
}

int Disk::open_to_change(int directory, const std::string& name) {
  if (const int error = before(DiskCall::open, name)) return -error;
  return open_one(directory, name, O_RDWR | O_NONBLOCK | O_NOCTTY);
}

int Disk::list(int directory, std::vector<std::string>& into) {
  if (const int error = before(DiskCall::list, {})) return -error;
  // A descriptor of its own: the position of a listing belongs to the open directory.
  const int fd = open_one(directory, ".", O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fd;
  DIR* const stream = ::fdopendir(fd);
  if (!stream) {
    const int error = errno;
    ::close(fd);
    return -error;
  }
  int error = 0;
  for (;;) {
    errno = 0;
    const dirent* const item = ::readdir(stream);
    if (!item) {
      error = errno;
      break;
    }
    const std::string_view name = item->d_name;
    if (name != "." && name != "..") into.emplace_back(name);
  }
  ::closedir(stream);
  return -error;
}

int Disk::status(int directory, const std::string& name, Status& into) {
  if (const int error = before(DiskCall::status, name)) return -error;
  struct stat found;
  if (::fstatat(directory, name.c_str(), &found, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) return -errno;
  into = to_status(found);
  return 0;
}

int Disk::status(int fd, Status& into) {
  if (const int error = before(DiskCall::status, {})) return -error;
  struct stat found;
  if (::fstat(fd, &found) != 0) return -errno;
  into = to_status(found);
  return 0;
}

int Disk::read_link(int directory, const std::string& name, std::string& into) {
  if (const int error = before(DiskCall::read_link, name)) return -error;
  char target[PATH_MAX];
  const ssize_t size = ::readlinkat(directory, name.c_str(), target, sizeof target);
  if (size < 0) return -errno;
  if (size == sizeof target) return -ENAMETOOLONG;
  into.assign(target, static_cast<std::size_t>(size));
  return 0;
}

/// Of every entry that is listed, so that the way through /proc, which takes twice as long, is left to old kernels.
ssize_t Disk::list_xattrs_at(int directory, const std::string& name, std::span<char> into) {
  constexpr long call = 465; // SYS_listxattrat on every machine, which older headers do not know
  if (lists_xattrs_at_) {
    const long size = ::syscall(call, directory, name.c_str(), AT_SYMLINK_NOFOLLOW, into.data(), into.size());
    if (size >= 0 || (errno != ENOSYS && errno != EPERM)) return size;
    lists_xattrs_at_ = errno != ENOSYS; // a sandbox answers EPERM to what it does not know
  }
  return ::llistxattr(path_of(directory, name).c_str(), into.data(), into.size());
}

int Disk::list_xattrs(int directory, const std::string& name, std::string& into) {
  if (const int error = before(DiskCall::list_xattrs, name)) return -error;
  std::array<char, 1024> usual;
  ssize_t size = list_xattrs_at(directory, name, usual);
  if (size >= 0) {
    into.assign(usual.data(), static_cast<std::size_t>(size));
    return 0;
  }
  if (errno != ERANGE) return -errno;
  into.resize(65536);
  size = list_xattrs_at(directory, name, into);
  into.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return size < 0 ? -errno : 0;
}

int Disk::xattr(int directory, const std::string& name, const std::string& xattr, std::string& into) {
  if (const int error = before(DiskCall::xattr, name)) return -error;
  const std::string path = path_of(directory, name);
  into.resize(65536);
  const ssize_t size = ::lgetxattr(path.c_str(), xattr.c_str(), into.data(), into.size());
  into.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return size < 0 ? -errno : 0;
}

int Disk::set_xattr(int directory, const std::string& name, const std::string& xattr, std::string_view value) {
  if (const int error = before(DiskCall::xattr, name)) return -error;
  return answer(::lsetxattr(path_of(directory, name).c_str(), xattr.c_str(), value.data(), value.size(), 0));
}

int Disk::remove_xattr(int directory, const std::string& name, const std::string& xattr) {
  if (const int error = before(DiskCall::xattr, name)) return -error;
  return answer(::lremovexattr(path_of(directory, name).c_str(), xattr.c_str()));
}

int Disk::set_owner(int directory, const std::string& name, uid_t owner, gid_t group) {
  if (const int error = before(DiskCall::set_owner, name)) return -error;
  return answer(::fchownat(directory, name.c_str(), owner, group, AT_SYMLINK_NOFOLLOW));
}

int Disk::make_special(int directory, const std::string& name, mode_t mode, dev_t device) {
  if (const int error = before(DiskCall::make_special, name)) return -error;
  return answer(::mknodat(directory, name.c_str(), mode, device));
}

ssize_t Disk::read(int fd, std::span<std::byte> into, std::uint64_t offset) {
  if (const int error = before(DiskCall::read, {})) return -error;
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t count = ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (count == 0) break;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -errno;
    done += static_cast<std::size_t>(count);
  }
  return static_cast<ssize_t>(done);
}

ssize_t Disk::read_once(int fd, std::span<std::byte> into) {
  if (const int error = before(DiskCall::read, {})) return -error;
  for (;;) {
    const ssize_t count = ::pread(fd, into.data(), into.size(), 0);
    if (count >= 0) return count;
    if (errno != EINTR) return -errno;
  }
}

int Disk::write(int fd, std::span<const std::byte> bytes, std::uint64_t offset) {
  if (const int error = before(DiskCall::write, {})) return -error;
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return count < 0 ? -errno : -EIO;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return 0;
}

std::int64_t Disk::next_data(int fd, std::uint64_t offset) {
  const off_t found = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  return found < 0 ? -errno : found;
}

std::int64_t Disk::next_hole(int fd, std::uint64_t offset) {
  const off_t found = ::lseek(fd, static_cast<off_t>(offset), SEEK_HOLE);
  return found < 0 ? -errno : found;
}

int Disk::truncate(int fd, std::uint64_t size) {
  if (const int error = before(DiskCall::truncate, {})) return -error;
  return answer(::ftruncate(fd, static_cast<off_t>(size)));
}

int Disk::set_mode(int fd, mode_t mode) {
  if (const int error = before(DiskCall::set_mode, {})) return -error;
  return answer(::fchmod(fd, mode));
}

int Disk::set_mode(int directory, const std::string& name, mode_t mode) {
  if (const int error = before(DiskCall::set_mode, name)) return -error;
  return answer(::fchmodat(directory, name.c_str(), mode, AT_SYMLINK_NOFOLLOW));
}

int Disk::set_mtime(int fd, FileTime mtime) {
  if (const int error = before(DiskCall::set_mtime, {})) return -error;
  return answer(::futimens(fd, Times(mtime).both));
}

int Disk::set_mtime(int directory, const std::string& name, FileTime mtime) {
  if (const int error = before(DiskCall::set_mtime, name)) return -error;
  return answer(::utimensat(directory, name.c_str(), Times(mtime).both, AT_SYMLINK_NOFOLLOW));
}

int Disk::close(Fd fd) {
  const int error = before(DiskCall::close, {});
  const int closed = answer(::close(fd.release()));
  return error ? -error : closed;
}

int Disk::flush(int fd) {
  if (const int error = before(DiskCall::close, {})) return -error;
  const int other = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return other < 0 ? -errno : answer(::close(other));
}

int Disk::lock(int fd) {
  if (const int error = before(DiskCall::lock, {})) return -error;
  return answer(::flock(fd, LOCK_EX | LOCK_NB));
}

int Disk::rename(int directory, const std::string& from, const std::string& to) {
  if (const int error = before(DiskCall::rename, to)) return -error;
  return answer(::renameat(directory, from.c_str(), directory, to.c_str()));
}

int Disk::move(int directory, const std::string& from, int into, const std::string& to) {
  if (const int error = before(DiskCall::rename, to)) return -error;
  return answer(::renameat(directory, from.c_str(), into, to.c_str()));
}

int Disk::link(int directory, const std::string& from, int into, const std::string& to) {
  if (const int error = before(DiskCall::link, to)) return -error;
  return answer(::linkat(directory, from.c_str(), into, to.c_str(), 0));
}

int Disk::make_directory(int directory, const std::string& name, mode_t mode) {
  if (const int error = before(DiskCall::make_directory, name)) return -error;
  return answer(::mkdirat(directory, name.c_str(), mode));
}

int Disk::make_symlink(int directory, const std::string& name, const std::string& target) {
  if (const int error = before(DiskCall::make_symlink, name)) return -error;
  return answer(::symlinkat(target.c_str(), directory, name.c_str()));
}

int Disk::remove_file(int directory, const std::string& name) {
  if (const int error = before(DiskCall::remove, name)) return -error;
  return answer(::unlinkat(directory, name.c_str(), 0));
}

int Disk::remove_directory(int directory, const std::string& name) {
  if (const int error = before(DiskCall::remove, name)) return -error;
  return answer(::unlinkat(directory, name.c_str(), AT_REMOVEDIR));
}

} // namespace trunkline::sync

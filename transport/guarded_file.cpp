#include "transport/guarded_file.hpp"

#include "fragment/error.hpp"
#include "fragment/quote.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace trunkline {
namespace {

constexpr std::size_t file_bytes_max = 1 << 20;

[[noreturn]] void fail(std::string_view kind, const std::string& path, const std::string& why) {
  throw_error(error::unusable_file, fmt::format("{} {}: {}", kind, quote(path), why));
}

[[noreturn]] void fail_with_errno(std::string_view kind, const std::string& path) {
  fail(kind, path, std::strerror(errno));
}

class Descriptor {
 public:
  explicit Descriptor(int number) noexcept : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int number() const noexcept { return number_; }

 private:
  int number_;
};

void check_guard(int file, std::string_view kind, const std::string& path, Guard guard) {
  struct stat what{};
  if (::fstat(file, &what) != 0) fail_with_errno(kind, path);
  if (!S_ISREG(what.st_mode)) fail(kind, path, "is no regular file");
  if (what.st_uid != ::geteuid() && what.st_uid != 0)
    fail(kind, path, fmt::format("belongs to the user {}, expected {}", what.st_uid, ::geteuid()));
  const unsigned mode = what.st_mode & 0777u;
  if (guard == Guard::secret && (mode & 077u) != 0)
    fail(kind, path, fmt::format("others may read it (mode {:04o}), expected 0600; chmod 600 mends it", mode));
  if (guard == Guard::unchanged && (mode & 022u) != 0)
    fail(kind, path, fmt::format("others may write it (mode {:04o}), expected 0644 or less; chmod go-w mends it", mode));
  if (static_cast<std::size_t>(what.st_size) > file_bytes_max)
    fail(kind, path, fmt::format("has {} bytes, expected at most {}", what.st_size, file_bytes_max));
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

void make_directories(const std::string& directory, std::string_view kind) {
  if (directory.empty() || ::access(directory.c_str(), F_OK) == 0) return;
  const std::string above = directory_of(directory);
  if (above != directory) make_directories(above, kind);
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) fail_with_errno(kind, directory);
}

/// A file beside the one that is meant; whoever makes it gives it its name or removes it.
std::string write_beside(const std::string& path, std::string_view kind, std::string_view content) {
  if (content.size() > file_bytes_max) // it could not be read again
    fail(kind, path, fmt::format("would have {} bytes, expected at most {}", content.size(), file_bytes_max));
  make_directories(directory_of(path), kind);
  std::string beside = path + ".XXXXXX";
  const Descriptor file(::mkostemp(beside.data(), O_CLOEXEC)); // mode 0600
  if (file.number() < 0) fail_with_errno(kind, path);
  while (!content.empty()) {
    const ssize_t written = ::write(file.number(), content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  if (!content.empty() || ::fsync(file.number()) != 0) {
    const int reason = errno;
    ::unlink(beside.c_str());
    errno = reason;
    fail_with_errno(kind, path);
  }
  return beside;
}

void sync_directory(const std::string& path) noexcept {
  const Descriptor directory(::open(directory_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.number() >= 0) ::fsync(directory.number()); // a file system that cannot has nothing to do
}

} // namespace

std::optional<std::string> read_guarded(const std::string& path, std::string_view kind, Guard guard) {
  // O_NONBLOCK: a fifo in its place must not hold us up before it is seen to be one.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (file.number() < 0) {
    if (errno == ENOENT) return std::nullopt;
    fail_with_errno(kind, path);
  }
  check_guard(file.number(), kind, path, guard);
  std::string content;
  char bytes[16 * 1024];
  for (;;) {
    const ssize_t count = ::read(file.number(), bytes, sizeof bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_with_errno(kind, path);
    if (count == 0) return content;
    content.append(bytes, static_cast<std::size_t>(count));
    if (content.size() > file_bytes_max) fail(kind, path, fmt::format("is larger than {} bytes", file_bytes_max));
  }
}

bool make_file(const std::string& path, std::string_view kind, std::string_view content) {
  const std::string beside = write_beside(path, kind, content);
  const bool made = ::link(beside.c_str(), path.c_str()) == 0; // unlike rename, it takes no other's place
  const int reason = errno;
  ::unlink(beside.c_str());
  if (!made && reason != EEXIST) {
    errno = reason;
    fail_with_errno(kind, path);
  }
  sync_directory(path);
  return made;
}

void replace_file(const std::string& path, std::string_view kind, std::string_view content,
                  const std::string& keep_as) {
  const std::string beside = write_beside(path, kind, content);
  const bool kept = keep_as.empty() || ::link(path.c_str(), keep_as.c_str()) == 0 || errno == EEXIST;
  if (!kept || ::rename(beside.c_str(), path.c_str()) != 0) {
    const int reason = errno;
    ::unlink(beside.c_str());
    errno = reason;
    fail_with_errno(kind, path);
  }
  sync_directory(path);
}

FileLock::FileLock(const std::string& path) {
  const std::string name = path + ".lock";
  make_directories(directory_of(path), "lock file");
  descriptor_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
  if (descriptor_ < 0) fail_with_errno("lock file", name);
  while (::flock(descriptor_, LOCK_EX) != 0)
    if (errno != EINTR) {
      ::close(descriptor_);
      fail_with_errno("lock file", name);
    }
}

FileLock::~FileLock() { ::close(descriptor_); }

} // namespace trunkline

#include "fragment/input_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace trunkline {
namespace {

[[noreturn]] void fail(const std::string& path) {
  throw std::system_error(errno, std::generic_category(), "cannot read " + path);
}

ssize_t read_some(int fd, char* into, std::size_t bytes_max) {
  ssize_t size = 0;
  do size = ::read(fd, into, bytes_max);
  while (size < 0 && errno == EINTR);
  return size;
}

int open_to_read(const std::string& path) { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY); }

} // namespace

// A stream that hears an exception of its buffer is bad, and lets nothing of it out.
InputFile::Bytes::int_type InputFile::Bytes::underflow() {
  if (fd_ < 0) return traits_type::eof();
  const ssize_t size = read_some(fd_, buffer_.data(), buffer_.size());
  if (size < 0) throw std::system_error(errno, std::generic_category());
  setg(buffer_.data(), buffer_.data(), buffer_.data() + size);
  return size == 0 ? traits_type::eof() : traits_type::to_int_type(buffer_.front());
}

InputFile::Bytes::~Bytes() {
  if (fd_ >= 0) ::close(fd_);
}

bool InputFile::Bytes::open(const std::string& path) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = open_to_read(path);
  setg(nullptr, nullptr, nullptr);
  return fd_ >= 0;
}

void InputFile::open(const std::string& path) {
  if (bytes_.open(path)) clear();
  else setstate(failbit);
}

std::string content_of_file(const std::string& path) {
  const int fd = open_to_read(path);
  if (fd < 0) fail(path);
  std::string content;
  ssize_t size = 0;
  try {
    std::array<char, 16384> chunk;
    while ((size = read_some(fd, chunk.data(), chunk.size())) > 0)
      content.append(chunk.data(), static_cast<std::size_t>(size));
  } catch (...) {
    ::close(fd);
    throw;
  }
  const int number = errno;
  ::close(fd);
  errno = number;
  if (size < 0) fail(path);
  return content;
}

} // namespace trunkline

#include "fragment/input_file.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>

using namespace trunkline;

namespace {

/// A file of its own, and where it is.
class OneFile {
 public:
  explicit OneFile(const std::string& content) {
    const int fd = ::mkostemp(path_.data(), O_CLOEXEC);
    REQUIRE(fd >= 0);
    REQUIRE(::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    ::close(fd);
  }
  OneFile(const OneFile&) = delete;
  ~OneFile() { ::unlink(path_.c_str()); }
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() / "trunkline-input-XXXXXX").string();
};

std::string long_text() {
  std::string text;
  for (int line = 0; line < 10'000; ++line) text += "line " + std::to_string(line) + "\n";
  return text + "the end";
}

/// The number with which content_of_file fails.
int failure_of(const std::string& path) {
  try {
    content_of_file(path);
  } catch (const std::system_error& thrown) {
    CHECK(std::string(thrown.what()).find(path) != std::string::npos);
    return thrown.code().value();
  }
  return 0;
}

} // namespace

TEST_CASE("input file: all of it is read, as a whole, by lines and in pieces") {
  const std::string text = long_text();
  const OneFile file(text);

  CHECK(content_of_file(file.path()) == text);
  InputFile whole(file.path());
  CHECK(std::string(std::istreambuf_iterator<char>(whole), {}) == text);
  InputFile lines(file.path());
  std::string again;
  for (std::string line; std::getline(lines, line);) again += again.empty() ? line : "\n" + line;
  CHECK(again == text);
  CHECK_FALSE(lines.bad());
  InputFile pieces(file.path());
  std::string first(20'000, '\0');
  pieces.read(first.data(), static_cast<std::streamsize>(first.size()));
  CHECK(pieces.gcount() == 20'000);
  CHECK(first == text.substr(0, 20'000));
}

TEST_CASE("input file: an empty one is no failure") {
  const OneFile file("");

  CHECK(content_of_file(file.path()).empty());
  InputFile stream(file.path());
  CHECK(stream.good());
  CHECK(stream.get() == std::char_traits<char>::eof());
  CHECK_FALSE(stream.bad());
}

TEST_CASE("input file: what is not there fails, and what cannot be read is bad") {
  CHECK(failure_of("/nowhere/at/all") == ENOENT);
  CHECK(failure_of("/") == EISDIR);
  errno = 0;
  const InputFile missing("/nowhere/at/all");
  const int why_missing = errno;
  CHECK(missing.fail());
  CHECK(why_missing == ENOENT);
  InputFile directory("/");
  CHECK(directory.good());
  directory.get();
  const int why_bad = errno;
  CHECK(directory.bad());
  CHECK(why_bad == EISDIR);
}

TEST_CASE("input file: no other program inherits it") {
  const OneFile file("x");
  const int before = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(before); // the number that is free
  const InputFile stream(file.path());

  CHECK((::fcntl(before, F_GETFD) & FD_CLOEXEC) != 0);
}

#include "transport/unix.hpp"

#include "tests/transport/conformance.hpp"

#include <boost/system/system_error.hpp>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace trunkline::test {
namespace {

namespace fs = std::filesystem;

/// A directory of its own, gone afterwards.
class Directory {
 public:
  Directory() {
    std::string pattern = fs::temp_directory_path() / "trunkline-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~Directory() { fs::remove_all(path_); }
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

class UnixUnderTest final : public MediumUnderTest {
 public:
  asio::io_context& io() override { return io_; }
  Medium& dialling() override { return *medium_; }
  Medium& listening() override { return *medium_; }
  std::string address() override {
    return "unix:" + (directory_ / ("t" + std::to_string(++sockets_)).c_str()).string();
  }
  std::string address_of_nobody() override { return "unix:" + (directory_ / "nobody").string(); }

 private:
  Directory directory_;
  asio::io_context io_{1};
  std::shared_ptr<Medium> medium_ = make_unix_medium();
  int sockets_ = 0;
};

std::string text_of_listen(const fs::path& path) {
  asio::io_context io(1);
  try {
    return "listens on " + make_unix_medium()->listen(io.get_executor(), "unix:" + path.string())->address();
  } catch (const boost::system::system_error& thrown) {
    return thrown.what();
  }
}

} // namespace

TRUNKLINE_TRANSPORT_CONFORMS("unix", UnixUnderTest)

TEST_CASE("unix: the socket file is there while its listener is") {
  const Directory directory;
  const fs::path path = directory / "t";
  asio::io_context io(1);
  auto listener = make_unix_medium()->listen(io.get_executor(), "unix:" + path.string());
  CHECK(fs::is_socket(path));
  listener->close();
  CHECK_FALSE(fs::exists(path));
}

TEST_CASE("unix: the socket file of a dead listener is replaced") {
  const Directory directory;
  const fs::path path = directory / "t";
  {
    asio::io_context io(1);
    const auto listener = make_unix_medium()->listen(io.get_executor(), "unix:" + path.string());
    fs::create_hard_link(path, directory / "kept"); // what is left when a process dies
  }
  fs::rename(directory / "kept", path);
  CHECK(fs::is_socket(path));
  CHECK(text_of_listen(path) == "listens on unix:" + path.string());
}

TEST_CASE("unix: a file that is no socket is left alone") {
  const Directory directory;
  const fs::path path = directory / "t";
  std::ofstream(path) << "precious";
  CHECK(text_of_listen(path) == "cannot listen on unix:" + path.string() + ": Address already in use");
  CHECK(fs::file_size(path) == 8);
}

TEST_CASE("unix: a listener removes no file that has taken the place of its own") {
  const Directory directory;
  const fs::path path = directory / "t";
  asio::io_context io(1);
  auto first = make_unix_medium()->listen(io.get_executor(), "unix:" + path.string());
  fs::remove(path);
  auto second = make_unix_medium()->listen(io.get_executor(), "unix:" + path.string());
  first->close();
  CHECK(fs::is_socket(path));
}

TEST_CASE("unix: a path that the system cannot take is refused with its length") {
  const std::string path = "/tmp/" + std::string(110, 'x');
  CHECK(text_of_listen(path) == "unix socket path of 115 bytes exceeds the system's 107: " + path);
  CHECK(text_of_listen("/no/such/directory/t") ==
        "cannot listen on unix:/no/such/directory/t: No such file or directory");
}

} // namespace trunkline::test

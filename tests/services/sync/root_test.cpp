#include "services/sync/root.hpp"

#include "tests/services/sync/scratch.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

using namespace trunkline;
using namespace trunkline::sync;
using namespace std::string_literals;

namespace {

int error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const FileError& failure) {
    return failure.error_number();
  }
  return 0;
}

} // namespace

TEST_CASE("root: no path leads out of it") {
  const test::Scratch scratch;
  scratch.write("outside/secret", "secret");
  scratch.write("root/dir/file", "inside");
  const auto root = Root::open(scratch.path("root"));

  for (const char* path : {"..", "../outside", "dir/..", "dir/../..", "/", "/etc", ".", "dir/.", "dir//", "dir/"}) {
    CAPTURE(path);
    CHECK(error_of([&] { root->directory(path); }) == EINVAL);
    CHECK(error_of([&] { root->below(path); }) == EINVAL);
  }
  CHECK(error_of([&] { root->directory(std::string("dir\0x", 5)); }) == EINVAL);
  CHECK(error_of([&] { root->directory(std::string(256, 'n')); }) == EINVAL);
}

TEST_CASE("root: a name is one component for every operation") {
  const test::Scratch scratch;
  scratch.write("outside", "old");
  scratch.make_directory("root/dir");
  const auto directory = Root::open(scratch.path("root"))->directory("dir");
  Status status;

  for (const std::string& name :
       {".."s, "."s, ""s, "a/b"s, "../outside"s, "/etc/passwd"s, "a\0b"s, std::string(256, 'n')}) {
    CAPTURE(name);
    CHECK(error_of([&] { directory->status(name); }) == EINVAL);
    CHECK(error_of([&] { directory->read_link(name); }) == EINVAL);
    CHECK(error_of([&] { directory->open_file(name, status); }) == EINVAL);
    CHECK(error_of([&] { directory->create_file(name, 0600); }) == EINVAL);
    CHECK(error_of([&] { directory->make_directory(name, 0755); }) == EINVAL);
    CHECK(error_of([&] { directory->make_symlink(name, "target"); }) == EINVAL);
    CHECK(error_of([&] { directory->rename("x", name); }) == EINVAL);
    CHECK(error_of([&] { directory->rename(name, "x"); }) == EINVAL);
    CHECK(error_of([&] { directory->remove_file(name); }) == EINVAL);
    CHECK(error_of([&] { directory->remove_directory(name); }) == EINVAL);
    CHECK(error_of([&] { directory->set_mode(name, 0777); }) == EINVAL);
    CHECK(error_of([&] { directory->set_mtime(name, {}); }) == EINVAL);
  }
  CHECK(scratch.read("outside") == "old");
}

TEST_CASE("root: a symlink is never followed, wherever it leads") {
  const test::Scratch scratch;
  scratch.write("outside/secret", "secret");
  scratch.write("root/real/file", "inside");
  scratch.make_symlink("root/out", scratch.path("outside"));
  scratch.make_symlink("root/in", "real");
  scratch.make_symlink("root/file", scratch.path("outside/secret"));
  const auto root = Root::open(scratch.path("root"));
  Status status;

  for (const char* path : {"out", "in", "out/deeper"}) {
    CAPTURE(path);
    CHECK(error_of([&] { root->directory(path); }) == ELOOP);
    CHECK(error_of([&] { root->below(path); }) == ELOOP);
  }
  const auto top = root->directory("");
  CHECK(error_of([&] { top->open_file("file", status); }) == ELOOP);
  CHECK(error_of([&] { top->set_mode("file", 0777); }) != 0);
  CHECK_FALSE(top->create_file("file", 0600).has_value());
  top->set_mtime("file", {1, 0});
  CHECK(scratch.status("outside/secret").st_mtim.tv_sec != 1);
  CHECK(top->read_link("in") == "real");
  top->remove_file("out");
  CHECK(scratch.read("outside/secret") == "secret");
}

TEST_CASE("root: a symlink put in the place of an open directory changes nothing") {
  const test::Scratch scratch;
  scratch.make_directory("outside");
  scratch.make_directory("root/dir");
  const auto root = Root::open(scratch.path("root"));
  const auto directory = root->directory("dir");

  REQUIRE(::rename(scratch.path("root/dir").c_str(), scratch.path("root/moved").c_str()) == 0);
  scratch.make_symlink("root/dir", scratch.path("outside"));
  const auto created = directory->create_file("new", 0600);
  root->forget();

  CHECK(created.has_value());
  CHECK(scratch.has("root/moved/new"));
  CHECK_FALSE(scratch.has("outside/new"));
  CHECK(error_of([&] { root->directory("dir"); }) == ELOOP);
}

TEST_CASE("root: the user's own way to it may lead through symlinks") {
  const test::Scratch scratch;
  scratch.write("real/file", "x");
  scratch.make_symlink("link", "real");

  CHECK(Root::open(scratch.path("link"))->directory("")->names() == std::vector<std::string>{"file"});
  CHECK(error_of([&] { Root::open(scratch.path("missing")); }) == ENOENT);
  CHECK(error_of([&] { Root::open(scratch.path("real/file")); }) == ENOTDIR);
}

TEST_CASE("root: a pipe in the place of a file does not make a reader wait") {
  const test::Scratch scratch;
  REQUIRE(::mkfifo(scratch.path("pipe").c_str(), 0600) == 0);
  const auto top = Root::open(scratch.path())->directory("");
  Status status;

  CHECK(error_of([&] { top->open_file("pipe", status); }) == not_a_file);
}

TEST_CASE("root: more directories than it keeps open are opened again") {
  const test::Scratch scratch;
  for (int i = 0; i < 40; ++i) scratch.write("d" + std::to_string(i) + "/f", std::to_string(i));
  const auto root = Root::open(scratch.path());

  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 40; ++i) {
      const std::string path = "d" + std::to_string(i);
      CHECK(root->directory(path)->names() == std::vector<std::string>{"f"});
      CHECK(root->directory(path)->path() == path);
    }
  }
}

TEST_CASE("root: an error names what could not be done with what") {
  const test::Scratch scratch;
  const auto root = Root::open(scratch.path());

  CHECK_THROWS_WITH_AS(root->directory("no such"), "cannot open the directory \"no such\": No such file or directory",
                       FileError);
  CHECK_THROWS_WITH_AS(root->directory("")->remove_file("bad\nname"),
                       "cannot delete \"bad\\nname\": No such file or directory", FileError);
}

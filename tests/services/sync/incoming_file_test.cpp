#include "services/sync/incoming_file.hpp"

#include "services/sync/outgoing_file.hpp"
#include "services/sync/walk.hpp"
#include "tests/services/sync/scratch.hpp"
#include "tests/support/bytes.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::sync;

namespace {

void receive(const std::shared_ptr<Root>& root, std::string_view content) {
  IncomingFile file(root->directory(""), "name", test::seeded_random());
  file.write(0, test::as_bytes(content));
  file.commit(content.size(), 0640, {1000, 7});
}

std::vector<std::string> temporaries(const test::Scratch& scratch) {
  std::vector<std::string> found;
  for (const auto& [path, what] : scratch.picture())
    if (is_temporary_name(path)) found.push_back(path);
  return found;
}

} // namespace

TEST_CASE("incoming file: it has its name, mode and time when it is whole, and not before") {
  const test::Scratch scratch;
  const auto root = Root::open(scratch.path());

  {
    IncomingFile file(root->directory(""), "name", test::seeded_random());
    file.write(0, test::as_bytes("hello "));
    file.write(6, test::as_bytes("world"));
    CHECK_FALSE(scratch.has("name"));
    CHECK(temporaries(scratch).size() == 1);
    CHECK((scratch.status(temporaries(scratch)[0]).st_mode & 07777) == (S_ISVTX | 0600)); // the mark
    file.commit(11, 0444, {1234, 5678});
  }

  CHECK(scratch.read("name") == "hello world");
  CHECK((scratch.status("name").st_mode & 07777) == 0444);
  CHECK(scratch.status("name").st_mtim.tv_sec == 1234);
  CHECK(scratch.status("name").st_mtim.tv_nsec == 5678);
  CHECK(temporaries(scratch).empty());
}

TEST_CASE("incoming file: dropped before it is whole, it leaves the old content and nothing else") {
  const test::Scratch scratch;
  scratch.write("name", "old");
  const auto root = Root::open(scratch.path());

  {
    IncomingFile file(root->directory(""), "name", test::seeded_random());
    file.write(0, test::as_bytes("new"));
  }

  CHECK(scratch.read("name") == "old");
  CHECK(temporaries(scratch).empty());
}

TEST_CASE("incoming file: whichever operation fails, the name has its old content and the temporary file is gone") {
  std::size_t failures = 0;
  for (std::size_t nth = 1;; ++nth) {
    const test::Scratch scratch;
    scratch.write("name", "old");
    bool renamed = false;
    bool late = false;
    const auto disk = std::make_shared<test::FaultyDisk>([&](std::size_t call, DiskCall kind, std::string_view) {
      renamed = renamed || (kind == DiskCall::rename && call != nth + 2);
      if (call != nth + 2 || kind == DiskCall::lock) return 0;
      late = renamed; // then it has its name, and its mode at the next sync
      return ENOSPC;
    });
    const auto root = Root::open(scratch.path(), disk); // two calls until the directory is open
    root->directory("");

    bool failed = false;
    try {
      receive(root, "new content");
    } catch (const FileError& failure) {
      failed = true;
      CHECK(failure.error_number() == ENOSPC);
      CHECK_MESSAGE(std::string(failure.what()).find("\"name\": No space left on device") != std::string::npos,
                    failure.what());
    }

    failures += failed;
    CHECK(scratch.read("name") == (failed && !late ? "old" : "new content"));
    CHECK(temporaries(scratch).empty());
    if (disk->calls() < nth + 2) break;
  }
  CHECK(failures >= 6); // create, write, mode, time, close, rename
}

TEST_CASE(
    "incoming file: whenever the process dies, the name has old or new content and the next run removes the rest") {
  std::size_t stale = 0;
  for (std::size_t nth = 1;; ++nth) {
    const test::Scratch scratch;
    scratch.write("name", "old");
    const auto dying = std::make_shared<test::FaultyDisk>([&](std::size_t call, DiskCall, std::string_view) {
      return call > nth + 2 ? EIO : 0;
    }); // and nothing ever after
    const auto dying_root = Root::open(scratch.path(), dying);
    dying_root->directory("");
    try {
      receive(dying_root, "new content");
    } catch (const FileError&) {}

    const std::string content = scratch.read("name");
    CHECK((content == "old" || content == "new content"));
    const auto root = Root::open(scratch.path());
    for (const std::string& name : temporaries(scratch))
      stale += reap_temporary(*root->directory(""), name) == Reaped::removed;
    CHECK(temporaries(scratch).empty());
    receive(root, "newer content");
    CHECK(scratch.read("name") == "newer content");
    if (dying->calls() <= nth + 2) break;
  }
  CHECK(stale >= 4);
}

TEST_CASE("incoming file: one that somebody is writing is not reaped") {
  const test::Scratch scratch;
  const auto root = Root::open(scratch.path());
  IncomingFile file(root->directory(""), "name", test::seeded_random());
  const std::string temporary = temporaries(scratch).at(0);

  const Reaped reaped = reap_temporary(*root->directory(""), temporary);
  file.commit(0, 0644, {});

  CHECK(reaped == Reaped::in_use);
  CHECK(scratch.has("name"));
}

TEST_CASE("incoming file: what only has a temporary file's name is not reaped") {
  const test::Scratch scratch;
  const auto directory = Root::open(scratch.path())->directory("");
  scratch.write(".a.trunkline-abcdefgh", "somebody's");
  scratch.make_symlink(".b.trunkline-abcdefgh", "somewhere");
  REQUIRE(::mkfifo(scratch.path(".c.trunkline-abcdefgh").c_str(), 01600) == 0);
  scratch.write(".d.trunkline-abcdefgh", "another user's");
  REQUIRE(::chmod(scratch.path(".d.trunkline-abcdefgh").c_str(), 01600) == 0);
  const bool other_user = ::chown(scratch.path(".d.trunkline-abcdefgh").c_str(), 12345, 12345) == 0;

  CHECK(reap_temporary(*directory, ".a.trunkline-abcdefgh") == Reaped::not_ours);
  CHECK(reap_temporary(*directory, ".b.trunkline-abcdefgh") == Reaped::not_ours);
  CHECK(reap_temporary(*directory, ".c.trunkline-abcdefgh") == Reaped::not_ours);
  if (other_user) CHECK(reap_temporary(*directory, ".d.trunkline-abcdefgh") == Reaped::not_ours);
  CHECK(reap_temporary(*directory, ".e.trunkline-abcdefgh") == Reaped::gone);
  CHECK(scratch.picture().size() == 4);
}

TEST_CASE("incoming file: it keeps its lock and its mark until it has its name") {
  const test::Scratch scratch;
  std::vector<Reaped> reaped;
  const auto disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall call, std::string_view) {
    if (call == DiskCall::rename || call == DiskCall::close)
      for (const std::string& name : temporaries(scratch))
        reaped.push_back(reap_temporary(*Root::open(scratch.path())->directory(""), name));
    return 0;
  });
  const auto root = Root::open(scratch.path(), disk);

  receive(root, "content");

  CHECK(reaped == std::vector<Reaped>{Reaped::in_use, Reaped::in_use});
  CHECK(scratch.read("name") == "content");
  CHECK((scratch.status("name").st_mode & 07777) == 0640);
}

TEST_CASE("symlink: one whose temporary name somebody reaps is made again") {
  const test::Scratch scratch;
  bool reaped = false;
  const auto disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall call, std::string_view) {
    if (call != DiskCall::rename || std::exchange(reaped, true)) return 0;
    for (const std::string& name : temporaries(scratch))
      CHECK(reap_temporary(*Root::open(scratch.path())->directory(""), name) == Reaped::removed);
    return 0;
  });

  place_symlink(*Root::open(scratch.path(), disk)->directory(""), "name", "target", {77, 0});

  CHECK(Root::open(scratch.path())->directory("")->read_link("name") == "target");
  CHECK(temporaries(scratch).empty());
}

TEST_CASE("incoming file: a symlink under its name is replaced, not followed") {
  const test::Scratch scratch;
  scratch.write("outside", "precious");
  scratch.make_symlink("root/name", "../outside");
  const auto root = Root::open(scratch.path("root"));

  receive(root, "new");

  CHECK(scratch.read("outside") == "precious");
  CHECK(S_ISREG(scratch.status("root/name").st_mode));
}

TEST_CASE("incoming file: what is never written is a hole of zeros") {
  const test::Scratch scratch;
  const auto root = Root::open(scratch.path());

  IncomingFile file(root->directory(""), "name", test::seeded_random());
  file.write(5'000'000'000, test::as_bytes("end"));
  file.commit(6'000'000'000, 0644, {});

  const auto status = scratch.status("name");
  CHECK(status.st_size == 6'000'000'000);
  CHECK(status.st_blocks * 512 < 10'000'000);
}

TEST_CASE("incoming file: a file that grows beyond what is allowed is an error and leaves nothing") {
  const test::Scratch scratch;
  const auto root = Root::open(scratch.path());
  rlimit before;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);

  const rlimit small{4096, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  int error = 0;
  try {
    receive(root, std::string(10'000, 'x'));
  } catch (const FileError& failure) {
    error = failure.error_number();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, ignored);

  CHECK(error == EFBIG);
  CHECK(scratch.picture().empty());
}

TEST_CASE("symlink: it takes its name at once, with its time, and leaves nothing when it fails") {
  for (const bool fails : {false, true}) {
    const test::Scratch scratch;
    scratch.write("name", "old");
    const auto disk = std::make_shared<test::FaultyDisk>(
        [&](std::size_t, DiskCall call, std::string_view) { return fails && call == DiskCall::rename ? EIO : 0; });
    const auto directory = Root::open(scratch.path(), disk)->directory("");

    if (fails) {
      CHECK_THROWS_AS(place_symlink(*directory, "name", "target", {77, 0}), FileError);
      CHECK(scratch.read("name") == "old");
    } else {
      place_symlink(*directory, "name", "target", {77, 0});
      CHECK(directory->read_link("name") == "target");
      CHECK(scratch.status("name").st_mtim.tv_sec == 77);
    }
    CHECK(temporaries(scratch).empty());
  }
}

TEST_CASE("outgoing file: holes are skipped and the data between them is read") {
  const test::Scratch scratch;
  const std::string path = scratch.path("sparse");
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT, 0600);
  REQUIRE(::pwrite(fd, "begin", 5, 0) == 5);
  REQUIRE(::pwrite(fd, "middle", 6, 4'500'000'000) == 6);
  REQUIRE(::ftruncate(fd, 5'000'000'000) == 0);
  ::close(fd);

  OutgoingFile file(Root::open(scratch.path())->directory(""), "sparse");
  std::string found(5'000, '\0');
  std::uint64_t read = 0;
  std::uint64_t last = 0;
  while (const std::size_t size = file.next_bytes(4096)) {
    std::vector<std::byte> buffer(size);
    last = file.offset();
    read += file.read(buffer);
    const std::string_view text(reinterpret_cast<const char*>(buffer.data()), buffer.size());
    if (text.find("middle") != std::string_view::npos) CHECK(last + text.find("middle") == 4'500'000'000);
  }

  CHECK(read < 1'000'000);
  CHECK(last > 4'000'000'000);
  CHECK(file.unchanged());
}

TEST_CASE("outgoing file: it notices that somebody wrote, even within the same second and size") {
  const test::Scratch scratch;
  scratch.write("file", "aaaa");
  OutgoingFile file(Root::open(scratch.path())->directory(""), "file");
  CHECK(file.unchanged());

  scratch.set_mtime("file", 1); // the change of a change time is enough

  CHECK_FALSE(file.unchanged());
}

// Files of which the destination has something already: an older version, a part, or the whole under another name.
#include "services/sync/path.hpp"
#include "services/sync/walk.hpp"
#include "tests/services/sync/two_nodes.hpp"
#include "tests/support/seed.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <sys/types.h>

#include <string>

using namespace trunkline;
using namespace trunkline::sync;
using namespace trunkline::test;

namespace {

/// A large file here and there, of which a few bytes differ.
std::string two_versions(const Scratch& scratch, std::size_t size = 3'000'000) {
  std::string text = random_text(size);
  scratch.write("to/big", text);
  scratch.set_mtime("to/big", 1'000'000'000);
  text[size / 3] ^= 1;
  text.insert(size / 2, "something new");
  scratch.write("from/big", text, 0640);
  return text;
}

std::string temporary_in(const Scratch& scratch) {
  for (const auto& [path, line] : scratch.picture("to"))
    if (is_temporary_name(name_of(path))) return path;
  return {};
}

} // namespace

TEST_CASE("basis: of a file that has changed only what differs crosses the wire") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const Scratch scratch;
    const std::string text = two_versions(scratch);

    const Ended ended = sync_trees(way, scratch.path("from"), scratch.path("to"));

    CHECK(ended.failure == "");
    CHECK((scratch.read("to/big") == text));
    CHECK(scratch.picture("from") == scratch.picture("to"));
    CHECK(ended.report.files == 1);
    CHECK(ended.report.bytes_matched > text.size() - 20'000);
    CHECK(ended.wire_bytes < 150'000);
    CHECK(ended.progress.bytes_done == text.size());
  }
}

TEST_CASE("basis: without it, and for small files, all of the file comes") {
  const Scratch scratch;
  const std::string text = two_versions(scratch);
  scratch.write("to/small", std::string(1000, 'a'));
  scratch.write("from/small", std::string(1001, 'a'));
  Setting setting;
  setting.options.whole_file = true;

  const Ended ended = sync_trees(Way::pull, scratch.path("from"), scratch.path("to"), setting);

  CHECK(ended.failure == "");
  CHECK((scratch.read("to/big") == text));
  CHECK(scratch.read("to/small").size() == 1001);
  CHECK(ended.report.bytes_matched == 0);
  CHECK(ended.wire_bytes > text.size());
}

TEST_CASE("basis: a file with nothing in common comes whole and right") {
  for (const Way way : both_ways) {
    const Scratch scratch;
    scratch.write("to/big", std::string(500'000, 'x'));
    scratch.write("from/big", random_text(700'000));

    const Ended ended = sync_trees(way, scratch.path("from"), scratch.path("to"));

    CHECK(ended.failure == "");
    CHECK(scratch.picture("from") == scratch.picture("to"));
  }
}

TEST_CASE("basis: holes stay holes in a file that is put together from its old version") {
  const Scratch scratch;
  scratch.write("to/big", random_text(100'000));
  scratch.write("from/big", random_text(100'000) + "more");
  REQUIRE(::truncate(scratch.path("from/big").c_str(), 50'000'000) == 0);

  const Ended ended = sync_trees(Way::push, scratch.path("from"), scratch.path("to"));

  CHECK(ended.failure == "");
  CHECK(scratch.picture("from") == scratch.picture("to"));
  CHECK(scratch.status("to/big").st_blocks * 512 < 5'000'000);
}

TEST_CASE("basis: an old version that changes while the new one comes is found out, and all of it comes") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const Scratch scratch;
    const std::string text = two_versions(scratch, 600'000);
    Setting setting;
    bool is_summed = false;
    setting.to_disk = std::make_shared<FaultyDisk>([&](std::size_t, DiskCall call, std::string_view) {
      if (call == DiskCall::read) is_summed = true;
      // Its name is looked at for the last time before the copies are made of it.
      if (call == DiskCall::create && is_summed) scratch.write("to/big", std::string(600'000, 'z'));
      return 0;
    });

    const Ended ended = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(ended.failure == "");
    CHECK((scratch.read("to/big") == text));
    CHECK(ended.report.files == 1);
    CHECK(ended.report.bytes_matched == 0);
  }
}

TEST_CASE("resume: a large file that was interrupted goes on from where it was") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const Scratch scratch;
    const std::string text = random_text(8'000'000);
    scratch.write("from/dir/big", text);
    scratch.make_directory("to");
    Setting setting;
    setting.tuning.partial_bytes_min = 100'000;
    setting.give_up_at_bytes = 5'000'000;
    const Ended interrupted = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);
    REQUIRE(interrupted.failure == "given up");
    REQUIRE(temporary_in(scratch) != "");
    REQUIRE_FALSE(scratch.has("to/dir/big"));

    setting.give_up_at_bytes = 0;
    const Ended ended = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(ended.failure == "");
    CHECK(scratch.picture("from") == scratch.picture("to"));
    CHECK(ended.report.bytes_matched > 3'000'000);
    CHECK(ended.wire_bytes < 5'000'000);
  }
}

TEST_CASE("resume: what came of a file that was replaced serves beside its old version") {
  const Scratch scratch;
  std::string text = random_text(6'000'000);
  scratch.write("to/big", text.substr(3'000'000));
  scratch.set_mtime("to/big", 1'000'000'000);
  scratch.write("from/big", text);
  Setting setting;
  setting.tuning.partial_bytes_min = 100'000;
  scratch.write("to/.big.trunkline-aaaaaaaa", text.substr(0, 2'500'000), 01600);

  const Ended ended = sync_trees(Way::push, scratch.path("from"), scratch.path("to"), setting);

  CHECK(ended.failure == "");
  CHECK(scratch.picture("from") == scratch.picture("to"));
  CHECK(ended.report.bytes_matched > 5'000'000);
  CHECK(temporary_in(scratch) == "");
}

TEST_CASE("resume: what was left of files that nobody wants any more goes") {
  const Scratch scratch;
  scratch.make_directory("from");
  scratch.write("to/.gone.trunkline-aaaaaaaa", random_text(300'000), 01600);
  Setting setting;
  setting.tuning.partial_bytes_min = 100'000;

  const Ended ended = sync_trees(Way::push, scratch.path("from"), scratch.path("to"), setting);

  CHECK(ended.failure == "");
  CHECK(temporary_in(scratch) == "");
  CHECK(ended.notes(Note::Kind::deleted) == std::vector<std::string>{".gone.trunkline-aaaaaaaa"});
}

TEST_CASE("moved: a file that has another name now does not cross the wire again") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const Scratch scratch;
    const std::string text = random_text(2'000'000);
    scratch.write("to/old/name", text);
    scratch.write("from/new/other name", text);
    for (const char* path : {"to/old/name", "from/new/other name"}) scratch.set_mtime(path, 1'234'567'890, 5);
    Setting setting;
    setting.options.delete_extra = true;

    const Ended ended = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(ended.failure == "");
    CHECK(scratch.picture("from") == scratch.picture("to"));
    CHECK(ended.report.files == 1);
    CHECK(ended.report.bytes_matched == text.size());
    CHECK(ended.wire_bytes < 20'000);
  }
}

TEST_CASE("moved: a file that has size and time of another one, and another content, comes") {
  const Scratch scratch;
  scratch.write("to/a", std::string(100'000, 'a'));
  scratch.write("from/a", std::string(100'000, 'a'));
  scratch.write("from/b", std::string(100'000, 'b'));
  for (const char* path : {"to/a", "from/a", "from/b"}) scratch.set_mtime(path, 1'234'567'890);

  const Ended ended = sync_trees(Way::push, scratch.path("from"), scratch.path("to"));

  CHECK(ended.failure == "");
  CHECK(scratch.picture("from") == scratch.picture("to"));
  CHECK(ended.report.bytes_matched == 0);
}

TEST_CASE("in place: a file is overwritten where it differs, and stays the file that it was") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const Scratch scratch;
    const std::string text = two_versions(scratch);
    scratch.write("from/new", "hello");
    scratch.write("to/shorter", random_text(90'000));
    scratch.write("from/shorter", random_text(90'000).substr(0, 30'000));
    scratch.set_mtime("from/shorter", 5);
    const ino_t inode = scratch.status("to/big").st_ino;
    Setting setting;
    setting.options.in_place = true;

    const Ended ended = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(ended.failure == "");
    CHECK((scratch.read("to/big") == text));
    CHECK(scratch.picture("from") == scratch.picture("to"));
    CHECK(scratch.status("to/big").st_ino == inode);
    CHECK(ended.report.bytes_matched > 1'000'000);
  }
}

TEST_CASE("append: what is there is the beginning, and only the rest comes") {
  const Scratch scratch;
  const std::string text = random_text(1'000'000);
  scratch.write("to/log", text.substr(0, 900'000));
  scratch.write("from/log", text);
  scratch.write("to/longer", "longer");
  scratch.write("from/longer", "long");
  scratch.set_mtime("from/longer", 7);
  Setting setting;
  setting.options.append = true;

  const Ended ended = sync_trees(Way::push, scratch.path("from"), scratch.path("to"), setting);

  CHECK(ended.failure == "");
  CHECK((scratch.read("to/log") == text));
  CHECK(scratch.read("to/longer") == "longer");
  CHECK(ended.report.passed_over == 1);
  CHECK(ended.report.bytes_matched == 900'000);
  CHECK(ended.wire_bytes < 120'000);
}

TEST_CASE("append: a beginning that is another one is found out, and all of the file comes") {
  const Scratch scratch;
  std::string text = random_text(300'000);
  scratch.write("to/log", text.substr(0, 200'000));
  text[5] ^= 1;
  scratch.write("from/log", text);
  Setting setting;
  setting.options.append = true;

  const Ended ended = sync_trees(Way::pull, scratch.path("from"), scratch.path("to"), setting);

  CHECK(ended.failure == "");
  CHECK((scratch.read("to/log") == text));
  CHECK(ended.report.bytes_matched == 0);
}

TEST_CASE("compression: text takes less of the wire, and noise comes all the same") {
  const Scratch scratch;
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "line " + std::to_string(i) + "\n";
  scratch.write("from/text", text);
  scratch.write("from/noise", random_text(500'000));
  scratch.make_directory("to");
  Setting setting;
  setting.options.compress = true;

  const Ended ended = sync_trees(Way::push, scratch.path("from"), scratch.path("to"), setting);

  CHECK(ended.failure == "");
  CHECK(scratch.picture("from") == scratch.picture("to"));
  CHECK(ended.wire_bytes < 500'000 + text.size() / 3);
}

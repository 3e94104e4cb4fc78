// What modes become on the way, which owners entries get, and what a far side may claim about attributes.
#include "services/sync/mode_changes.hpp"
#include "services/sync/owners.hpp"
#include "services/sync/xattrs.hpp"
#include "tests/services/sync/two_nodes.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

using namespace trunkline;
using namespace trunkline::sync;
using namespace trunkline::test;

TEST_CASE("chmod: changes are those of rsync, in their order") {
  struct Row {
    const char* changes;
    std::uint32_t mode;
    bool is_directory;
    std::uint32_t expected;
  };
  const Row rows[] = {
      {"D2775,F664", 0700, true, 02775},  {"D2775,F664", 0700, false, 0664}, {"go-w", 0666, false, 0644},
      {"u+x", 0644, false, 0744},         {"+X", 0644, false, 0644},         {"+X", 0744, false, 0755},
      {"+X", 0644, true, 0755},           {"a=r", 0777, false, 0444},        {"g+s", 0755, false, 02755},
      {"u+s,g-r", 0755, false, 04715},    {"o=", 0777, false, 0770},         {"Dg+s,Fo-rwx", 0755, true, 02755},
      {"Dg+s,Fo-rwx", 0755, false, 0750}, {"u-rwx,u+r", 0700, false, 0400},  {"+t", 0755, true, 01755},
      {"600", 04755, false, 0600},        {"ug=rwx,o=rx", 0, false, 0775},
  };
  for (const Row& row : rows) {
    CAPTURE(row.changes);
    ModeChanges changes;
    changes.add(row.changes, 022);
    CHECK(changes.of(row.mode, row.is_directory) == row.expected);
  }
}

TEST_CASE("chmod: what is not understood is refused by name") {
  for (const char* text : {"u+y", "D", "8", "99", "u", "z+r", "77777777", "u+r,,q"}) {
    CAPTURE(text);
    ModeChanges changes;
    CHECK_THROWS_AS(changes.add(text, 022), std::invalid_argument);
  }
}

TEST_CASE("xattrs: what a far side claims is read only if it is sorted, whole and asked for") {
  const XattrScope scope{false, true};
  const std::string one("user.a\0\2\0\0\0hi", 13);
  const std::string two("user.b\0\0\0\0\0", 11);

  CHECK(wrong_with_xattrs("", scope) == "");
  CHECK(wrong_with_xattrs(one + two, scope) == "");
  CHECK(wrong_with_xattrs(two + one, scope) == "has extended attributes that are not sorted");
  CHECK(wrong_with_xattrs(one + one, scope) == "has extended attributes that are not sorted");
  CHECK(wrong_with_xattrs(one.substr(0, 12), scope) == "has extended attributes that cannot be read");
  CHECK(wrong_with_xattrs(std::string("user.a\0\xff\xff\xff\xff", 11), scope) ==
        "has extended attributes that cannot be read");
  CHECK(wrong_with_xattrs(one, {true, false}) == "has an extended attribute that nobody asked for");
  CHECK(wrong_with_xattrs(std::string("system.posix_acl_access\0\0\0\0\0", 28), scope) ==
        "has an extended attribute that nobody asked for");
  CHECK(wrong_with_xattrs(std::string(70'000, 'x'), scope) == "has 70000 bytes of extended attributes");
}

TEST_CASE("attributes: hard links stay hard links, and are made again where they are missing") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const Scratch scratch;
    scratch.write("from/a", random_text(50'000));
    scratch.make_directory("from/dir");
    REQUIRE(::link(scratch.path("from/a").c_str(), scratch.path("from/dir/b").c_str()) == 0);
    REQUIRE(::link(scratch.path("from/a").c_str(), scratch.path("from/z").c_str()) == 0);
    scratch.make_directory("to");
    scratch.write("to/z", random_text(50'000));
    Setting setting;
    setting.options.hard_links = true;

    const Ended ended = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(ended.failure == "");
    CHECK(scratch.picture("from") == scratch.picture("to"));
    CHECK(scratch.status("to/a").st_ino == scratch.status("to/dir/b").st_ino);
    CHECK(scratch.status("to/a").st_ino == scratch.status("to/z").st_ino);
    CHECK(ended.report.linked == 2);
    CHECK(ended.report.not_kept.hard_links == 0);
    const Ended again = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);
    CHECK(again.report.linked == 0);
    CHECK(again.report.files == 0);
  }
}

TEST_CASE("attributes: extended attributes come along, and those that are gone go") {
  for (const Way way : both_ways) {
    const Scratch scratch;
    scratch.write("from/f", "x");
    scratch.write("to/f", "x");
    scratch.make_directory("from/d");
    scratch.set_mtime("from/f", 1);
    scratch.set_mtime("to/f", 1);
    if (::setxattr(scratch.path("from/f").c_str(), "user.kept", "value", 5, 0) != 0)
      return; // this file system has none
    REQUIRE(::setxattr(scratch.path("from/d").c_str(), "user.of", "directory", 9, 0) == 0);
    REQUIRE(::setxattr(scratch.path("to/f").c_str(), "user.gone", "v", 1, 0) == 0);
    Setting setting;
    setting.options.xattrs = true;

    const Ended ended = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(ended.failure == "");
    char value[20];
    CHECK(::getxattr(scratch.path("to/f").c_str(), "user.kept", value, sizeof value) == 5);
    CHECK(::getxattr(scratch.path("to/f").c_str(), "user.gone", value, sizeof value) == -1);
    CHECK(::getxattr(scratch.path("to/d").c_str(), "user.of", value, sizeof value) == 9);
    CHECK(ended.report.attributes >= 1);
    CHECK(ended.report.not_kept.xattrs == 0);
  }
}

TEST_CASE("attributes: fifos are made, setuid stays, and without the options neither happens") {
  const Scratch scratch;
  scratch.make_directory("from");
  scratch.make_directory("to");
  REQUIRE(::mkfifo(scratch.path("from/pipe").c_str(), 0640) == 0);
  scratch.write("from/tool", "x", 04755);

  const Ended plain = sync_trees(Way::push, scratch.path("from"), scratch.path("to"));
  Setting setting;
  setting.options.devices = true;
  setting.options.all_mode_bits = true;
  const Ended ended = sync_trees(Way::push, scratch.path("from"), scratch.path("to"), setting);

  CHECK(plain.report.not_kept.specials == 1);
  CHECK(ended.failure == "");
  CHECK(ended.report.specials == 1);
  CHECK(ended.report.not_kept == NotKept());
  CHECK(S_ISFIFO(scratch.status("to/pipe").st_mode));
  CHECK((scratch.status("to/pipe").st_mode & 07777) == 0640);
  CHECK((scratch.status("to/tool").st_mode & 07777) == 04755);
  const Ended again = sync_trees(Way::push, scratch.path("from"), scratch.path("to"), setting);
  CHECK(again.report.specials == 0);
}

TEST_CASE("attributes: owners come along for root, and are counted for others") {
  const Scratch scratch;
  scratch.write("from/f", "x");
  scratch.make_symlink("from/link", "f");
  scratch.make_directory("to");
  const bool is_root = ::geteuid() == 0;
  if (is_root) {
    REQUIRE(::chown(scratch.path("from/f").c_str(), 1234, 5678) == 0);
    REQUIRE(::lchown(scratch.path("from/link").c_str(), 4321, 8765) == 0);
  }
  Setting setting;
  setting.options.owner = true;
  setting.options.group = true;

  const Ended ended = sync_trees(Way::pull, scratch.path("from"), scratch.path("to"), setting);

  CHECK(ended.failure == "");
  CHECK(ended.report.not_kept.owners == 0);
  if (!is_root) return;
  CHECK(scratch.status("to/f").st_uid == 1234);
  CHECK(scratch.status("to/f").st_gid == 5678);
  CHECK(scratch.status("to/link").st_uid == 4321);
  setting.options.chown_user = "1";
  setting.options.chown_group = "2";
  sync_trees(Way::pull, scratch.path("from"), scratch.path("to"), setting);
  CHECK(scratch.status("to/f").st_uid == 1);
  CHECK(scratch.status("to/link").st_gid == 2);
}

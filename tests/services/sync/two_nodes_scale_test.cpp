// Trees of many entries: what a sync remembers of them is bounded, whatever their size.
#include "services/sync/service.hpp"
#include "tests/services/sync/scratch.hpp"
#include "tests/services/sync/two_nodes.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

using namespace trunkline;
using namespace trunkline::sync;
using test::both_ways;
using test::Ended;
using test::FaultyDisk;
using test::name_of_way;
using test::Setting;
using test::sync_trees;
using test::Way;

namespace {

constexpr int directories_count = 40;
constexpr int files_per_directory = 1000;

/// Every file is another name of one, which is made faster.
void make_tree(const test::Scratch& scratch, const std::string& root, int first_directory) {
  const std::string content = "content of " + root;
  scratch.write(content, "content");
  scratch.set_mtime(content, 1000);
  for (int i = 0; i < directories_count; ++i) {
    const std::string directory = root + "/d" + std::to_string(10 + i);
    scratch.make_directory(directory);
    for (int j = 0; i >= first_directory && j < files_per_directory; ++j)
      std::filesystem::create_hard_link(scratch.path(content),
                                        scratch.path(directory + "/f" + std::to_string(1000 + j)));
  }
}

} // namespace

TEST_CASE("sync: neither side keeps a tree in memory, and the first file is there long before the last one is listed") {
  for (const Way way : both_ways) {
    const test::Scratch scratch;
    make_tree(scratch, "from", 0);
    make_tree(scratch, "to", 1);
    Setting setting;
    setting.tuning.listing_bytes_max = 2'500'000; // 40,000 entries and no more than about 60 bytes for each
    std::size_t listed_before = 0;                // directories, when the first file was seen to be there
    std::size_t listed = 0;
    setting.from_disk = std::make_shared<FaultyDisk>([&](std::size_t, DiskCall call, std::string_view) {
      if (call == DiskCall::list && listed_before == 0 && ++listed > 1 && scratch.has("to/d10/f1000"))
        listed_before = listed;
      return 0;
    });

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CAPTURE(name_of_way(way));
    CHECK(outcome.failure == "");
    CHECK(outcome.report.files == files_per_directory);
    CHECK(outcome.report.unchanged >= (directories_count - 1) * files_per_directory);
    CHECK(listed_before > 0);
    CHECK(listed_before < directories_count);
    // A listing of prefixes that are shared, compressed: the content and its headers come on top.
    CHECK(outcome.wire_bytes < directories_count * files_per_directory * 8 + files_per_directory * 150);
  }
}

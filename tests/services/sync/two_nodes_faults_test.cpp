// Syncs in the simulator. Two hosts with a slow link between them; connections break, go silent, stand still and are
// cut while a tree goes across, again and again, until a sync gets through. After each attempt every file is an old
// or a new one; at the end the trees are equal.
#include "async/clock.hpp"
#include "services/sync/service.hpp"
#include "tests/services/sync/scratch.hpp"
#include "tests/services/sync/two_nodes.hpp"
#include "transport/sim/random.hpp"
#include "transport/sim/world.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <utility>

using namespace trunkline;
using namespace trunkline::sync;
using namespace std::chrono_literals;
using test::both_ways;
using test::name_of_way;
using test::random_text;
using test::Scratch;
using test::Way;

namespace {

NodeOptions options_for(sim::World& world, const std::string& host) {
  NodeOptions options;
  options.media["sim"] = world.medium(host);
  options.random = world.random(host);
  return options;
}

sync::ServiceOptions settings_for(sim::World& world, const std::string& host) {
  sync::ServiceOptions settings;
  settings.random = world.random(host + " names");
  settings.idle_max = 20s;
  settings.tuning.partial_bytes_min = 64 * 1024;
  return settings;
}

sim::LinkOptions slow_link() {
  sim::LinkOptions link;
  link.delay = 20ms;
  link.jitter = 5ms;
  link.bytes_per_second = 150'000;
  return link;
}

/// A tree and an older version of it: new files, files that have become longer or are changed in the middle, others that
/// moved, and some that are gone.
void make_trees(const Scratch& scratch, std::uint64_t seed) {
  sim::Random random(seed);
  scratch.make_directory("to");
  for (int i = 0; i < 30; ++i) {
    const std::string path = "/d" + std::to_string(i % 4) + "/f" + std::to_string(i);
    std::string text = random_text(random.below(i % 10 == 0 ? 600'000 : 40'000) + static_cast<std::size_t>(i));
    scratch.write("from" + path, text);
    const std::uint64_t kind = random.below(6);
    if (kind == 0) continue;
    if (kind == 1) text.insert(text.size() / 2, random_text(700));
    if (kind == 2) text.resize(text.size() / 3);
    if (kind == 3) text.replace(0, std::min<std::size_t>(5, text.size()), "other");
    const std::string there = "to" + (kind == 4 ? path + ".moved" : path);
    scratch.write(there, text);
    if (kind >= 4) {
      scratch.set_mtime("from" + path, 1000);
      scratch.set_mtime(there, 1000);
    } else {
      scratch.set_mtime(there, 500);
    }
  }
  scratch.write("to/gone/file", "gone");
}

/// Everything but the temporary files.
std::map<std::string, std::string> contents(const Scratch& scratch, std::string_view root) {
  auto picture = scratch.picture(root, false);
  std::erase_if(picture, [](const auto& entry) { return entry.first.find(".trunkline-") != std::string::npos; });
  return picture;
}

struct Crossing {
  Crossing(Way its_way, std::uint64_t seed)
      : way(its_way), world(seed, slow_link()), here(world.executor(), options_for(world, "here")),
        there(world.executor(), options_for(world, "there")), asking(Service::register_at(here, settings_for(world, "here"))) {
    make_trees(scratch, seed);
    sync::ServiceOptions settings = settings_for(world, "there");
    settings.root = Root::open(scratch.path(way == Way::push ? "to" : "from"));
    Service::register_at(there, std::move(settings));
    there.listen("sim://there");
  }

  awaitable<void> sync_once(Options options) {
    failure.clear();
    Watch watch;
    Source source = open_source(scratch.path("from"));
    try {
      if (way == Way::push) {
        report = co_await asking->push(here, std::move(source), "sim://there", "", options, std::move(watch));
      } else {
        report = co_await asking->pull(here, "sim://there", "", Root::open(scratch.path("to")), options, std::move(watch));
      }
    } catch (const std::exception& thrown) {
      failure = thrown.what();
    }
    if (!failure.empty()) co_await sleep_for(500ms);
  }
  awaitable<void> close() {
    co_await here.close();
    co_await there.close();
  }

  const Way way;
  const Scratch scratch;
  sim::World world;
  Node here;
  Node there;
  std::shared_ptr<Service> asking;
  Report report;
  std::string failure;
};

Options options_of(std::uint64_t seed) {
  Options options;
  options.delete_extra = true;
  options.checksum = seed % 3 == 0;
  options.compress = seed % 2 == 0;
  return options;
}

} // namespace

TEST_CASE("sync in the simulator: whatever the link does, files are old or new, and a sync that gets through completes") {
  std::size_t attempts_failed = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Crossing crossing(both_ways[seed % 2], seed);
    const Scratch& scratch = crossing.scratch;
    const auto wanted = scratch.picture("from");
    const auto after = contents(scratch, "from");
    const auto before = contents(scratch, "to");
    CAPTURE(seed);
    CAPTURE(name_of_way(crossing.way));
    sim::Faults faults;
    faults.resets_per_minute = 20;
    faults.losses_per_minute = 3;
    faults.stalls_per_minute = 10;
    faults.partitions_per_minute = 6;
    faults.partition_time = 5s;

    crossing.world.inject(faults);
    for (int attempt = 0; attempt < 12; ++attempt) {
      crossing.world.run(crossing.sync_once(options_of(seed)));
      for (const auto& [path, content] : contents(scratch, "to")) {
        const auto old = before.find(path);
        const auto made = after.find(path);
        const bool is_old = old != before.end() && old->second == content;
        const bool is_new = made != after.end() && made->second == content;
        const bool is_directory = scratch.status("to/" + path).st_mode & S_IFDIR;
        CHECK_MESSAGE((is_old || is_new || is_directory), path, " is torn");
      }
      if (crossing.failure.empty()) break;
      ++attempts_failed;
    }
    crossing.world.calm();
    for (int attempt = 0; attempt < 5; ++attempt) { // what a lost direction has left is found out first
      crossing.world.run(crossing.sync_once(options_of(seed)));
      if (crossing.failure.empty()) break;
    }

    CHECK(crossing.failure == "");
    CHECK(crossing.report.errors == 0);
    CHECK(scratch.picture("to") == wanted);
    crossing.world.run(crossing.close());
  }
  CHECK(attempts_failed >= 5); // the faults do happen
}

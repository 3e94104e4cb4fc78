// Whole syncs between two nodes over memory. Each row runs both ways: the side that asks gives (push) or takes (pull),
// and the same registered service answers.
#include "services/sync/service.hpp"

#include "async/task_group.hpp"
#include "async/tasks.hpp"
#include "services/sync/walk.hpp"
#include "tests/services/sync/scratch.hpp"
#include "tests/services/sync/two_nodes.hpp"
#include "tests/support/coroutine.hpp"
#include "tests/support/seed.hpp"
#include "transport/memory.hpp"

#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::sync;
using namespace trunkline::test;

namespace {

void fill(const test::Scratch& scratch) {
  scratch.write("from/empty", "");
  scratch.write("from/small", "hello", 0640);
  scratch.write("from/big", random_text(1'500'000), 0755);
  scratch.write("from/dir/with space/new\nline", "odd");
  scratch.write("from/dir/\xff\xfe\x01", "not utf-8");
  scratch.write("from/dir/read only", "r", 0444);
  scratch.make_directory("from/empty dir", 0700);
  scratch.make_directory("from/closed dir", 0500);
  scratch.make_symlink("from/link", "dir/with space");
  scratch.make_symlink("from/broken", "/no/where/\xff");
  for (const char* path : {"from/small", "from/link", "from/dir", "from/empty dir"})
    scratch.set_mtime(path, 1'000'000'000, 123'456'789);
  scratch.set_mtime("from/big", -86'400);
  scratch.make_directory("to");
}

/// Answers nothing.
awaitable<void> says_nothing(LocalPeer&, CircuitInbox& circuits) {
  const std::optional<Circuit> held = co_await circuits.next();
  const std::optional<Circuit> never = co_await circuits.next();
}

/// Pushes until it is cancelled, and says whether it is still cancelled when the push has thrown.
awaitable<void> push_until_cancelled(std::shared_ptr<sync::Service> service, Node* asker, std::string from,
                                     std::string address, bool* is_cancelled) {
  bool threw = false;
  auto push = service->push(*asker, open_source(from), std::move(address), "", sync::Options(), sync::Watch());
  try {
    (void)co_await std::move(push);
  } catch (const boost::system::system_error& thrown) {
    threw = thrown.code() == asio::error::operation_aborted;
  }
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  *is_cancelled = threw && cancellation.cancelled() != asio::cancellation_type::none;
}

awaitable<void> cancel_push(std::string from, bool* is_cancelled) {
  const Executor executor = co_await asio::this_coro::executor;
  NodeOptions options;
  options.media["mem"] = std::make_shared<MemoryMedium>();
  Node asker(executor, options);
  Node answerer(executor, options);
  std::string address = answerer.listen("mem://answerer");
  answerer.register_service("sync", says_nothing);
  const auto service = sync::Service::register_at(asker, sync::ServiceOptions());
  Tasks tasks(executor);
  Task& push =
      tasks.spawn_cancellable(push_until_cancelled(service, &asker, std::move(from), std::move(address), is_cancelled));
  while (answerer.local_peers("sync").empty()) co_await let_others_run();
  push.cancel();
  co_await tasks.join();
  CHECK(asker.local_peers("sync").empty());
  co_await asker.close();
  co_await answerer.close();
}

} // namespace

TEST_CASE("sync: one that was cancelled has ended when it throws, and its caller is still cancelled") {
  const test::Scratch scratch;
  bool is_cancelled = false;

  run_coroutine(cancel_push(scratch.path(), &is_cancelled));

  CHECK(is_cancelled);
}

TEST_CASE("sync: both trees are equal afterwards, and a second sync finds nothing to do") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const test::Scratch scratch;
    fill(scratch);

    const Ended first = sync_trees(way, scratch.path("from"), scratch.path("to"));
    const Ended second = sync_trees(way, scratch.path("from"), scratch.path("to"));

    REQUIRE(first.failure == "");
    CHECK(scratch.picture("to") == scratch.picture("from"));
    CHECK(first.report.files == 6);
    CHECK(first.report.circuits == 7);
    CHECK(first.report.bytes == 1'500'018);
    CHECK(first.report.directories == 4);
    CHECK(first.report.symlinks == 2);
    CHECK(first.report.errors == 0);
    CHECK(first.progress.files_done == 6);
    CHECK(first.progress.files_total == 6);
    CHECK(first.progress.bytes_done == 1'500'018);
    CHECK(first.progress.bytes_total == 1'500'018);
    CHECK(first.progress.totals_known);
    CHECK(first.notes(Note::Kind::sent).size() == 6);
    REQUIRE(second.failure == "");
    CHECK(second.report.files == 0);
    CHECK(second.report.circuits == 1);
    CHECK(second.report.unchanged == 13);
    CHECK(second.report.attributes == 0);
  }
}

TEST_CASE("sync: only what changed is sent") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const test::Scratch scratch;
    fill(scratch);
    sync_trees(way, scratch.path("from"), scratch.path("to"));

    scratch.write("from/small", "other", 0640);            // same size, another time
    scratch.write("from/dir/new", "new");
    ::chmod(scratch.path("from/big").c_str(), 0700);
    ::unlink(scratch.path("from/link").c_str());
    scratch.make_symlink("from/link", "elsewhere");
    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"));

    CHECK(outcome.failure == "");
    CHECK(outcome.notes(Note::Kind::sent) == std::vector<std::string>{"dir/new", "small"});
    CHECK(outcome.report.symlinks == 1);
    CHECK(outcome.report.files == 2);
    CHECK(scratch.picture("to") == scratch.picture("from"));
  }
}

TEST_CASE("sync: an empty tree is a tree") {
  for (const Way way : both_ways) {
    const test::Scratch scratch;
    scratch.make_directory("from");
    scratch.make_directory("to");

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"));

    CHECK(outcome.failure == "");
    CHECK(outcome.report.circuits == 1);
    CHECK(scratch.picture("to").empty());
  }
}

TEST_CASE("sync: many small files need no more circuits than files, and no more are under way than allowed") {
  for (const Way way : both_ways) {
    const test::Scratch scratch;
    for (int i = 0; i < 1500; ++i)
      scratch.write("from/d" + std::to_string(i % 17) + "/f" + std::to_string(i), random_text(i % 700));
    scratch.make_directory("to");
    Setting setting;
    setting.tuning.files_outstanding_max = 40;
    setting.tuning.files_sending_max = 7;

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(outcome.failure == "");
    CHECK(outcome.report.files == 1500);
    CHECK(outcome.report.circuits == 1501);
    CHECK(scratch.picture("to") == scratch.picture("from"));
  }
}

TEST_CASE("sync: with checksum the content decides, not the time") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const test::Scratch scratch;
    scratch.write("from/touched", "same content");
    scratch.write("to/touched", "same content");
    scratch.set_mtime("from/touched", 1000);
    scratch.write("from/forged", "aaaa");
    scratch.write("to/forged", "bbbb");
    for (const char* path : {"from/forged", "to/forged"}) scratch.set_mtime(path, 2000);
    scratch.write("from/equal", "equal");
    scratch.write("to/equal", "equal");
    for (const char* path : {"from/equal", "to/equal"}) scratch.set_mtime(path, 3000);
    scratch.write("from/longer", "longer");
    scratch.write("to/longer", "long");
    scratch.set_mtime("from", 4000);
    Setting setting;
    setting.options.checksum = true;

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(outcome.failure == "");
    CHECK(outcome.notes(Note::Kind::sent) == std::vector<std::string>{"forged", "longer"});
    CHECK(outcome.notes(Note::Kind::attributes).front() == "");
    CHECK(outcome.notes(Note::Kind::attributes).back() == "touched");
    CHECK(scratch.picture("to") == scratch.picture("from"));
  }
}

TEST_CASE("sync: no more than two files are digested at a time, whatever is wanted") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const test::Scratch scratch;
    for (int i = 0; i < 12; ++i)
      for (const char* side : {"from/f", "to/f"}) scratch.write(side + std::to_string(i), std::string(1 << 20, 'x'));
    Setting setting;
    setting.options.checksum = true;
    std::int64_t opened = 0;
    std::int64_t read = 0;
    std::int64_t most = 0;
    setting.from_disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall call, std::string_view name) {
      opened += call == DiskCall::open && name.starts_with("f");
      read += call == DiskCall::read;
      most = std::max(most, opened - read / 4);
      return 0;
    });

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(outcome.failure == "");
    CHECK(outcome.report.files == 0);
    CHECK(opened == 12);
    CHECK(read == 48); // a turn reads 256 KiB
    CHECK(most <= 2);
  }
}

TEST_CASE("sync: what has the name of a fifo in the source, which does not come, is not deleted") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const test::Scratch scratch;
    scratch.make_directory("from/d");
    for (const char* name : {"from/d/file", "from/d/directory", "from/d/fifo"})
      REQUIRE(::mkfifo(scratch.path(name).c_str(), 0644) == 0);
    scratch.write("to/d/file", "kept");
    scratch.write("to/d/directory/inside", "kept");
    REQUIRE(::mkfifo(scratch.path("to/d/fifo").c_str(), 0644) == 0);
    scratch.write("to/d/file.old", "extra");
    scratch.write("to/x/file", "extra");
    Setting setting;
    setting.options.delete_extra = true;

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(outcome.failure == "");
    CHECK(outcome.notes(Note::Kind::deleted) == std::vector<std::string>{"d/file.old", "x", "x/file"});
    CHECK(scratch.read("to/d/file") == "kept");
    CHECK(scratch.read("to/d/directory/inside") == "kept");
    CHECK(scratch.has("to/d/fifo"));
  }
}

TEST_CASE("sync: a file that has changed or gone since it was listed is compared as it is, beside the others") {
  for (const Way way : both_ways) {
    for (const bool dry_run : {false, true}) {
      CAPTURE(name_of_way(way));
      CAPTURE(dry_run);
      const test::Scratch scratch;
      for (int i = 0; i < 200; ++i)
        for (const char* side : {"from/f", "to/f"}) scratch.write(side + std::to_string(i), random_text(i));
      scratch.write("to/f199", std::string(199, 'r'));
      Setting setting;
      setting.options.checksum = true;
      setting.options.dry_run = dry_run;
      bool done = false;
      setting.from_disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall call, std::string_view name) {
        if (call != DiskCall::open || !name.starts_with("f") || std::exchange(done, true)) return 0;
        scratch.write("from/f150", random_text(150)); // the same, at another time
        scratch.set_mtime("from/f150", 1000);
        scratch.write("from/f160", std::string(160, 'n')); // other content
        scratch.set_mtime("from/f160", 1000);
        scratch.remove("from/f170");
        return 0;
      });

      const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

      CHECK(outcome.failure == "");
      CHECK(outcome.notes(Note::Kind::sent) == std::vector<std::string>{"f160", "f199"});
      CHECK(outcome.notes(Note::Kind::vanished) == std::vector<std::string>{"f170"});
      CHECK(outcome.report.files == 2);
      CHECK(outcome.report.errors == 0);
      CHECK(scratch.read("to/f160") == (dry_run ? random_text(160) : std::string(160, 'n')));
      CHECK(scratch.read("to/f170") == random_text(170));
    }
  }
}

TEST_CASE("sync: the holes of a file that is compared are not read") {
  for (const Way way : both_ways) {
    const test::Scratch scratch;
    for (const char* side : {"from", "to"}) {
      scratch.write(std::string(side) + "/sparse", "begin");
      const std::string path = scratch.path(std::string(side) + "/sparse");
      REQUIRE(::truncate(path.c_str(), 3'000'000) == 0);
    }
    scratch.set_mtime("from/sparse", 1000);
    Setting setting;
    setting.options.checksum = true;
    std::size_t reads = 0;
    setting.from_disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall call, std::string_view) {
      reads += call == DiskCall::read;
      return 0;
    });

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(outcome.failure == "");
    CHECK(outcome.report.files == 0);
    CHECK(reads == 1);
    CHECK(scratch.picture("to") == scratch.picture("from"));
  }
}

TEST_CASE("sync: a dry run says what would be done and touches nothing") {
  for (const Way way : both_ways) {
    for (const bool checksum : {false, true}) {
      CAPTURE(name_of_way(way));
      const test::Scratch scratch;
      fill(scratch);
      scratch.write("to/small", "HELLO");
      scratch.write("to/extra/x", "");
      scratch.write("to/.old.trunkline-abcdefgh", "stale");
      const auto before = scratch.picture("to");
      Setting setting;
      setting.options.dry_run = true;
      setting.options.delete_extra = true;
      setting.options.checksum = checksum;

      const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

      CHECK(outcome.failure == "");
      CHECK(scratch.picture("to") == before);
      CHECK(outcome.report.files == 6);
      CHECK(outcome.report.circuits == 1);
      CHECK(outcome.notes(Note::Kind::deleted) == std::vector<std::string>{"extra", "extra/x"});
      CHECK(outcome.report.directories == 4);
    }
  }
}

TEST_CASE("sync: nothing is deleted unless asked for, and what is excluded never") {
  for (const Way way : both_ways) {
    const test::Scratch scratch;
    scratch.write("from/a", "");
    scratch.write("from/b.o", "not sent");
    scratch.write("to/gone/deep/x", "");
    scratch.write("to/kept/y.o", "");
    scratch.write("to/z", "");
    Setting setting;
    setting.options.rules = excluding({"*.o"});

    sync_trees(way, scratch.path("from"), scratch.path("to"), setting);
    CHECK(scratch.has("to/z"));
    setting.options.delete_extra = true;
    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(outcome.failure == "");
    CHECK(outcome.report.deleted == 4);
    CHECK(outcome.report.errors == 0);
    CHECK_FALSE(scratch.has("to/gone"));
    CHECK_FALSE(scratch.has("to/z"));
    CHECK_FALSE(scratch.has("to/b.o"));
    CHECK(scratch.has("to/kept/y.o"));
    CHECK(scratch.has("to/a"));
  }
}

TEST_CASE("sync: nothing is deleted when something of the source could not be read") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const test::Scratch scratch;
    scratch.write("from/secret/x", "x");
    scratch.write("from/fine", "fine");
    scratch.write("to/secret/old", "old");
    scratch.write("to/extra", "extra");
    Setting setting;
    setting.options.delete_extra = true;
    setting.from_disk = std::make_shared<test::FaultyDisk>([](std::size_t, DiskCall call, std::string_view name) {
      return call == DiskCall::open && name == "secret" ? EACCES : 0;
    });

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(outcome.failure == "");
    CHECK(outcome.report.errors == 1);
    CHECK(outcome.report.deleted == 0);
    CHECK(outcome.notes(Note::Kind::error) == std::vector<std::string>{"secret"});
    CHECK(scratch.has("to/extra"));
    CHECK(scratch.has("to/secret/old"));
    CHECK(scratch.read("to/fine") == "fine");
  }
}

TEST_CASE("sync: a file that cannot be read is reported on both sides, and the rest goes on") {
  for (const Way way : both_ways) {
    for (const DiskCall failing : {DiskCall::open, DiskCall::read}) {
      CAPTURE(name_of_way(way));
      const test::Scratch scratch;
      for (int i = 0; i < 50; ++i) scratch.write("from/f" + std::to_string(i), random_text(i));
      scratch.write("from/f7", random_text(700'000));
      scratch.make_directory("to");
      Setting setting;
      std::size_t reads = 0;
      setting.from_disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall call, std::string_view name) {
        if (call != failing) return 0;
        if (call == DiskCall::open) return name == "f7" ? EACCES : 0;
        return ++reads == 20 ? EIO : 0;
      });

      const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

      CHECK(outcome.failure == "");
      CHECK(outcome.report.errors == 1);
      CHECK(outcome.report.files == 49);
      CHECK(outcome.notes(Note::Kind::error).size() == 1);
      CHECK(scratch.picture("to").size() == 49);
    }
  }
}

TEST_CASE("sync: a file that changes while it is read is read again") {
  for (const Way way : both_ways) {
    for (const int changes : {1, 2}) {
      CAPTURE(name_of_way(way));
      CAPTURE(changes);
      const test::Scratch scratch;
      scratch.write("from/log", random_text(600'000));
      scratch.write("from/quiet", "quiet");
      scratch.make_directory("to");
      Setting setting;
      int changed = 0;
      setting.from_disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall call, std::string_view) {
        if (call == DiskCall::read && changed < changes) scratch.set_mtime("from/log", 1000 + ++changed);
        return 0;
      });
      // Any read is met in the middle of the log: each of its readings is disturbed once at most.
      setting.tuning.files_sending_max = 1;
      setting.tuning.fragment_bytes = 1 << 20;

      const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

      CHECK(outcome.failure == "");
      CHECK(outcome.report.errors == 0);
      CHECK(outcome.report.warnings == 0);
      CHECK(scratch.picture("to") == scratch.picture("from"));
    }
  }
}

TEST_CASE("sync: a file that grows all the time arrives as it was at one moment and is named, and deletion goes on") {
  for (const Way way : both_ways) {
    for (const bool sparse : {false, true}) {
      CAPTURE(name_of_way(way));
      CAPTURE(sparse);
      const test::Scratch scratch;
      scratch.write("from/log", random_text(600'000));
      if (sparse) REQUIRE(::truncate(scratch.path("from/log").c_str(), 2'000'000) == 0);
      scratch.write("to/extra", "");
      Setting setting;
      setting.options.delete_extra = true;
      setting.tuning.fragment_bytes = 100'000;
      setting.from_disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall call, std::string_view) {
        if (call == DiskCall::read) std::ofstream(scratch.path("from/log"), std::ios::app) << "one line more\n";
        return 0;
      });

      const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

      CHECK(outcome.failure == "");
      CHECK(outcome.report.errors == 0);
      CHECK(outcome.report.warnings == 1);
      CHECK(outcome.report.files == 1);
      CHECK(outcome.notes(Note::Kind::warning) == std::vector<std::string>{"log"});
      CHECK_FALSE(scratch.has("to/extra"));
      const std::string arrived = scratch.read("to/log");
      CHECK(arrived.size() >= 600'000);
      CHECK(scratch.read("from/log").starts_with(arrived));
    }
  }
}

TEST_CASE("sync: a file that is overwritten all the time is named, what is there of it stays, and deletion goes on") {
  for (const Way way : both_ways) {
    for (const std::size_t size : {1000, 600'000}) {
      CAPTURE(name_of_way(way));
      CAPTURE(size);
      const test::Scratch scratch;
      scratch.write("from/base", random_text(size));
      scratch.write("to/base", "what was there");
      scratch.write("to/extra", "");
      Setting setting;
      setting.options.delete_extra = true;
      int writes = 0;
      setting.from_disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall call, std::string_view) {
        if (call != DiskCall::read) return 0;
        std::fstream(scratch.path("from/base"), std::ios::in | std::ios::out) << "write " << ++writes;
        scratch.set_mtime("from/base", 1000 + writes);
        return 0;
      });

      const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

      CHECK(outcome.failure == "");
      CHECK(outcome.report.errors == 1);
      CHECK(outcome.notes(Note::Kind::error) == std::vector<std::string>{"base"});
      CHECK(scratch.read("to/base") == "what was there");
      CHECK_FALSE(scratch.has("to/extra"));
    }
  }
}

TEST_CASE("sync: what vanishes between the listing and the reading is named, is no error, and deletion goes on") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const test::Scratch scratch;
    for (int i = 0; i < 5; ++i) scratch.write("from/f" + std::to_string(i), random_text(10));
    scratch.write("from/dir/inside", "inside");
    scratch.write("from/replaced", "a file");
    scratch.write("to/f3", "an older one");
    scratch.write("to/extra", "");
    Setting setting;
    setting.options.delete_extra = true;
    bool done = false;
    setting.from_disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall call, std::string_view name) {
      if (call != DiskCall::open || (!name.starts_with("f") && !name.ends_with("inside")) || std::exchange(done, true))
        return 0;
      for (const char* path : {"from/f0", "from/f1", "from/f2", "from/f3", "from/f4", "from/replaced"})
        scratch.remove(path);
      scratch.remove("from/dir/inside");
      scratch.remove("from/dir");
      scratch.make_directory("from/replaced");
      return 0;
    });

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(outcome.failure == "");
    CHECK(outcome.report.errors == 0);
    CHECK(outcome.report.vanished == 7);
    CHECK(outcome.notes(Note::Kind::vanished) ==
          std::vector<std::string>{"dir/inside", "f0", "f1", "f2", "f3", "f4", "replaced"});
    CHECK(scratch.read("to/f3") == "an older one");
    CHECK_FALSE(scratch.has("to/extra"));
  }
}

TEST_CASE("sync: a source that is deleted while it is listed empties no destination") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const test::Scratch scratch;
    scratch.write("from/f", "f");
    scratch.write("to/f", "f");
    Setting setting;
    setting.options.delete_extra = true;
    bool done = false;
    setting.from_disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall call, std::string_view) {
      if (call != DiskCall::list || std::exchange(done, true)) return 0;
      scratch.remove("from/f");
      scratch.remove("from");
      return 0;
    });

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(scratch.has("to/f"));
    CHECK((outcome.failure != "" || outcome.report.errors > 0));
  }
}

TEST_CASE("sync: a directory that cannot be made is one trouble, whatever is in it") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const test::Scratch scratch;
    for (int i = 0; i < 20; ++i) scratch.write("from/dir/sub/f" + std::to_string(i), "x");
    scratch.write("from/fine", "fine");
    scratch.make_directory("to");
    Setting setting;
    setting.to_disk = std::make_shared<test::FaultyDisk>([](std::size_t, DiskCall call, std::string_view name) {
      return call == DiskCall::make_directory && name == "dir" ? EACCES : 0;
    });

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(outcome.failure == "");
    CHECK(outcome.report.errors == 1);
    CHECK(outcome.notes(Note::Kind::error) == std::vector<std::string>{"dir"});
    CHECK(outcome.notes(Note::Kind::skipped) == std::vector<std::string>{"dir"});
    CHECK(scratch.read("to/fine") == "fine");
  }
}

TEST_CASE("sync: what could not be done is not counted as done") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const test::Scratch scratch;
    scratch.make_directory("from/dir", 0755);
    scratch.make_directory("to/dir", 0700);
    Setting setting;
    setting.to_disk = std::make_shared<test::FaultyDisk>([](std::size_t, DiskCall call, std::string_view name) {
      return call == DiskCall::set_mode && name == "dir" ? EPERM : 0;
    });

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(outcome.report.errors == 1);
    const std::vector<std::string> noted = outcome.notes(Note::Kind::attributes);
    CHECK(std::find(noted.begin(), noted.end(), "dir") == noted.end());
    CHECK(outcome.report.attributes == noted.size());
  }
}

TEST_CASE("sync: what does not come along is counted on both sides") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const test::Scratch scratch;
    scratch.write("from/f", "x", 04755);
    REQUIRE(::link(scratch.path("from/f").c_str(), scratch.path("from/hard").c_str()) == 0);
    REQUIRE(::mkfifo(scratch.path("from/pipe").c_str(), 0600) == 0);
    const bool has_xattrs = ::setxattr(scratch.path("from/f").c_str(), "user.k", "v", 1, 0) == 0;
    scratch.make_directory("to");

    const Ended first = sync_trees(way, scratch.path("from"), scratch.path("to"));
    const Ended second = sync_trees(way, scratch.path("from"), scratch.path("to"));

    NotKept expected;
    expected.hard_links = 2;
    expected.mode_bits = 2;
    expected.specials = 1;
    expected.xattrs = has_xattrs ? 2 : 0; // both names are one file
    CHECK(first.report.not_kept == expected);
    CHECK(second.report.not_kept == expected);
  }
}

TEST_CASE("sync: a tree is not synced with one that lies in it, on either route") {
  const test::Scratch scratch;
  scratch.write("outer/inner/f", "f");
  scratch.write("outer/g", "g");
  const auto before = scratch.picture();
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const Ended into = sync_trees(way, scratch.path("outer"), scratch.path("outer/inner"));
    CHECK(into.failure.starts_with("the destination lies in the source"));
    const Ended out = sync_trees(way, scratch.path("outer/inner"), scratch.path("outer"));
    CHECK(out.failure.starts_with("the source lies in the destination"));
    const Ended same = sync_trees(way, scratch.path("outer"), scratch.path("outer"));
    CHECK(same.failure == "");
  }
  Setting setting;
  setting.path = "new";
  const Ended made = sync_trees(Way::push, scratch.path("outer"), scratch.path("outer/inner"), setting);
  CHECK(made.failure.starts_with("the destination lies in the source"));
  CHECK(scratch.picture() == before);
}

TEST_CASE("sync: files, directories and symlinks take each other's places") {
  const std::string kinds =
      "fdlsp"; // file, directory, full directory, symlink, and a pipe, which a source does not have
  const auto make = [](const test::Scratch& scratch, const std::string& path, char kind) {
    switch (kind) {
      case 'f': scratch.write(path, "file"); break;
      case 'd': scratch.make_directory(path); break;
      case 'l': scratch.write(path + "/in/side", "deep"); break;
      case 'p': ::mkfifo(scratch.path(path).c_str(), 0600); break;
      default: scratch.make_symlink(path, "target");
    }
  };
  for (const Way way : both_ways) {
    for (const bool delete_extra : {true, false}) {
      CAPTURE(name_of_way(way));
      CAPTURE(delete_extra);
      const test::Scratch scratch;
      scratch.make_directory("from");
      for (const char from : kinds) {
        if (from == 'p') continue;
        for (const char to : kinds) {
          const std::string name = std::string("/") + from + to;
          make(scratch, "from" + name, from);
          make(scratch, "to" + name, to);
        }
      }
      make(scratch, "to/extra", 'p');
      Setting setting;
      setting.options.delete_extra = delete_extra;

      const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

      CHECK(outcome.failure == "");
      if (delete_extra) {
        CHECK(outcome.report.errors == 0);
        CHECK(scratch.picture("to") == scratch.picture("from"));
      } else {
        CHECK(outcome.notes(Note::Kind::error) == std::vector<std::string>{"fl", "sl"});
        CHECK(scratch.read("to/fl/in/side") == "deep");
        CHECK(scratch.read("to/sl/in/side") == "deep");
        CHECK(scratch.read("to/lf/in/side") == "deep");
        CHECK(scratch.has("to/extra"));
        CHECK(scratch.read("to/fp") == "file");
        CHECK(S_ISDIR(scratch.status("to/dp").st_mode));
      }
    }
  }
}

TEST_CASE("sync: a full or read only disk ends the sync with one line, and what arrived is whole") {
  for (const Way way : both_ways) {
    for (const auto& [failing, number, words] : std::vector<std::tuple<DiskCall, int, std::string>>{
             {DiskCall::write, ENOSPC, "No space left on device; nothing more is sent"},
             {DiskCall::create, EROFS, "Read-only file system; nothing more is sent"},
             {DiskCall::make_directory, ENOSPC, "No space left on device; nothing more is sent"}}) {
      CAPTURE(name_of_way(way));
      CAPTURE(words);
      const test::Scratch scratch;
      for (int i = 0; i < 30; ++i) scratch.write("from/f" + std::to_string(i), random_text(i * 10'000));
      for (int i = 0; i < 30; ++i) scratch.make_directory("from/z" + std::to_string(i));
      scratch.make_directory("to");
      Setting setting;
      std::size_t calls = 0;
      setting.to_disk = std::make_shared<test::FaultyDisk>(
          [&, failing_call = failing, failure = number](std::size_t, DiskCall call, std::string_view) {
            return call == failing_call && ++calls > 5 ? failure : 0;
          });

      const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

      CHECK_MESSAGE(outcome.failure.find(words) != std::string::npos, outcome.failure);
      CHECK(outcome.notes(Note::Kind::error).empty());
      CHECK(scratch.picture("to").size() < 60);
      for (const auto& [path, line] : scratch.picture("to")) {
        CHECK_FALSE(is_temporary_name(path));
        if (path.starts_with("f")) CHECK(scratch.read("to/" + path) == scratch.read("from/" + path));
      }
    }
  }
}

TEST_CASE("sync: what only has a temporary file's name is neither sent nor deleted, and said") {
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const test::Scratch scratch;
    scratch.write("from/a", "a");
    scratch.write("from/.x.trunkline-abcdefgh", "source");
    scratch.write("to/.y.trunkline-abcdefgh", "destination");
    scratch.write("to/d/.z.trunkline-abcdefgh", "deep");
    scratch.write("to/.dead.trunkline-abcdefgh", "left");
    REQUIRE(::chmod(scratch.path("to/.dead.trunkline-abcdefgh").c_str(), 01600) == 0);
    Setting setting;
    setting.options.delete_extra = true;

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(outcome.failure == "");
    CHECK(outcome.report.errors == 0);
    CHECK(scratch.read("to/.y.trunkline-abcdefgh") == "destination");
    CHECK(scratch.read("to/d/.z.trunkline-abcdefgh") == "deep");
    CHECK_FALSE(scratch.has("to/.x.trunkline-abcdefgh"));
    CHECK_FALSE(scratch.has("to/.dead.trunkline-abcdefgh"));
    CHECK(outcome.notes(Note::Kind::deleted) == std::vector<std::string>{".dead.trunkline-abcdefgh"});
    CHECK(outcome.notes(Note::Kind::skipped) ==
          std::vector<std::string>{".x.trunkline-abcdefgh", ".y.trunkline-abcdefgh", "d", "d/.z.trunkline-abcdefgh"});
  }
}

TEST_CASE("sync: a dry run that deletes leaves a directory with something excluded in it, as the real one does") {
  for (const Way way : both_ways) {
    const test::Scratch scratch;
    scratch.make_directory("from");
    scratch.write("to/kept/deep/y.o", "");
    scratch.write("to/kept/deep/x", "");
    scratch.write("to/gone/x", "");
    Setting setting;
    setting.options.rules = excluding({"*.o"});
    setting.options.delete_extra = true;
    setting.options.dry_run = true;

    const Ended predicted = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);
    setting.options.dry_run = false;
    const Ended real = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(real.notes(Note::Kind::deleted) == std::vector<std::string>{"gone", "gone/x", "kept/deep/x"});
    CHECK(predicted.notes(Note::Kind::deleted) == real.notes(Note::Kind::deleted));
    CHECK(real.notes(Note::Kind::skipped) == std::vector<std::string>{"kept", "kept/deep"});
    CHECK(predicted.notes(Note::Kind::skipped) == real.notes(Note::Kind::skipped));
  }
}

TEST_CASE("sync: a directory that another sync makes first will do, also in place of what was in its way") {
  for (const Way way : both_ways) {
    const test::Scratch scratch;
    scratch.write("from/d/file", "content");
    scratch.write("from/e/file", "content");
    scratch.write("from/g/file", "content");
    scratch.write("to/e", "in the way");
    scratch.write("to/g", "in the way");
    Setting setting;
    setting.to_disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall call, std::string_view name) {
      if (call == DiskCall::make_directory && name == "d") scratch.make_directory("to/d", 0500);
      if (call == DiskCall::remove && name == "e") scratch.remove("to/e");
      if (call == DiskCall::remove && name == "g") {
        scratch.remove("to/g");
        scratch.make_directory("to/g");
      }
      return 0;
    });

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(outcome.failure == "");
    CHECK(outcome.report.errors == 0);
    CHECK(scratch.picture("to") == scratch.picture("from"));
  }
}

TEST_CASE("sync: whatever operation of the destination fails, no file is torn and no temporary file stays") {
  for (const Way way : both_ways) {
    std::size_t troubled = 0;
    std::size_t nth = 0;
    for (bool failed = true; failed;) {
      ++nth;
      const test::Scratch scratch;
      scratch.write("from/d/new", random_text(3000));
      scratch.write("from/changed", "new content");
      scratch.make_symlink("from/link", "new");
      scratch.write("to/changed", "old content!");
      scratch.write("to/extra", "");
      failed = false;
      Setting setting;
      setting.options.delete_extra = true;
      setting.to_disk = std::make_shared<test::FaultyDisk>([&](std::size_t call, DiskCall kind, std::string_view) {
        if (call != nth) return 0;
        failed = true;
        return kind == DiskCall::lock ? 0 : EIO;
      });

      const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

      CAPTURE(nth);
      troubled += outcome.report.errors > 0 || !outcome.failure.empty();
      const std::string content = scratch.read("to/changed");
      CHECK((content == "old content!" || content == "new content"));
      if (scratch.has("to/d/new")) CHECK(scratch.read("to/d/new") == scratch.read("from/d/new"));
      for (const auto& [path, line] : scratch.picture("to")) CHECK_FALSE(is_temporary_name(path));
      if (outcome.failure.empty() && outcome.report.errors == 0)
        CHECK(scratch.picture("to") == scratch.picture("from"));
    }
    CHECK(troubled > 15);
  }
}

TEST_CASE("sync: whenever the destination dies, files are old or new, and the next sync completes and tidies up") {
  for (std::size_t nth = 1;; ++nth) {
    const test::Scratch scratch;
    scratch.write("from/d/new", random_text(3000));
    scratch.write("from/changed", "new content");
    scratch.make_symlink("from/link", "new");
    scratch.write("to/changed", "old content!");
    scratch.write("to/extra", "");
    bool died = false;
    Setting setting;
    setting.options.delete_extra = true;
    setting.to_disk = std::make_shared<test::FaultyDisk>([&](std::size_t call, DiskCall, std::string_view) {
      died = died || call > nth;
      return died ? EIO : 0; // nothing happens any more, not even tidying up
    });

    sync_trees(Way::push, scratch.path("from"), scratch.path("to"), setting);

    CAPTURE(nth);
    const std::string content = scratch.read("to/changed");
    CHECK((content == "old content!" || content == "new content"));
    if (scratch.has("to/d/new")) CHECK(scratch.read("to/d/new") == scratch.read("from/d/new"));
    setting.to_disk = std::make_shared<Disk>();
    const Ended outcome = sync_trees(Way::push, scratch.path("from"), scratch.path("to"), setting);
    CHECK(outcome.failure == "");
    CHECK(scratch.picture("to") == scratch.picture("from"));
    if (!died) break;
  }
}

TEST_CASE("sync: setuid, setgid and sticky stay at home") {
  const test::Scratch scratch;
  scratch.write("from/tool", "x", 06755);
  scratch.make_directory("from/tmp", 01777);
  scratch.make_directory("to");

  const Ended first = sync_trees(Way::push, scratch.path("from"), scratch.path("to"));
  const Ended second = sync_trees(Way::push, scratch.path("from"), scratch.path("to"));

  CHECK((scratch.status("to/tool").st_mode & 07777) == 0755);
  CHECK((scratch.status("to/tmp").st_mode & 07777) == 0777);
  CHECK(first.failure == "");
  CHECK(second.report.unchanged == 3);
}

TEST_CASE("sync: one file goes into a directory, and nothing there is deleted") {
  for (const Way way : both_ways) {
    const test::Scratch scratch;
    scratch.write("from/file", "content");
    scratch.write("from/other", "");
    scratch.write("to/kept", "");
    Setting setting;
    setting.options.delete_extra = true;
    std::string from = scratch.path("from/file");
    if (way == Way::pull) {
      from = scratch.path("from");
      setting.path = "file";
    }

    const Ended outcome = sync_trees(way, from, scratch.path("to"), setting);

    CHECK(outcome.failure == "");
    CHECK(outcome.report.files == 1);
    CHECK(scratch.read("to/file") == "content");
    CHECK(scratch.has("to/kept"));
    CHECK_FALSE(scratch.has("to/other"));
  }
}

TEST_CASE("sync: a path below the root is made when its last component is missing, and refused when it leads out") {
  const test::Scratch scratch;
  scratch.write("from/a", "a");
  scratch.make_directory("to");
  Setting setting;

  setting.path = "new";
  CHECK(sync_trees(Way::push, scratch.path("from"), scratch.path("to"), setting).failure == "");
  CHECK(scratch.read("to/new/a") == "a");
  for (const auto& [path, words] : std::map<std::string, std::string>{{"no/such", "No such file"},
                                                                      {"../from", "component \"..\""},
                                                                      {"/etc", "is absolute"},
                                                                      {"new/a", "Not a directory"}}) {
    CAPTURE(path);
    setting.path = path;
    const Ended outcome = sync_trees(Way::push, scratch.path("from"), scratch.path("to"), setting);
    CHECK_MESSAGE(outcome.failure.find(words) != std::string::npos, outcome.failure);
  }
  setting.path = "..";
  const Ended outcome = sync_trees(Way::pull, scratch.path("to"), scratch.path("from"), setting);
  CHECK_MESSAGE(outcome.failure.find("component \"..\"") != std::string::npos, outcome.failure);
}

TEST_CASE("sync: a read only side gives and does not take") {
  const test::Scratch scratch;
  scratch.write("from/a", "a");
  scratch.make_directory("to");
  Setting setting;
  setting.read_only = true;

  CHECK(sync_trees(Way::push, scratch.path("from"), scratch.path("to"), setting).failure ==
        "this node is read only (says the far side)");
  CHECK(scratch.picture("to").empty());
  CHECK(sync_trees(Way::pull, scratch.path("from"), scratch.path("to"), setting).failure == "");
  CHECK(scratch.read("to/a") == "a");
}

TEST_CASE("sync: a hole stays a hole beyond four gigabytes") {
  for (const Way way : both_ways) {
    const test::Scratch scratch;
    scratch.make_directory("from");
    scratch.make_directory("to");
    const int fd = ::open(scratch.path("from/sparse").c_str(), O_WRONLY | O_CREAT, 0600);
    REQUIRE(::pwrite(fd, "begin", 5, 0) == 5);
    REQUIRE(::pwrite(fd, "middle", 6, 4'500'000'000) == 6);
    REQUIRE(::ftruncate(fd, 6'000'000'000) == 0);
    ::close(fd);

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"));

    CHECK(outcome.failure == "");
    CHECK(outcome.report.bytes == 6'000'000'000);
    const auto status = scratch.status("to/sparse");
    CHECK(status.st_size == 6'000'000'000);
    CHECK(status.st_blocks * 512 < 10'000'000);
    const int copy = ::open(scratch.path("to/sparse").c_str(), O_RDONLY);
    char text[6];
    REQUIRE(::pread(copy, text, 6, 4'500'000'000) == 6);
    ::close(copy);
    CHECK(std::string(text, 6) == "middle");
  }
}

TEST_CASE("sync: a symlink planted in the destination while files arrive leads nowhere") {
  const test::Scratch scratch;
  scratch.write("outside/victim", "precious");
  scratch.write("from/dir/victim", "overwritten");
  scratch.write("from/dir/zz", "z");
  scratch.make_directory("to/dir");
  Setting setting;
  bool planted = false;
  setting.to_disk = std::make_shared<test::FaultyDisk>([&](std::size_t, DiskCall call, std::string_view) {
    if (call == DiskCall::create && !planted) { // after the directory was looked at, before anything is written in it
      planted = true;
      std::filesystem::rename(scratch.path("to/dir"), scratch.path("to/moved"));
      scratch.make_symlink("to/dir", scratch.path("outside"));
    }
    return 0;
  });

  const Ended outcome = sync_trees(Way::push, scratch.path("from"), scratch.path("to"), setting);

  CHECK(planted);
  CHECK(scratch.read("outside/victim") == "precious");
  CHECK_FALSE(scratch.has("outside/zz"));
  CHECK(outcome.failure == "");
}

// Digests that threads make: they come out as those that are made here, and end with whoever wants them.
#include "services/sync/digest_threads.hpp"

#include "async/task_group.hpp"
#include "services/sync/file_digest.hpp"
#include "tests/services/sync/scratch.hpp"
#include "tests/services/sync/two_nodes.hpp"
#include "tests/support/coroutine.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::sync;
using test::both_ways;
using test::Ended;
using test::name_of_way;
using test::run_coroutine;
using test::Setting;
using test::sync_trees;
using test::Way;

namespace {

constexpr std::uint64_t seed = 7;

std::shared_ptr<Budgets> budgets_with(std::shared_ptr<DigestThreads> threads) {
  auto budgets = std::make_shared<Budgets>(1 << 20);
  budgets->digest_threads = std::move(threads);
  return budgets;
}

/// Files that take no step, one, and several; with a hole in front, in the middle and behind.
std::vector<std::string> fill(const test::Scratch& scratch) {
  scratch.write("empty", "");
  scratch.write("small", "small");
  scratch.write("large", test::random_text(9'000'001));
  scratch.write("sparse", "begin");
  REQUIRE(::truncate(scratch.path("sparse").c_str(), 6'000'000) == 0);
  scratch.write("hole", "");
  REQUIRE(::truncate(scratch.path("hole").c_str(), 5'000'000) == 0);
  return {"empty", "small", "large", "sparse", "hole"};
}

awaitable<std::vector<std::string>> digests(std::shared_ptr<Budgets> budgets, const test::Scratch& scratch,
                                            std::vector<std::string> names, std::uint64_t bytes_max) {
  const std::shared_ptr<Root> root = Root::open(scratch.path());
  const auto progress = std::make_shared<Progress>();
  std::vector<std::string> all;
  for (const std::string& name : names) {
    const FileDigest made = co_await digest_file(budgets, root->directory(""), name, progress, seed, bytes_max);
    CHECK(made.unchanged);
    all.emplace_back(made.digest.bytes());
  }
  CHECK(progress->worked >= names.size());
  co_return all;
}

/// Whether something was cancelled that does not end at once.
awaitable<bool> is_given_up(awaitable<std::vector<std::string>> wanted) {
  using namespace asio::experimental::awaitable_operators;
  const auto first = co_await (std::move(wanted) || let_others_run());
  co_return first.index() == 1;
}

} // namespace

TEST_CASE("digest threads: a file has the digest that is made of it without them") {
  const test::Scratch scratch;
  const std::vector<std::string> names = fill(scratch);

  for (const std::uint64_t bytes_max : {std::uint64_t{4'999'999}, std::uint64_t{1} << 40}) {
    const auto here = run_coroutine(digests(budgets_with(nullptr), scratch, names, bytes_max));
    const auto there =
        run_coroutine(digests(budgets_with(std::make_shared<DigestThreads>(3)), scratch, names, bytes_max));

    CHECK(here == there);
  }
}

TEST_CASE("digest threads: a file that is not there is an error of whoever wants its digest") {
  const test::Scratch scratch;

  CHECK_THROWS_AS(run_coroutine(digests(budgets_with(std::make_shared<DigestThreads>(2)), scratch, {"none"}, 1)),
                  FileError);
}

TEST_CASE("small digests: a handful has the digests that are made one by one, and says what each one failed at") {
  const test::Scratch scratch;
  scratch.write("d/empty", "");
  scratch.write("d/one", "one");
  scratch.write("e/two", test::random_text(100'000));
  scratch.write("e/written", "written");
  scratch.write("e/gone", "gone");
  scratch.write("e/shorter", "shorter");
  scratch.write("e/longer", "long");
  scratch.write("e/pipe", "pipe");
  const std::shared_ptr<Root> root = Root::open(scratch.path());
  for (const auto& budgets : {budgets_with(nullptr), budgets_with(std::make_shared<DigestThreads>(2))}) {
    const auto small = std::make_shared<SmallFilesDigesting>(seed);
    for (const std::string path : {"d/empty", "d/one", "e/two", "e/written", "e/gone", "e/shorter", "e/longer", "e/pipe"}) {
      const std::shared_ptr<Directory> at = root->directory(path.substr(0, 1));
      const std::optional<Status> status = at->status(path.substr(2));
      REQUIRE(status);
      REQUIRE(small->has_room_for(*at, status->size));
      small->add(at, path.substr(2), status->size);
    }
    scratch.write("e/written", "WRITTEN");
    scratch.write("e/longer", "longer");
    scratch.remove("e/gone");
    scratch.write("e/shorter", "");
    scratch.remove("e/pipe");
    REQUIRE(::mkfifo(scratch.path("e/pipe").c_str(), 0600) == 0);

    run_coroutine(make_digests(budgets, small, std::make_shared<Progress>()));

    const std::vector<DigestedFile>& files = small->files();
    REQUIRE(files.size() == 8);
    for (int i = 0; i < 4; ++i) {
      CHECK(files[i].made.unchanged);
      const FileDigest alone = run_coroutine(
          digest_file(budgets, files[i].directory, files[i].name, std::make_shared<Progress>(), seed));
      CHECK(files[i].made.digest == alone.digest);
    }
    REQUIRE(files[4].failure);
    CHECK(files[4].failure->is_gone());
    CHECK(!files[5].made.unchanged);
    CHECK(!files[6].made.unchanged);
    CHECK(!files[6].failure);
    CHECK(!files[7].made.unchanged);
    CHECK(files[7].failure);
    scratch.write("e/gone", "gone");
    scratch.write("e/written", "written");
    scratch.write("e/shorter", "shorter");
    scratch.write("e/longer", "long");
    scratch.remove("e/pipe");
    scratch.write("e/pipe", "pipe");
  }
}

TEST_CASE("small digests: a handful is bounded in files, bytes and open directories") {
  const test::Scratch scratch;
  const std::shared_ptr<Root> root = Root::open(scratch.path());
  const auto at = [&](int number) {
    scratch.make_directory("d" + std::to_string(number));
    return root->directory("d" + std::to_string(number));
  };
  SmallFilesDigesting files(seed);
  SmallFilesDigesting bytes(seed);
  SmallFilesDigesting directories(seed);

  while (files.has_room_for(*at(0), 1)) files.add(at(0), "f", 1);
  while (bytes.has_room_for(*at(0), 100'000)) bytes.add(at(0), "f", 100'000);
  for (int i = 0; directories.has_room_for(*at(i), 1); ++i) directories.add(at(i), "f", 1);

  CHECK(files.files().size() == SmallFilesDigesting::files_max);
  CHECK(bytes.files().size() == 41);
  CHECK(directories.files().size() == SmallFilesDigesting::directories_max);
  CHECK(directories.has_room_for(*at(SmallFilesDigesting::directories_max - 1), 1));
}

TEST_CASE("digest threads: trees that are compared by content become equal, and of equal files little is said") {
  constexpr int files_count = 2000;
  for (const Way way : both_ways) {
    CAPTURE(name_of_way(way));
    const test::Scratch scratch;
    for (int i = 0; i < files_count; ++i)
      for (const char* side : {"from", "to"}) {
        const std::string path = side + std::string("/d") + std::to_string(i % 10) + "/f" + std::to_string(i);
        scratch.write(path, "content of " + std::to_string(i) + (i % 100 == 0 ? side[0] : 'b'));
        scratch.set_mtime(path, 1000);
      }
    Setting setting;
    setting.options.checksum = true;
    setting.digest_threads = std::make_shared<DigestThreads>(3);

    const Ended outcome = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);
    const Ended again = sync_trees(way, scratch.path("from"), scratch.path("to"), setting);

    CHECK(outcome.failure == "");
    CHECK(outcome.report.files > 0);
    CHECK(outcome.report.files <= files_count / 100);
    CHECK(scratch.picture("to") == scratch.picture("from"));
    CHECK(again.failure == "");
    CHECK(again.report.files == 0);
    CHECK(again.report.unchanged == files_count + 11); // and the directories
    CHECK(again.wire_bytes < files_count * 28); // of which the digest is 16
  }
}

TEST_CASE("digest threads: a digest that nobody waits for any more ends, and leads to nothing") {
  const test::Scratch scratch;
  const std::vector<std::string> names = fill(scratch);
  const auto budgets = budgets_with(std::make_shared<DigestThreads>(2));

  for (int round = 0; round < 20; ++round) {
    const std::vector<std::string> large = {"large"};
    CHECK(run_coroutine(is_given_up(digests(budgets, scratch, large, 1 << 30))));
  }

  const auto after = run_coroutine(digests(budgets, scratch, names, 1 << 30));
  CHECK(after == run_coroutine(digests(budgets_with(nullptr), scratch, names, 1 << 30)));
}

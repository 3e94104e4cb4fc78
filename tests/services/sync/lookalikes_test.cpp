#include "services/sync/lookalikes.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace trunkline::sync;

namespace {

Entry file(std::string path, std::uint64_t size, std::int64_t mtime = 100) {
  Entry entry;
  entry.path = std::move(path);
  entry.size = size;
  entry.mtime = {mtime, 0};
  return entry;
}

} // namespace

TEST_CASE("lookalikes: a file is found by size and time, and the one of the same name first") {
  Lookalikes here;
  here.add(file("old/a", 10));
  here.add(file("old/b", 10));
  here.add(file("old/c", 11));

  REQUIRE(here.find(file("new/b", 10)));
  CHECK(*here.find(file("new/b", 10)) == "old/b");
  CHECK(here.find(file("new/x", 10)));
  CHECK_FALSE(here.find(file("new/b", 12)));
  CHECK_FALSE(here.find(file("new/b", 10, 101)));
}

TEST_CASE("lookalikes: there are no more than count_max, and the largest stay") {
  Lookalikes here;
  const std::size_t count = 3 * Lookalikes::count_max;
  for (std::size_t i = 0; i < count; ++i) here.add(file(std::to_string(i), i));

  CHECK(here.size() <= Lookalikes::count_max);
  CHECK(here.find(file("x", count - 1)));
  CHECK_FALSE(here.find(file("x", 1)));
}

TEST_CASE("lookalikes: of files that all have one size no more than count_max are held") {
  Lookalikes here;
  for (std::size_t i = 0; i < 8 * Lookalikes::count_max; ++i)
    here.add(file(std::to_string(i), 5, static_cast<std::int64_t>(i)));
  here.add(file("large", 6));

  CHECK(here.size() <= Lookalikes::count_max);
  CHECK(here.size() >= Lookalikes::count_max / 2);
  CHECK(here.find(file("x", 6)));
}

#include "services/sync/selection.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

using namespace trunkline::sync;

TEST_CASE("selection: holds what is named and what leads there, and tells the two") {
  Selection selection({"a/b/c", "./a//b", "d"});

  for (const char* path : {"a", "a/b", "a/b/c", "d"}) CHECK(selection.holds(path));
  for (const char* path : {"a/c", "a/b/c/d", "b"}) CHECK_FALSE(selection.holds(path));
  for (const char* path : {"a", "a/b"}) CHECK(selection.leads(path));
  for (const char* path : {"a/b/c", "d", "b"}) CHECK_FALSE(selection.leads(path));
}

TEST_CASE("selection: what is named and was not found is missing, also where it leads to something") {
  Selection selection({"a/b", "a", "c"});

  selection.found("a/b");

  CHECK(selection.missing() == std::vector<std::string>{"a", "c"});
}

TEST_CASE("selection: what is dropped leads nowhere, and what leads elsewhere stays") {
  Selection selection({"a/b/c", "a/d", "e/f/g", "e/f"});

  selection.drop("a/b/c");
  selection.drop("e/f");

  for (const char* path : {"a/b", "a/b/c"}) CHECK_FALSE(selection.holds(path));
  for (const char* path : {"a", "a/d", "e", "e/f", "e/f/g"}) CHECK(selection.holds(path));
  CHECK(selection.leads("e/f"));
  selection.drop("e/f/g");
  CHECK_FALSE(selection.holds("e"));
}

TEST_CASE("selection: a path that leads out of the tree is refused") {
  CHECK_THROWS_AS(Selection({"../a"}), std::invalid_argument);
}

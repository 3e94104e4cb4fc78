#include "cli/table.hpp"

#include <doctest/doctest.h>

using namespace trunkline::cli;

namespace {

Table people() {
  Table table({"name", "age", "here"});
  table.rows.push_back({"a \"b\"", 7u, true});
  table.rows.push_back({"c", 11u, false});
  return table;
}

} // namespace

TEST_CASE("table: several rows stand in columns, a single one in lines") {
  CHECK(text_of(people()) ==
        "name   age  here\n"
        "a \"b\"  7    true\n"
        "c      11   false\n");
  Table one = people();
  one.rows.pop_back();
  CHECK(text_of(one) == "name  a \"b\"\nage   7\nhere  true\n");
}

TEST_CASE("table: without rows a person is told why, and a script nothing") {
  Table none({"name"});
  CHECK(text_of(none).empty());
  none.note = "nobody is here";
  CHECK(text_of(none) == "nobody is here\n");
  CHECK(json_of(none).empty());
}

TEST_CASE("table: in JSON each row is an object, numbers and truths without quotes") {
  CHECK(json_of(people()) ==
        "{\"name\": \"a \\\"b\\\"\", \"age\": 7, \"here\": true}\n"
        "{\"name\": \"c\", \"age\": 11, \"here\": false}\n");
}

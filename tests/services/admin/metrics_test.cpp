#include "services/admin/metrics.hpp"

#include "peer/channel/network.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace trunkline::admin {
namespace {

/// The first column of each row of a table whose cell is code: "| `name` | ...".
std::set<std::string, std::less<>> names_in(const char* path) {
  std::ifstream file(path);
  std::set<std::string, std::less<>> names;
  for (std::string line; std::getline(file, line);)
    for (const char* const prefix : {"| `trunkline_", "| `process_"})
      if (line.starts_with(prefix)) names.insert(line.substr(3, line.find('`', 3) - 3));
  return names;
}

} // namespace

TEST_CASE("metrics: the page of operating lists exactly those that there are, with label and kind") {
  std::ifstream file(OPERATING_PAGE);
  std::stringstream page;
  page << file.rdbuf();
  std::set<std::string, std::less<>> families;
  for (const MetricFamily& family : metric_families()) {
    CHECK_MESSAGE(families.insert(std::string(family.name)).second, family.name);
    std::string row = "| `" + std::string(family.name) + "` | " + (family.is_counter ? "counter" : "gauge") + " | ";
    if (!family.label.empty()) row += "`" + std::string(family.label) + "`: ";
    CHECK_MESSAGE(page.str().find("\n" + row) != std::string::npos, "the page lacks: " << row);
  }
  for (const std::string& name : names_in(OPERATING_PAGE)) CHECK_MESSAGE(families.contains(name), name);
}

TEST_CASE("metrics: names follow the conventions, and help texts need no escaping") {
  for (const MetricFamily& family : metric_families()) {
    INFO(family.name);
    CHECK(family.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos);
    CHECK(family.is_counter == family.name.ends_with("_total"));
    CHECK(family.help.find_first_of("\\\n") == std::string_view::npos);
    CHECK(family.help.ends_with('.'));
  }
}

TEST_CASE("metrics: a page groups samples by family, with HELP and TYPE before them, and escapes labels") {
  MetricPage page;
  page.add("trunkline_links", 3, "open");
  page.add("trunkline_dials_total", 7);
  page.add("trunkline_links", 0.5, "a\"b\\c\nd");
  CHECK(page.take() ==
        "# HELP trunkline_links Open links.\n"
        "# TYPE trunkline_links gauge\n"
        "trunkline_links{state=\"open\"} 3\n"
        "trunkline_links{state=\"a\\\"b\\\\c\\nd\"} 0.5\n"
        "# HELP trunkline_dials_total Attempts to connect.\n"
        "# TYPE trunkline_dials_total counter\n"
        "trunkline_dials_total 7\n");
  CHECK(page.take().empty());
}

TEST_CASE("metrics: a name that there is not, or a label that is missing, is the program's mistake") {
  MetricPage page;
  CHECK_THROWS_AS(page.add("trunkline_nothing", 1), std::logic_error);
  CHECK_THROWS_AS(page.add("trunkline_links", 1), std::logic_error);
  CHECK_THROWS_AS(page.add("trunkline_dials_total", 1, "x"), std::logic_error);
}

TEST_CASE("metrics: a process and a network have theirs") {
  MetricPage page;
  add_process(page);
  NetworkMetrics network;
  network.channels["a"].messages_sent = 2;
  network.channels["b"].messages_sent = 3;
  add_network(page, network);
  const std::string text = page.take();
  CHECK(text.find("\ntrunkline_network_messages_sent_total 5\n") != std::string::npos);
  for (const char* const name : {"process_resident_memory_bytes ", "process_open_fds ", "process_start_time_seconds 1"})
    CHECK_MESSAGE(text.find("\n" + std::string(name)) != std::string::npos, text);
}

} // namespace trunkline::admin

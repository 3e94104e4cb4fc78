// The list of enumerators is read from the header itself, so that a new one without its phrase fails here.
#include "fragment/error.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace {

using namespace trunkline;

/// Name and value of every enumerator of `enum class error`, as the source says it.
std::map<std::string, int> enumerators() {
  std::ifstream file(TRUNKLINE_SOURCE_ROOT "/fragment/error.hpp");
  std::stringstream stream;
  stream << file.rdbuf();
  std::string text = stream.str();
  const auto begin = text.find("enum class error");
  const auto end = text.find("};", begin);
  REQUIRE(begin != std::string::npos);
  text = text.substr(begin, end - begin);

  std::map<std::string, int> found;
  const std::regex line(R"(\n\s*(\w+) = (\d+),)");
  for (std::sregex_iterator at(text.begin(), text.end(), line), last; at != last; ++at)
    found[(*at)[1]] = std::stoi((*at)[2]);
  return found;
}

TEST_CASE("error: every enumerator's phrase is the enumerator with spaces") {
  const auto all = enumerators();
  REQUIRE(all.size() > 30);

  for (const auto& [name, value] : all) {
    std::string phrase = name;
    std::ranges::replace(phrase, '_', ' ');
    CHECK(to_string(static_cast<error>(value)) == phrase);
    CHECK(make_error_code(static_cast<error>(value)).message() == phrase);
  }
}

TEST_CASE("error: no two enumerators share a value and each fits the wire's reason") {
  std::set<int> values;
  for (const auto& [name, value] : enumerators()) {
    CAPTURE(name);
    CHECK(values.insert(value).second);
    CHECK(value <= 0xFFFF);
  }
}

TEST_CASE("error: a reason from a newer far side has a phrase too") {
  CHECK(to_string(static_cast<error>(9999)) == "unknown reason");
  CHECK(make_error_code(static_cast<error>(9999)).message() == "unknown reason");
}

TEST_CASE("error: a code converts by itself, belongs to trunkline, and none is not a failure") {
  const boost::system::error_code code = error::stalled;

  CHECK(code.category() == trunkline_category());
  CHECK(std::string(code.category().name()) == "trunkline");
  CHECK(code == error::stalled);
  CHECK_FALSE(make_error_code(error::none));
}

TEST_CASE("error: what is thrown at the public edge holds the code and the context") {
  boost::system::error_code seen;
  std::string what;

  try {
    throw_error(error::bad_url, "url \"x\" has no scheme");
  } catch (const boost::system::system_error& failure) {
    seen = failure.code();
    what = failure.what();
  }

  CHECK(seen == error::bad_url);
  CHECK(what.find("url \"x\" has no scheme") != std::string::npos);
  CHECK(what.find("bad url") != std::string::npos);
}

TEST_CASE("error: an end prints its phrase and its details") {
  CHECK(End().clean());
  CHECK(End().to_string() == "clean");
  CHECK_FALSE(End(error::stalled).clean());
  CHECK(End(error::stalled).to_string() == "stalled");
  CHECK(End(error::no_service, "no service \"stoer\"").to_string() == "no service: no service \"stoer\"");
}

}  // namespace

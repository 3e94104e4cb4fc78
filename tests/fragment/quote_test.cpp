#include "fragment/quote.hpp"

#include "fragment/error.hpp"

#include <boost/system/errc.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <exception>
#include <stdexcept>
#include <string>

namespace trunkline::test {

TEST_CASE("quote: what is not printable ASCII is shown as its byte") {
  CHECK(escape("plain text") == "plain text");
  CHECK(escape("line\nbreak \x7f \xff") == "line\\x0abreak \\x7f \\xff");
  CHECK(escape(std::string_view("\0", 1)) == "\\x00");
}

TEST_CASE("quote: what may be shown in a page can neither end a quotation nor begin a tag") {
  CHECK(escape_markup("a\"b\\c<d>&e\n", 100) == "a\\x22b\\x5cc\\x3cd\\x3e\\x26e\\x0a");
  CHECK(escape_markup("abcdef", 4) == "abcd...");
  CHECK(escape_markup("abcd", 4) == "abcd");
}

TEST_CASE("quote: a long text is cut, and its size is said") {
  CHECK(quote("abcdef", 4) == "\"abcd\"... (6 bytes)");
  CHECK(quote("abcd", 4) == "\"abcd\"");
  CHECK(escape("abcdef", 4) == "abcd");
}

TEST_CASE("quote: what an exception says, without its code, and in full") {
  struct Case {
    boost::system::system_error thrown;
    std::string text, part_of_what;
  };
  const auto denied = make_error_code(boost::system::errc::permission_denied);
  for (const Case& each :
       {Case{boost::system::system_error(denied, "open /x"), "open /x", "Permission denied"},
        Case{boost::system::system_error(denied), "Permission denied", "Permission denied"},
        Case{boost::system::system_error(make_error_code(error::peer_ended)), "peer ended", "peer ended"}}) {
    CAPTURE(each.thrown.what());
    const std::exception_ptr failure = std::make_exception_ptr(each.thrown);
    CHECK(text_of(each.thrown) == each.text);
    CHECK(words_of(failure) == each.text);
    CHECK(what_of(failure).find(each.part_of_what) != std::string::npos);
  }
  CHECK(End(error::peer_ended, text_of(boost::system::system_error(make_error_code(error::peer_ended)))).to_string() ==
        "peer ended");
  CHECK(words_of(std::make_exception_ptr(std::runtime_error("plain"))) == "plain");
  CHECK(words_of(std::make_exception_ptr(7)) == "an exception of unknown type");
  CHECK(what_of(std::make_exception_ptr(7)) == "an exception of unknown type");
}

} // namespace trunkline::test

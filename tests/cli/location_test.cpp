#include "cli/location.hpp"

#include "cli/exit_code.hpp"
#include "transport/media.hpp"

#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace trunkline::cli;

TEST_CASE("location: an address is there, everything else is a path here") {
  struct Row {
    const char* text;
    const char* address;
    const char* path;
  };
  const Row rows[] = {
      {"tcp://127.0.0.1:7000", "tcp://127.0.0.1:7000", ""},
      {"tcp://127.0.0.1:7000/", "tcp://127.0.0.1:7000", ""},
      {"tcp://[::1]:7000/a b/c/", "tcp://[::1]:7000", "a b/c"},
      {"tcp://host:1//x", "tcp://host:1", "x"},
      {"unix:/run/t.sock", "unix:/run/t.sock", ""},
      {"unix:/run/t.sock!/sub/dir", "unix:/run/t.sock", "sub/dir"},
      {"relative/path/", "", "relative/path/"},
      {"/absolute", "", "/absolute"},
      {"./unix:x", "", "./unix:x"},
      {"./strange name://x", "", "./strange name://x"},
      {"./host:path", "", "./host:path"},
      {"/a:b/c:d", "", "/a:b/c:d"},
      {"dir/a:b", "", "dir/a:b"},
  };

  for (const Row& row : rows) {
    const Location location = parse_location(row.text);
    CAPTURE(row.text);
    CHECK(location.address == row.address);
    CHECK(location.path == row.path);
    CHECK(location.is_remote() == !location.address.empty());
  }
  CHECK_THROWS_AS(parse_location(""), UsageError);
  CHECK_THROWS_AS(parse_location("unix:"), UsageError);
  CHECK_THROWS_WITH_AS(parse_location("rsync://host/x"), doctest::Contains("ssh://[user@]host[:port]/path"), UsageError);
  CHECK_THROWS_AS(parse_location("ftp://host:21/x"), UsageError);
  CHECK_THROWS_AS(parse_location("tcp://host/x"), boost::system::system_error);
  CHECK_THROWS_AS(parse_location("tcp://host:port/x"), boost::system::system_error);
}

TEST_CASE("location: what other programs read as another machine is refused, and the words say what is spoken") {
  for (const char* text : {"host:path", "me@host:/data", "host::module", "[::1]:/data", "tcp:127.0.0.1:7000",
                           "SSH://host/x", "strange name://x", "c:", ":x", "a:b/c"}) {
    CAPTURE(text);
    try {
      parse_location(text);
      FAIL("it is taken for a path");
    } catch (const UsageError& refused) {
      const std::string words = refused.what();
      CHECK(words.find("tcp://host:port/path or tls://host:port/path or unix:/path!/path") != std::string::npos);
      CHECK(words.find("./") != std::string::npos);
    }
  }
}

TEST_CASE("location: the address of a node may leave out tcp://, and keeps the medium that it names") {
  CHECK(parse_address("127.0.0.1:38000") == "tcp://127.0.0.1:38000");
  CHECK(parse_address("[::1]:38000") == "tcp://[::1]:38000");
  CHECK(parse_address("tcp://host:1") == "tcp://host:1");
  CHECK(parse_address("unix:/run/t.sock") == "unix:/run/t.sock");
  CHECK_THROWS_AS(parse_address("unix:"), UsageError);
  CHECK_THROWS_AS(parse_address("ftp://host:21"), UsageError);
  CHECK_THROWS_AS(parse_address("tcp://host:1/path"), UsageError);
  for (const char* word : {"host", "127.0.0.1", "host:port", ""})
    CHECK_THROWS_AS_MESSAGE(parse_address(word), boost::system::system_error, word);
}

TEST_CASE("location: nobody listens where other machines reach, unless that is allowed") {
  for (const char* address :
       {"tcp://127.0.0.1:0", "tcp://localhost:1", "tcp://[::1]:1", "tcp://[::ffff:127.0.0.1]:1", "unix:/x"})
    CHECK_NOTHROW_MESSAGE(check_listen_address(address, false), address);
  for (const char* address : {"tcp://0.0.0.0:0", "tcp://[::]:1", "tcp://10.0.0.1:1", "tcp://example.com:1"}) {
    CHECK_THROWS_AS_MESSAGE(check_listen_address(address, false), UsageError, address);
    CHECK_NOTHROW_MESSAGE(check_listen_address(address, true), address);
  }
  for (const char* address : {"bogus", "/x", "ftp://127.0.0.1:1", ""})
    CHECK_THROWS_AS_MESSAGE(check_listen_address(address, true), UsageError, address);
}

TEST_CASE("location: the forms are those of the media") {
  CHECK(address_forms() == trunkline::forms_of(trunkline::default_media()));
  CHECK(location_forms().find("tcp://host:port/path") != std::string::npos);
  CHECK(location_forms().find("unix:/path!/path") != std::string::npos);
}

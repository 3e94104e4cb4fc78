#include "transport/media.hpp"

#include "fragment/error.hpp"
#include "transport/memory.hpp"
#include "transport/tcp.hpp"
#include "transport/unix.hpp"

#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>

namespace trunkline::test {
namespace {

/// Not default_media(): another medium there changes nothing of what is said here.
Media some_media() {
  Media media;
  media.emplace("tcp", make_tcp_medium());
  media.emplace("unix", make_unix_medium());
  media.emplace("mem", std::make_shared<MemoryMedium>());
  return media;
}

} // namespace

TEST_CASE("media: each stands under its own scheme, which its form begins with") {
  const Media media = default_media();
  CHECK(media.size() >= 2);
  for (const auto& [scheme, medium] : media) {
    CHECK(medium->scheme() == scheme);
    CHECK(medium->form().starts_with(scheme + ":"));
  }
}

TEST_CASE("media: what a program gives stands in place of what is there by itself") {
  const auto mine = std::make_shared<MemoryMedium>();
  Media media;
  media.emplace("tcp", mine);
  media.emplace("mem", mine);
  media = with_default_media(std::move(media));
  CHECK(media.at("tcp") == mine);
  CHECK(media.size() == default_media().size() + 1);
}

TEST_CASE("media: the medium of an address is that of its scheme, and an unknown one is answered with what there is") {
  const Media media = some_media();

  CHECK(find_medium(media, "mem://alpha") == media.at("mem").get());
  CHECK(medium_for(media, "tcp://h:1") == media.at("tcp"));
  for (const char* address : {"carrier-pigeon://loft", "no address", "", ":x"}) {
    CAPTURE(address);
    CHECK(find_medium(media, address) == nullptr);
    std::string text;
    try {
      medium_for(media, address);
    } catch (const boost::system::system_error& thrown) {
      CHECK(thrown.code() == error::unknown_scheme);
      text = thrown.what();
    }
    CHECK(text.find("address \"" + std::string(address) + "\" has no scheme of mem, tcp, unix") == 0);
  }
}

TEST_CASE("media: only loopback hosts and local media are reached by this machine alone") {
  const Media media = some_media();

  for (const char* address : {"tcp://127.0.0.1:0", "tcp://127.255.0.9:1", "tcp://localhost:1", "tcp://[::1]:1",
                              "tcp://[::ffff:127.0.0.1]:1", "unix:/x", "mem://x"})
    CHECK_MESSAGE(is_local_only(media, address), address);
  for (const char* address :
       {"tcp://0.0.0.0:0", "tcp://[::]:1", "tcp://10.0.0.1:1", "tcp://127.0.0.1.example.com:1", "tcp://127.1:1",
        "tcp://:1", "tcp://example.com:1", "tcp://1270.0.0.1:1", "tcp://127.0.0.256:1", "ws://127.0.0.1:1", "/x", ""})
    CHECK_FALSE_MESSAGE(is_local_only(media, address), address);
}

TEST_CASE("media: what nothing encrypts is exposed where other machines reach it") {
  Media media = with_default_media(some_media());

  for (const char* address : {"tcp://0.0.0.0:0", "tcp://10.0.0.1:1", "tcp://example.com:1"})
    CHECK_MESSAGE(is_exposed(media, address), address);
  for (const char* address : {"tcp://127.0.0.1:0", "tls://0.0.0.0:0", "tls://example.com:1", "unix:/x", "mem://x", ""})
    CHECK_FALSE_MESSAGE(is_exposed(media, address), address);
}

TEST_CASE("media: their forms make a sentence") {
  Media media = some_media();
  CHECK(forms_of(media, "nor") == "mem://name, tcp://host:port nor unix:/path");
  media.erase("mem");
  CHECK(forms_of(media) == "tcp://host:port or unix:/path");
  CHECK(forms_of(Media()) == "");
}

} // namespace trunkline::test

#include "transport/address.hpp"

#include <doctest/doctest.h>

#include <string>

namespace trunkline::test {
namespace {

HostPortFlaw flaw_of(std::string_view text) {
  HostPort parsed;
  return parse_host_port(text, parsed);
}

} // namespace

TEST_CASE("address: host and port are split, and put together again") {
  struct Row {
    const char* text;
    const char* host;
    int port;
  };
  for (const Row& row : {Row{"127.0.0.1:7000", "127.0.0.1", 7000}, Row{"[::1]:0", "::1", 0}, Row{"h:65535", "h", 65535},
                         Row{"[fe80::1%eth0]:1", "fe80::1%eth0", 1}}) {
    CAPTURE(row.text);
    HostPort parsed;
    CHECK(parse_host_port(row.text, parsed) == HostPortFlaw::none);
    CHECK(parsed.host == row.host);
    CHECK(parsed.port == row.port);
    CHECK(to_address("tcp", parsed.host, parsed.port) == "tcp://" + std::string(row.text));
  }
}

TEST_CASE("address: what is no host:port has the flaw named") {
  for (const char* text : {"", "h", ":1", "[]:1", "[::1]", "[::1]x:1", "a/b:1", "a b:1", "a@b:1", "a?b:1", "a#b:1"})
    CHECK_MESSAGE(flaw_of(text) == HostPortFlaw::form, text);
  for (const char* text : {"h:", "h:x", "h:65536", "h:-1", "h:1/x", "h: 1"})
    CHECK_MESSAGE(flaw_of(text) == HostPortFlaw::port, text);
  for (const char* text : {"::1:80", "fe80::1:80", "a:b:1"})
    CHECK_MESSAGE(flaw_of(text) == HostPortFlaw::bare_ipv6, text);
  CHECK(flaw_of("[::1:80") == HostPortFlaw::missing_bracket);
}

TEST_CASE("address: its scheme and its host are found, and the host is replaced") {
  CHECK(scheme_of("tcp://h:1") == "tcp");
  CHECK(scheme_of("nothing") == "");
  CHECK(host_of("tcp://10.0.0.7:1") == "10.0.0.7");
  CHECK(host_of("tcp://[::1]:1") == "::1");
  CHECK(host_of("unix:/run/t.sock") == "");
  CHECK(with_host("tcp://0.0.0.0:1", "10.0.0.7") == "tcp://10.0.0.7:1");
  CHECK(with_host("tcp://[::]:1", "10.0.0.7") == "tcp://10.0.0.7:1");
  CHECK(with_host("tcp://:1", "::1") == "tcp://[::1]:1");
}

TEST_CASE("address: one that names all hosts of a machine names none, in every spelling") {
  for (const char* address :
       {"tcp://0.0.0.0:1", "tcp://[::]:1", "tcp://[0:0::0]:1", "tcp://[::ffff:0.0.0.0]:1", "tcp://:1", "tcp://*:1"})
    CHECK_MESSAGE(is_unspecified(address), address);
  for (const char* address : {"tcp://10.0.0.7:1", "tcp://[::1]:1", "tcp://0.example:1", "unix:/run/t.sock", "0.0.0.0"})
    CHECK_FALSE_MESSAGE(is_unspecified(address), address);
}

TEST_CASE("address: a loopback host is one in every spelling, and no name but localhost is") {
  for (const char* host :
       {"127.0.0.1", "127.255.0.9", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "localhost"})
    CHECK_MESSAGE(is_loopback_host(host), host);
  for (const char* host : {"", "0.0.0.0", "::", "10.0.0.1", "::2", "::ffff:10.0.0.1", "fe80::1", "127.1", "127.0.0.256",
                           "1270.0.0.1", "127.0.0.1.example.com", "localhost.example.com", "127.0.0.1 "})
    CHECK_FALSE_MESSAGE(is_loopback_host(host), host);
}

TEST_CASE("address: a host in brackets keeps them, and a bare IPv6 host gets them") {
  CHECK(to_address("tcp", "::1", 80) == "tcp://[::1]:80");
  CHECK(to_address("tcp", "[::1]", 80) == "tcp://[::1]:80");
  CHECK(to_address("tcp", "10.0.0.7", 80) == "tcp://10.0.0.7:80");
}

TEST_CASE("address: hosts of one IPv6 network count as one place, all others for themselves") {
  CHECK(network_of("2001:db8:1:2::7") == network_of("2001:db8:1:2:ffff::9"));
  CHECK(network_of("2001:db8:1:2::7") != network_of("2001:db8:1:3::7"));
  CHECK(network_of("10.0.0.7") == "10.0.0.7");
  CHECK(network_of("::ffff:10.0.0.7") == "10.0.0.7");
  CHECK(network_of("name") == "name");
  CHECK(network_of("") == "");
}

} // namespace trunkline::test

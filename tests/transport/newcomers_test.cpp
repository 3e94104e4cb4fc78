#include "transport/newcomers.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>

namespace trunkline::test {
namespace {

/// So many connections; the address of each is who it is.
using Connections = std::array<char, 1000>;

constexpr TimePoint now{std::chrono::hours(1)};
constexpr TimePoint later = now + Newcomers::patience;

} // namespace

TEST_CASE("newcomers: nobody goes while there is room") {
  const Connections all{};
  Newcomers newcomers(3, 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(newcomers.who_goes("10.0.0.1", later) == nullptr);
    newcomers.add(&all[i], "10.0.0.1", now);
  }
  CHECK(newcomers.who_goes("10.0.0.1", later) == &all[0]);
  newcomers.erase(&all[1]);
  CHECK(newcomers.who_goes("10.0.0.1", later) == nullptr);
  newcomers.erase(&all[1]); // is not there: nothing happens
  CHECK(newcomers.size() == 2);
}

TEST_CASE("newcomers: a host at its share only makes room among its own") {
  const Connections all{};
  Newcomers newcomers(100, 2);
  newcomers.add(&all[0], "10.0.0.1", now);
  newcomers.add(&all[1], "10.0.0.2", now);
  newcomers.add(&all[2], "10.0.0.2", now);
  CHECK(newcomers.who_goes("10.0.0.2", later) == &all[1]);
  CHECK(newcomers.who_goes("10.0.0.1", later) == nullptr);
  CHECK(newcomers.who_goes("10.0.0.3", later) == nullptr);
}

TEST_CASE("newcomers: many that come at once from one host are left alone, up to the limit") {
  const Connections all{};
  Newcomers newcomers(100, 2);
  for (std::size_t i = 0; i < 100; ++i) {
    CHECK(newcomers.who_goes("10.0.0.1", now) == nullptr);
    newcomers.add(&all[i], "10.0.0.1", now);
  }
  CHECK(newcomers.who_goes("10.0.0.1", now) == &all[0]); // at the limit somebody has to go
}

TEST_CASE("newcomers: at the limit the oldest of the host that has most goes, and never one of a host that has few") {
  const Connections all{};
  Newcomers newcomers(5, 4);
  newcomers.add(&all[0], "10.0.0.9", now);
  for (std::size_t i = 1; i < 5; ++i) newcomers.add(&all[i], "10.0.0.1", now);
  CHECK(newcomers.who_goes("10.0.0.2", later) == &all[1]);
  CHECK(newcomers.who_goes("10.0.0.9", later) == &all[1]);
}

TEST_CASE("newcomers: where others leave no room, one of many gives way at once, and one of few when it stays silent") {
  const Connections all{};
  Newcomers newcomers(100, 50);
  newcomers.add(&all[0], "10.0.0.9", now);
  newcomers.add(&all[1], "10.0.0.1", now);
  CHECK(newcomers.who_gives_way("10.0.0.2", now) == nullptr);
  CHECK(newcomers.who_gives_way("10.0.0.2", later) == &all[0]);
  newcomers.add(&all[2], "10.0.0.1", now);
  CHECK(newcomers.who_gives_way("10.0.0.2", now) == &all[1]);
  CHECK(newcomers.who_gives_way("10.0.0.1", now) == nullptr); // its own have yet to speak
  CHECK(newcomers.who_gives_way("10.0.0.1", later) == &all[1]);

  Newcomers local(100, 50); // a connection without a host comes from this machine
  local.add(&all[0], "", now);
  CHECK(local.who_gives_way("", now) == &all[0]);
}

TEST_CASE("newcomers: hosts of one IPv6 network share, and those without a host have the whole limit") {
  const Connections all{};
  Newcomers newcomers(4, 2);
  newcomers.add(&all[0], "2001:db8::1", now);
  newcomers.add(&all[1], "2001:db8::2", now);
  CHECK(newcomers.who_goes("2001:db8::3", later) == &all[0]);
  CHECK(newcomers.who_goes("2001:db8:0:1::3", later) == nullptr);
  newcomers.add(&all[2], "", now);
  newcomers.add(&all[3], "", now);
  newcomers.erase(&all[0]);
  CHECK(newcomers.who_goes("", later) == nullptr);
}

TEST_CASE("newcomers: however many come, there are never more than the limit, and who leaves is forgotten") {
  const Connections all{};
  Newcomers newcomers(64, 16);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string host = "10.0.0." + std::to_string(i % 7);
    if (const Newcomers::Who who = newcomers.who_goes(host, later)) newcomers.erase(who);
    newcomers.add(&all[i], host, now);
    CHECK(newcomers.size() <= 64);
  }
  for (const char& one : all) newcomers.erase(&one);
  CHECK(newcomers.size() == 0);
  CHECK(newcomers.who_gives_way("10.0.0.1", later) == nullptr);
}

} // namespace trunkline::test

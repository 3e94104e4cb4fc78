#include "async/all_at_once.hpp"

#include "async/clock.hpp"
#include "async/within.hpp"
#include "tests/async/in_world.hpp"
#include "tests/support/co_test_case.hpp"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::test;
using namespace std::chrono_literals;

namespace {

awaitable<void> note_after(std::string* seen, char letter, Duration time, bool fails) {
  co_await sleep_for(time);
  seen->push_back(letter);
  if (fails) throw std::runtime_error(std::string("it was ") + letter);
}

} // namespace

CO_TEST_CASE("all at once: all have ended when it throws what the first to fail threw", in_world, sim::World& world) {
  std::string seen;
  std::vector<awaitable<void>> some;
  some.push_back(note_after(&seen, 'a', 3s, false));
  some.push_back(note_after(&seen, 'b', 1s, true));
  some.push_back(note_after(&seen, 'c', 2s, true));
  std::string failure;

  try {
    co_await all_at_once(std::move(some));
  } catch (const std::runtime_error& thrown) {
    failure = thrown.what();
  }

  CHECK(seen == "bca");
  CHECK(failure == "it was b");
  CHECK(world.elapsed() == 3s);
}

CO_TEST_CASE("all at once: nothing is done at once", in_world, sim::World& world) {
  std::vector<awaitable<void>> none;
  co_await all_at_once(std::move(none));
  CHECK(world.elapsed() == 0s);
}

CO_TEST_CASE("all at once: when it is cancelled, so is every operation", in_world, sim::World&) {
  std::string seen;
  std::vector<awaitable<void>> cut;
  cut.push_back(note_after(&seen, 'd', 5s, false));
  bool timed_out = false;

  try {
    co_await within(1s, all_at_once(std::move(cut)));
  } catch (const boost::system::system_error& thrown) {
    timed_out = thrown.code() == error::timed_out;
  }

  CHECK(timed_out);
  co_await sleep_for(10s);
  CHECK(seen == "");
}

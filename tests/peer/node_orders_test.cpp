// Every order of open, send, finish, drop, close, listen, dial and drain, in a simulated world: what was accepted for
// sending arrives, or somebody is told. Told are: the caller, by an exception; the holder of the handle, by its end; and
// where the handle is gone, the log and NodeCounters::circuits_lost.
//
// An order is a word. The steps at the circuit keep their order: O opens with a first fragment, S sends a second, F
// finishes, C closes, X drops the handle. L (the far side begins to listen), D (dial) and N (drain) come anywhere
// between, and the node is closed at the end.
#include "async/clock.hpp"
#include "peer/node.hpp"
#include "tests/support/log_lines.hpp"
#include "tests/support/seed.hpp"
#include "transport/sim/world.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::test;

namespace {

struct Order {
  explicit Order(std::string steps_in_order, std::uint64_t seed) : steps(std::move(steps_in_order)), world(seed) {
    other.serve("count", [this](Circuit circuit) { return count(*this, std::move(circuit)); });
  }
  Node make(const std::string& name) {
    NodeOptions options;
    options.name = name;
    options.media["sim"] = world.medium(name);
    options.random = world.random(name);
    options.log = log.sink(name);
    return Node(world.executor(), std::move(options));
  }
  static awaitable<void> count(Order& order, Circuit circuit) {
    for (;;) {
      std::optional<Fragment> fragment = co_await circuit.receive();
      if (!fragment) co_return;
      order.arrived.insert(std::string(fragment->payload.text()));
    }
  }

  std::string steps;
  LogLines log;
  sim::World world;
  Node one = make("one");
  Node other = make("other");
  std::set<std::string> accepted; // for sending
  std::set<std::string> arrived;
  bool told = false;
};

/// A holder who asks the handle hears it.
bool says_loss(const Circuit& circuit) {
  const std::optional<End> end = circuit.end();
  return end && !end->clean();
}

awaitable<void> run_steps(Order& order) {
  const auto me = order.one.new_peer("sender");
  std::optional<Circuit> circuit;
  for (const char step : order.steps) {
    try {
      switch (step) {
        case 'L': order.other.listen("sim://other"); break;
        case 'D': co_await order.one.dial("sim://other"); break;
        case 'N': co_await order.one.drain(std::chrono::seconds(5)); break;
        case 'O':
          circuit.emplace(me->join_or_start("sim://other", "count", Fragment(1, "one")));
          order.accepted.insert("one");
          break;
        case 'S':
          if (circuit) {
            co_await circuit->send(Fragment(2, "two"));
            order.accepted.insert("two");
          }
          break;
        case 'F':
          if (circuit) circuit->finish();
          break;
        case 'C':
          if (circuit) circuit->close();
          break;
        default:
          if (circuit) order.told = order.told || says_loss(*circuit);
          circuit.reset();
          break;
      }
    } catch (const boost::system::system_error&) {
      order.told = order.told || step != 'D'; // that a dial fails says nothing about the circuit
    }
  }
  co_await order.one.close();
  if (circuit) {
    co_await circuit->ended();
    order.told = order.told || says_loss(*circuit);
    circuit.reset();
  }
  co_await sleep_for(std::chrono::seconds(20)); // the far side takes what has come
  co_await order.other.close();
}

/// `into` with one more step at every place.
std::vector<std::string> with_step(const std::vector<std::string>& into, char step) {
  std::vector<std::string> orders;
  for (const std::string& order : into)
    for (std::size_t at = 0; at <= order.size(); ++at) {
      std::string longer = order;
      longer.insert(at, 1, step);
      orders.push_back(std::move(longer));
    }
  return orders;
}

void check_order(const std::string& steps, int& lost) {
  CAPTURE(steps);
  Order order(steps, test_seed());
  order.world.run(run_steps(order));
  const std::uint64_t counted = order.one.counters().circuits_lost;
  if (counted > 0) CHECK(order.log.has_line("may not have arrived"));
  for (const std::string& fragment : order.accepted) {
    if (order.arrived.contains(fragment)) continue;
    ++lost;
    CAPTURE(fragment);
    CHECK((order.told || counted > 0));
  }
  // Where the far side listens from the beginning and nobody gives up, nothing is lost at all.
  const bool whole = steps.starts_with("L") && steps.find('N') == steps.size() - 1;
  if (whole) CHECK(order.arrived == order.accepted);
}

} // namespace

TEST_CASE("node: in every order of opening, sending, ending, dialling, listening and draining, a loss is told") {
  int orders = 0;
  int lost = 0;
  for (const char* circuit : {"OSFX", "OSCX", "OSF", "OFX", "OSFCX"}) {
    std::vector<std::string> all = with_step({circuit}, 'L');
    for (const std::string& order : with_step(all, 'N')) all.push_back(order);
    for (const std::string& order : with_step(all, 'D')) all.push_back(order);
    for (const std::string& order : all) check_order(order, lost);
    orders += static_cast<int>(all.size());
  }
  CHECK(orders > 800);
  CHECK(lost > 0); // otherwise the orders are not what they should be
}

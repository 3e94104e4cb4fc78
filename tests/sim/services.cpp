#include "tests/sim/services.hpp"

#include "async/clock.hpp"
#include "async/within.hpp"
#include "fragment/error.hpp"
#include "tests/sim/streaming.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace trunkline::sim {
namespace {

using namespace asio::experimental::awaitable_operators;

/// One service's part of one circuit.
using Serve = awaitable<void> (*)(std::shared_ptr<Circuit> circuit, Stage& stage, Random random);

awaitable<void> serve_sink(std::shared_ptr<Circuit> circuit, Stage& stage, Random random) {
  const Pace pace = draw_pace(random);
  co_await take_all(circuit, stage, forth, pace, random);
  co_await finish(circuit, stage, back, false);
}

awaitable<void> serve_source(std::shared_ptr<Circuit> circuit, Stage& stage, Random random) {
  const std::uint64_t count = random.magnitude(100);
  const std::size_t bytes_max = random.magnitude(stage.fragment_bytes_max);
  co_await send_all(circuit, stage, back, count, bytes_max, random);
  co_await finish(circuit, stage, back, true);
}

awaitable<void> serve_echo(std::shared_ptr<Circuit> circuit, Stage& stage, Random) {
  co_await answer_all(circuit, stage);
  co_await finish(circuit, stage, back, true);
}

awaitable<void> take_to_end(std::shared_ptr<Circuit> circuit, Stage& stage, Random random) {
  const Pace pace = draw_pace(random);
  co_await take_all(circuit, stage, forth, pace, random);
}

awaitable<void> serve_office(std::shared_ptr<Circuit> circuit, Stage& stage, Random random) {
  auto taking = as_result(take_to_end(circuit, stage, random));
  auto hearing = as_result(take_complaints(circuit, stage));
  const auto results = co_await (std::move(taking) && std::move(hearing));
  if (std::get<0>(results).has_error()) throw boost::system::system_error(std::get<0>(results).error());
  if (std::get<1>(results).has_error()) throw boost::system::system_error(std::get<1>(results).error());
  co_await finish(circuit, stage, back, false);
}

awaitable<void> serve_sleeper(std::shared_ptr<Circuit> circuit, Stage& stage, Random random) {
  co_await sleep_for(std::chrono::milliseconds(random.magnitude(40'000)));
  if (random.one_in(2)) co_await take_all(circuit, stage, forth, Pace::at_once, random);
  if (random.one_in(2)) co_await finish(circuit, stage, back, false);
}

/// Holds the circuit for its service, as a parameter: returning closes it. What fails is noted, and fails the circuit.
awaitable<void> serve(std::shared_ptr<Circuit> circuit, Stage& stage, Serve function) {
  const std::string name = circuit->name();
  const EndingChecker::Running running(stage.endings, "the service of circuit " + name);
  stage.streams.served(name);
  stage.memory.watch(circuit->trunk());
  try {
    co_await function(circuit, stage, Random::derived(stage.world.seed(), name));
  } catch (const boost::system::system_error& failure) {
    const bool after_all =
        failure.code() == error::handler_failed && std::string_view(failure.what()).starts_with(close_reason);
    if (after_all) stage.streams.end_seen(name, forth); // closed with a reason: that comes after the data
    stage.note_failure(name, failure);
    throw;
  }
}

awaitable<void> serve_each(LocalPeer& peer, CircuitInbox& circuits, Stage* stage, Serve function) {
  const EndingChecker::Running running(stage->endings, "an instance of " + peer.service());
  for (;;) {
    std::optional<Circuit> circuit = co_await circuits.next();
    if (!circuit) co_return;
    peer.spawn(
        [stage, function](Circuit owned) {
          return serve(std::make_shared<Circuit>(std::move(owned)), *stage, function);
        },
        std::move(*circuit));
  }
}

awaitable<void> serve_one(CircuitInbox& circuits, Stage* stage, Serve function) {
  const EndingChecker::Running running(stage->endings, "an instance for one circuit");
  std::optional<Circuit> circuit = co_await circuits.next();
  if (!circuit) co_return;
  co_await serve(std::make_shared<Circuit>(std::move(*circuit)), *stage, function);
}

} // namespace

void register_services(Node& node, Stage& stage) {
  const auto each = [&stage](Serve function) -> PeerServiceFunc {
    return [stage = &stage, function](LocalPeer& peer, CircuitInbox& circuits) {
      return serve_each(peer, circuits, stage, function);
    };
  };
  node.register_service("sink", each(serve_sink));
  node.register_service("source", each(serve_source));
  node.register_service("echo", each(serve_echo));
  node.register_service("office", each(serve_office));
  node.register_service("sleeper", each(serve_sleeper));
  node.register_service("single", each(serve_sink), 1);
  node.register_service(
      "solo", [stage = &stage](LocalPeer&, CircuitInbox& circuits) { return serve_one(circuits, stage, serve_sink); });
}

} // namespace trunkline::sim

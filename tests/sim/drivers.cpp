#include "tests/sim/drivers.hpp"

#include "async/clock.hpp"
#include "async/within.hpp"
#include "fragment/error.hpp"
#include "tests/sim/streaming.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::sim {
namespace {

using namespace asio::experimental::awaitable_operators;

/// One thing that a driver does.
struct Task {
  Driver driver;
  Stage& stage;
  Random random;
  std::string stream; // the circuit's name

  Task(Driver of, Stage& on, std::uint64_t seed) : driver(std::move(of)), stage(on), random(seed) {}

  LocalPeer& peer() const noexcept { return *driver.peer; }
  /// Another node's address, seldom the own one.
  std::string there() {
    const std::string& host = stage.hosts[random.below(stage.hosts.size())];
    if (host != driver.host || random.one_in(20)) return to(host);
    return to(host == stage.hosts.front() ? stage.hosts.back() : stage.hosts.front());
  }
  std::string to(const std::string& host) {
    if (host == driver.host) stage.to_self.insert(stream);
    return "sim://" + host;
  }
};

std::shared_ptr<Circuit> keep(Task& task, Circuit circuit) {
  task.stage.memory.watch(circuit.trunk());
  auto kept = std::make_shared<Circuit>(std::move(circuit));
  task.stage.circuits[task.stream] = kept;
  return kept;
}

/// Opens a circuit in one of the ways that there are, with or without a first fragment.
std::shared_ptr<Circuit> open(Task& task, const std::string& service) {
  Stage& stage = task.stage;
  Random& random = task.random;
  std::optional<Fragment> first;
  const std::size_t bytes = random.magnitude(2000);
  if (random.one_in(2)) first = stage.streams.next(task.stream, forth, bytes);
  const bool with_first = first.has_value();
  CircuitOptions options(task.stream, "opened by the workload", random.one_in(3));

  Circuit circuit;
  if (service == "solo" || (service == "sink" && random.one_in(10))) {
    circuit = task.peer().start(task.there(), service, std::move(first), std::move(options));
  } else if (service == "sink" && !stage.known.empty() && random.one_in(4)) {
    const PeerUrl& url = stage.known[random.below(stage.known.size())];
    if (url.address() == "sim://" + task.driver.host) stage.to_self.insert(task.stream);
    circuit = first ? task.peer().new_circuit(url, std::move(*first), std::move(options))
                    : task.peer().new_circuit(url, std::move(options));
  } else {
    circuit = task.peer().join_or_start(task.there(), service, std::move(first), std::move(options));
  }
  if (with_first) stage.streams.sent(task.stream, forth, bytes);
  return keep(task, std::move(circuit));
}

/// Sends and ends in one of the ways that there are.
awaitable<void> upload(Task& task) {
  Stage& stage = task.stage;
  const auto circuit = open(task, task.random.one_in(5) ? "solo" : "sink");
  const std::uint64_t count = task.random.magnitude(100);
  const std::size_t bytes_max = task.random.magnitude(stage.fragment_bytes_max);
  co_await send_all(circuit, stage, forth, count, bytes_max, Random(task.random()));
  switch (task.random.below(8)) {
    case 0: // close: all of it arrives
      stage.streams.finished(task.stream, forth);
      circuit->close();
      co_await circuit->ended();
      break;
    case 1: // reset: what arrives is a beginning
      circuit->reset(End(error::circuit_reset, "the workload gave up"));
      break;
    case 2: // abandoned
      break;
    case 3: // close with a reason: all of it arrives, then the reason
      stage.streams.finished(task.stream, forth);
      circuit->close(End(error::handler_failed, close_reason));
      co_await circuit->ended();
      break;
    default:
      co_await finish(circuit, stage, forth, true);
      co_await take_all(circuit, stage, back, Pace::at_once, Random(0)); // a sink says nothing, but ends
      stage.remember(circuit->remote_peer().url, task.random);
      break;
  }
}

awaitable<void> download(Task& task) {
  const auto circuit = open(task, "source");
  co_await finish(circuit, task.stage, forth, false);
  const Pace pace = draw_pace(task.random);
  const std::uint64_t most = task.random.one_in(10) ? task.random.magnitude(20) : UINT64_MAX; // abandoned early
  co_await take_all(circuit, task.stage, back, pace, Random(task.random()), most);
}

awaitable<void> send_and_finish(std::shared_ptr<Circuit> circuit, Stage& stage, std::uint64_t count,
                                std::size_t bytes_max, Random random) {
  co_await send_all(circuit, stage, forth, count, bytes_max, random);
  co_await finish(circuit, stage, forth, true);
}

awaitable<void> take_to_end(std::shared_ptr<Circuit> circuit, Stage& stage, Pace pace, Random random) {
  co_await take_all(circuit, stage, back, pace, random);
}

/// Sends and receives at once.
awaitable<void> converse(Task& task) {
  const auto circuit = open(task, "echo");
  const std::uint64_t count = task.random.magnitude(50);
  const std::size_t bytes_max = task.random.magnitude(20'000);
  const Pace pace = draw_pace(task.random);
  auto sending = as_result(send_and_finish(circuit, task.stage, count, bytes_max, Random(task.random())));
  auto taking = as_result(take_to_end(circuit, task.stage, pace, Random(task.random())));
  const auto results = co_await (std::move(sending) && std::move(taking));
  if (std::get<0>(results).has_error()) throw boost::system::system_error(std::get<0>(results).error());
  if (std::get<1>(results).has_error()) throw boost::system::system_error(std::get<1>(results).error());
}

/// Small questions, each answered before the next: what other circuits do must not delay them.
awaitable<void> ask(Task& task) {
  Stage& stage = task.stage;
  const auto circuit = open(task, "echo");
  if (stage.calm) co_await circuit->accepted(); // the dial is not what we measure
  for (int i = 0; i < 10; ++i) {
    const TimePoint before = stage.world.now();
    Fragment question = stage.streams.next(task.stream, forth, 10);
    co_await circuit->send(std::move(question));
    stage.streams.sent(task.stream, forth, 10);
    const bool ended = co_await take_all(circuit, stage, back, Pace::at_once, Random(0), 1);
    if (ended) break;
    if (stage.calm && i > 0) stage.delays.answered(task.stream, stage.world.now() - before);
    co_await sleep_for(std::chrono::milliseconds(task.random.magnitude(300)));
  }
  co_await finish(circuit, stage, forth, true);
}

/// Pushes into a circuit that nobody reads, until it takes no more.
awaitable<void> stall(Task& task) {
  Stage& stage = task.stage;
  const auto circuit = open(task, "sleeper");
  const std::size_t bytes = task.random.magnitude(stage.fragment_bytes_max);
  for (int i = 0; i < 200; ++i) {
    Fragment fragment = stage.streams.next(task.stream, forth, bytes);
    const SendOutcome outcome = circuit->send_one_way(fragment);
    if (outcome != SendOutcome::queued) break;
    stage.streams.sent(task.stream, forth, bytes);
  }
  co_await finish(circuit, stage, forth, task.random.one_in(2));
  co_await circuit->ended();
}

/// The same on many circuits at once, where that is allowed.
awaitable<void> flood(Task& task) {
  Stage& stage = task.stage;
  if (!stage.floods) co_return;
  const std::string address = task.there();
  const std::uint64_t count = task.random.between(4, 12);
  std::vector<Circuit> circuits;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string stream = stage.streams.open("flood");
    if (stage.to_self.contains(task.stream)) stage.to_self.insert(stream);
    CircuitOptions options(stream);
    circuits.push_back(task.peer().join_or_start(address, "sleeper", std::nullopt, std::move(options)));
    stage.memory.watch(circuits.back().trunk());
  }
  const std::size_t bytes_max = std::min<std::size_t>(stage.fragment_bytes_max, 100'000);
  for (int i = 0; i < 30; ++i) {
    for (Circuit& circuit : circuits) {
      const std::size_t bytes = task.random.between(bytes_max / 2, bytes_max);
      Fragment fragment = stage.streams.next(circuit.name(), forth, bytes);
      if (circuit.send_one_way(fragment) == SendOutcome::queued) stage.streams.sent(circuit.name(), forth, bytes);
    }
    co_await sleep_for(std::chrono::milliseconds(task.random.magnitude(200)));
  }
  for (Circuit& circuit : circuits) {
    stage.streams.finished(circuit.name(), forth);
    circuit.finish();
  }
  for (Circuit& circuit : circuits) co_await circuit.ended();
}

/// Data and error fragments on one circuit: each kind keeps its order, and no error ends anything.
awaitable<void> complain(Task& task) {
  Stage& stage = task.stage;
  const auto circuit = open(task, "office");
  for (int i = 0; i < 20; ++i) {
    const int way = task.random.one_in(3) ? complaints : forth;
    const std::size_t bytes = task.random.magnitude(5000);
    Fragment fragment = stage.streams.next(task.stream, way, bytes);
    co_await circuit->send(std::move(fragment));
    stage.streams.sent(task.stream, way, bytes);
  }
  co_await finish(circuit, stage, forth, true);
}

/// Opens what will not be accepted.
awaitable<void> be_refused(Task& task) {
  Fragment first = task.stage.streams.next(task.stream, forth, 100);
  task.stage.streams.sent(task.stream, forth, 100);
  CircuitOptions options(task.stream, {}, true);
  Circuit circuit;
  if (task.random.one_in(3)) {
    circuit = task.peer().start(task.there(), "single", std::move(first), std::move(options));
  } else if (task.random.one_in(2)) {
    circuit = task.peer().join_or_start(task.there(), "nowhere", std::move(first), std::move(options));
  } else {
    const PeerId nobody = PeerId::draw(std::ref(task.random));
    circuit = task.peer().new_circuit(PeerUrl(task.there(), "sink", nobody), std::move(first), std::move(options));
  }
  co_await circuit.accepted();
}

/// Starts an instance first and opens a circuit to it then.
awaitable<void> start_and_upload(Task& task) {
  const RemotePeer remote = co_await task.peer().start_only(task.there(), "solo", std::chrono::seconds(20));
  CircuitOptions options(task.stream);
  const auto circuit = keep(task, task.peer().new_circuit(remote.url, std::move(options)));
  co_await send_all(circuit, task.stage, forth, 10, 1000, Random(task.random()));
  co_await finish(circuit, task.stage, forth, true);
}

struct Kind {
  const char* name;
  awaitable<void> (*run)(Task& task);
};

constexpr Kind kinds[] = {{"upload", upload},     {"upload", upload},      {"download", download},
                          {"download", download}, {"converse", converse},  {"ask", ask},
                          {"ask", ask},           {"stall", stall},        {"flood", flood},
                          {"complain", complain}, {"refused", be_refused}, {"start", start_and_upload}};

awaitable<void> run(Driver driver, Stage& stage, Random random) {
  Task task(std::move(driver), stage, random());
  const Kind& kind = kinds[random.below(std::size(kinds))];
  task.stream = stage.streams.open(kind.name);
  const EndingChecker::Running running(stage.endings, "circuit " + task.stream);
  try {
    co_await kind.run(task);
  } catch (const boost::system::system_error& failure) {
    stage.note_failure(task.stream, failure);
  }
}

} // namespace

awaitable<void> drive(Driver driver, Stage& stage, Random random) {
  while (!stage.stopping && !driver.peer->is_ending()) {
    if (random.one_in(10)) driver.peer->set_metadata("mood", std::to_string(random.below(100)));
    co_await run(driver, stage, Random(random()));
    co_await sleep_for(std::chrono::milliseconds(random.magnitude(4000)));
  }
}

} // namespace trunkline::sim

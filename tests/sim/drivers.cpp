#include "tests/sim/drivers.hpp"

#include "async/clock.hpp"
#include "async/within.hpp"
#include "fragment/error.hpp"
#include "tests/sim/streaming.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <chrono>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::sim {
namespace {

using namespace asio::experimental::awaitable_operators;

/// One thing that a driver does.
struct Task {
  std::weak_ptr<Node> node;
  std::shared_ptr<LocalPeer> peer;
  Stage& stage;
  Random random;
  std::string stream; // the circuit's name

  Task(std::weak_ptr<Node> of_node, std::shared_ptr<LocalPeer> of_peer, Stage& on, std::uint64_t seed)
      : node(std::move(of_node)), peer(std::move(of_peer)), stage(on), random(seed) {}

  std::string there() { return "sim://" + stage.hosts[random.below(stage.hosts.size())]; }
};

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
    circuit = task.peer->start_remote_and_open(task.there(), service, std::move(first), std::move(options));
  } else if (service == "sink" && !stage.known.empty() && random.one_in(4)) {
    const PeerUrl& url = stage.known[random.below(stage.known.size())];
    circuit = first ? task.peer->new_circuit(url, std::move(*first), std::move(options))
                    : task.peer->new_circuit(url, std::move(options));
  } else {
    circuit = task.peer->prefer_extant(task.there(), service, std::move(first), std::move(options));
  }
  if (with_first) stage.streams.sent(task.stream, forth, bytes);
  stage.memory.watch(circuit.trunk());
  return std::make_shared<Circuit>(std::move(circuit));
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
      circuit->close(End(error::handler_failed, "the workload says so"));
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
    if (outcome != SendOutcome::taken) break;
    stage.streams.sent(task.stream, forth, bytes);
  }
  co_await finish(circuit, stage, forth, task.random.one_in(2));
  co_await circuit->ended();
}

/// Opens what will not be accepted.
awaitable<void> be_refused(Task& task) {
  Fragment first = task.stage.streams.next(task.stream, forth, 100);
  task.stage.streams.sent(task.stream, forth, 100);
  CircuitOptions options(task.stream, {}, true);
  Circuit circuit;
  if (task.random.one_in(3)) {
    circuit = task.peer->start_remote_and_open(task.there(), "single", std::move(first), std::move(options));
  } else if (task.random.one_in(2)) {
    circuit = task.peer->prefer_extant(task.there(), "nowhere", std::move(first), std::move(options));
  } else {
    const PeerId nobody = PeerId::draw(std::ref(task.random));
    circuit = task.peer->new_circuit(PeerUrl(task.there(), "sink", nobody), std::move(first), std::move(options));
  }
  co_await circuit.accepted();
}

/// Starts an instance first and opens a circuit to it then.
awaitable<void> start_and_upload(Task& task) {
  std::optional<awaitable<RemotePeer>> starting;
  if (const auto node = task.node.lock())
    starting = node->start_remote_peer("solo", task.there(), std::chrono::seconds(20));
  if (!starting) co_return;
  const RemotePeer remote = co_await std::move(*starting);
  CircuitOptions options(task.stream);
  const auto circuit = std::make_shared<Circuit>(task.peer->new_circuit(remote.url, std::move(options)));
  co_await send_all(circuit, task.stage, forth, 10, 1000, Random(task.random()));
  co_await finish(circuit, task.stage, forth, true);
}

struct Kind {
  const char* name;
  awaitable<void> (*run)(Task& task);
};

constexpr Kind kinds[] = {{"upload", upload},     {"upload", upload},   {"download", download},
                          {"download", download}, {"converse", converse}, {"ask", ask},
                          {"ask", ask},           {"stall", stall},     {"refused", be_refused},
                          {"start", start_and_upload}};

awaitable<void> run(std::weak_ptr<Node> node, std::shared_ptr<LocalPeer> peer, Stage& stage, Random random) {
  Task task(std::move(node), std::move(peer), stage, random());
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

awaitable<void> drive(std::weak_ptr<Node> node, std::shared_ptr<LocalPeer> peer, Stage& stage, Random random) {
  while (!stage.stopping && !peer->is_ending()) {
    if (random.one_in(10)) peer->set_metadata("mood", std::to_string(random.below(100)));
    co_await run(node, peer, stage, Random(random()));
    co_await sleep_for(std::chrono::milliseconds(random.magnitude(4000)));
  }
}

} // namespace trunkline::sim

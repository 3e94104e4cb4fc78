#include "tests/sim/honest_services.hpp"

#include "async/clock.hpp"
#include "async/within.hpp"
#include "circuit/caller.hpp"
#include "circuit/typed.hpp"
#include "circuit/while_open.hpp"
#include "fragment/error.hpp"
#include "tests/sim/streaming.hpp"

#include <boost/asio/error.hpp>
#include <google/protobuf/wrappers.pb.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::sim {

awaitable<void> pause(HonestStage& stage, std::string circuit, Duration time) {
  Ledger::Entry& entry = stage.ledger.of(circuit);
  // From the opening on, as its handler may start late; beforehand: what it causes is heard while it lasts.
  entry.pause_max = std::max(entry.pause_max, Duration(stage.world.now() - entry.opened_at) + time);
  co_await sleep_for(time);
}

namespace {

/// What a service is given for one circuit.
struct Served {
  HonestStage& stage;
  std::shared_ptr<LocalPeer> peer;
  std::shared_ptr<Circuit> circuit;
  std::string name;
  Random random;

  Ledger::Entry& entry() const { return stage.ledger.of(name); }
};

using Serve = awaitable<void> (*)(Served& served);

/// What leaves a service on purpose.
struct Thrown : std::runtime_error {
  Thrown() : runtime_error("the program throws") {}
};

Duration draw_pause(Served& served) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(served.stage.pause_max).count();
  return std::chrono::milliseconds(served.random.magnitude(static_cast<std::uint64_t>(milliseconds)));
}

awaitable<void> finish_back(Served& served, bool wait) { co_await finish(served.circuit, served.stage, back, wait); }

/// Takes all, with pauses of any length in some cases.
awaitable<void> take_forth(Served& served) {
  const Pace pace = draw_pace(served.random);
  const bool pauses = served.random.one_in(4);
  for (;;) {
    const std::uint64_t most = pauses ? served.random.magnitude(20) : UINT64_MAX;
    const bool ended = co_await take_all(served.circuit, served.stage, forth, pace, Random(served.random()), most);
    if (ended) co_return;
    const Duration time = draw_pause(served);
    co_await pause(served.stage, served.name, time);
  }
}

awaitable<void> serve_echo(Served& served) {
  co_await answer_all(served.circuit, served.stage);
  const bool wait = served.random.one_in(2);
  co_await finish_back(served, wait);
}

awaitable<void> serve_sink(Served& served) {
  co_await take_forth(served);
  co_await finish_back(served, false);
}

/// All of them for about as long, so that many windows lie unread at once.
awaitable<void> serve_pauser(Served& served) {
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(served.stage.pause_max).count();
  const auto most = static_cast<std::uint64_t>(milliseconds);
  const Duration time = std::chrono::milliseconds(served.random.between(most / 2, most));
  co_await pause(served.stage, served.name, time);
  co_await take_all(served.circuit, served.stage, forth, Pace::at_once, Random(0));
  co_await finish_back(served, false);
}

/// Half a stream: the handle is dropped, the service throws, or it resets the circuit.
void give_up(Served& served) {
  served.entry().given_up = true;
  switch (served.random.below(3)) {
    case 0: served.circuit.reset(); return;
    case 1: served.circuit->reset(given_up(served.name)); return;
    default: served.stage.ledger.note_throw(served.name); throw Thrown();
  }
}

awaitable<void> serve_source(Served& served) {
  const std::uint64_t count = served.random.magnitude(60);
  const Ledger::Entry& entry = served.entry();
  const std::size_t most = served.stage.fragment_bytes_between(entry.opener, entry.server);
  const std::size_t bytes_max = served.random.magnitude(std::min(served.stage.fragment_bytes_max, most));
  const bool gives_up = served.random.one_in(6);
  const std::uint64_t sent = gives_up ? served.random.below(count + 1) : count;
  co_await send_all(served.circuit, served.stage, back, sent, bytes_max, Random(served.random()));
  if (gives_up) give_up(served);
  else co_await finish_back(served, true);
}

/// Answers each line, and complains of every other one on the error queue, which its caller may never read.
awaitable<void> serve_office(Served& served) {
  std::uint64_t lines = 0;
  for (;;) {
    const std::optional<Fragment> line = co_await served.circuit->receive();
    if (!line) break;
    served.stage.streams.received(served.name, forth, *line);
    if (++lines % 2 == 0) {
      Fragment complaint(7, Payload(std::string(served.random.below(600), 'e')));
      complaint.part = static_cast<std::int64_t>(lines);
      complaint.err = "a bad line";
      co_await served.circuit->send(std::move(complaint));
    }
    Fragment answer = served.stage.streams.next(served.name, back, 50);
    co_await served.circuit->send(std::move(answer));
    served.stage.streams.sent(served.name, back, 50);
  }
  served.stage.streams.end_seen(served.name, forth);
  co_await finish_back(served, false);
}

awaitable<void> take_in_another_task(Circuit owned, HonestStage* stage) {
  const auto circuit = std::make_shared<Circuit>(std::move(owned));
  const std::string name = circuit->name();
  const EndingChecker::Running running(stage->endings, "the second service of circuit " + name);
  try {
    co_await answer_all(circuit, *stage);
    co_await finish(circuit, *stage, back, false);
  } catch (const boost::system::system_error& failure) {
    stage->ledger.ended(name, failure);
    throw;
  }
}

/// Answers a few, and passes the circuit to another task, which answers the rest.
awaitable<void> serve_hands(Served& served) {
  const std::uint64_t few = served.random.below(4);
  for (std::uint64_t i = 0; i < few; ++i) {
    const std::optional<Fragment> question = co_await served.circuit->receive();
    if (!question) {
      served.stage.streams.end_seen(served.name, forth);
      co_await finish_back(served, false);
      co_return;
    }
    served.stage.streams.received(served.name, forth, *question);
    Fragment answer = served.stage.streams.next(served.name, back, 20);
    co_await served.circuit->send(std::move(answer));
    served.stage.streams.sent(served.name, back, 20);
  }
  served.peer->spawn(take_in_another_task, std::move(*served.circuit), &served.stage);
  co_await sleep_for(std::chrono::microseconds(served.random.magnitude(3'000'000))); // and lives on, or not
}

/// Ends in one of the orders that there are.
awaitable<void> serve_halves(Served& served) {
  const std::uint64_t count = served.random.magnitude(10);
  switch (served.random.below(5)) {
    case 0: // first, before anything is read
      co_await send_all(served.circuit, served.stage, back, count, 5000, Random(served.random()));
      co_await finish_back(served, false);
      co_await take_all(served.circuit, served.stage, forth, Pace::at_once, Random(0));
      break;
    case 1: // last
      co_await take_all(served.circuit, served.stage, forth, Pace::at_once, Random(0));
      co_await send_all(served.circuit, served.stage, back, count, 5000, Random(served.random()));
      co_await finish_back(served, true);
      break;
    case 2: // closes in the middle: what it sent arrives, what comes is dropped
      co_await send_all(served.circuit, served.stage, back, count, 5000, Random(served.random()));
      served.stage.streams.finished(served.name, back);
      served.entry().closed = true;
      served.circuit->close();
      co_await served.circuit->ended();
      break;
    case 3: // finishes and lets go
      co_await send_all(served.circuit, served.stage, back, count, 5000, Random(served.random()));
      served.entry().closed = true;
      co_await finish_back(served, false);
      break;
    default:
      co_await send_all(served.circuit, served.stage, back, count, 5000, Random(served.random()));
      give_up(served);
      break;
  }
}

/// Waits until its caller's metadata is what the first fragment says.
awaitable<void> serve_moods(Served& served) {
  const std::optional<Fragment> wanted = co_await served.circuit->receive();
  if (!wanted) co_return;
  const auto heard = [&] {
    const Metadata* const metadata = served.circuit->remote_metadata();
    const auto mood = metadata ? metadata->find("mood") : Metadata::const_iterator();
    return metadata && mood != metadata->end() && mood->second == wanted->subject && !metadata->contains("passing");
  };
  while (!heard()) co_await served.circuit->metadata_changed();
  Fragment answer(1);
  co_await served.circuit->send(std::move(answer));
  served.entry().closed = true;
  served.circuit->close();
}

/// Answers requests, some of them late.
awaitable<void> serve_calls(Served& served) {
  for (;;) {
    std::optional<Fragment> request = co_await served.circuit->receive();
    if (!request) break;
    if (served.random.one_in(4)) co_await sleep_for(std::chrono::microseconds(served.random.magnitude(400'000)));
    co_await served.circuit->send(std::move(*request));
  }
  served.circuit->finish();
}

awaitable<Fragment> answer_late(Fragment request, Random* random) {
  if (random->one_in(4)) co_await sleep_for(std::chrono::microseconds(random->magnitude(400'000)));
  co_return request;
}

/// The same side by side, few or many at once. It may have something else to do afterwards.
awaitable<void> serve_answers(Served& served) {
  Random* const random = &served.random;
  const auto answer = [random](Fragment request) { return answer_late(std::move(request), random); };
  AnswerOptions options;
  if (random->one_in(2)) options.calls_max = random->between(1, 3);
  options.runs_on = random->one_in(3);
  co_await answer_calls(*served.circuit, answer, options);
  served.circuit->finish();
  if (random->one_in(2)) co_await sleep_for(std::chrono::microseconds(random->magnitude(3'000'000)));
}

/// The same, and goes on for as long as its peer lives: nobody waits for it but the end of its node.
awaitable<void> linger(Circuit owned, HonestStage* stage, Random random) {
  {
    const std::string name = owned.name();
    const EndingChecker::Running running(stage->endings, "the service of circuit " + name);
    stage->streams.served(name);
    Circuit circuit = std::move(owned);
    const auto answer = [&random](Fragment request) { return answer_late(std::move(request), &random); };
    AnswerOptions options;
    options.calls_max = random.between(1, 3);
    try {
      co_await answer_calls(circuit, answer, options);
      circuit.finish();
    } catch (const boost::system::system_error& failure) {
      stage->ledger.ended(name, failure);
    }
  }
  for (;;) co_await sleep_for(std::chrono::hours(1));
}

/// Goes on only for as long as somebody may want to know.
awaitable<void> serve_work(Served& served) {
  auto working = sleep_for(std::chrono::microseconds(served.random.magnitude(2'000'000)));
  co_await while_open(*served.circuit, std::move(working));
  co_await answer_all(served.circuit, served.stage);
  co_await finish_back(served, false);
}

/// The answer of another host, which gets no more time than there is. True when it came.
awaitable<bool> ask_further(Served& served, std::string name) {
  HonestStage& stage = served.stage;
  Ledger::Entry& entry = stage.ledger.of(name);
  Fragment question = stage.streams.next(name, forth, 20);
  CircuitOptions options(name);
  options.inherit(*served.circuit);
  Circuit further =
      served.peer->join_or_start("sim://" + entry.server, "echo", std::move(question), std::move(options));
  stage.streams.sent(name, forth, 20);
  stage.watch(further.trunk(), entry.opener);
  entry.deadline = served.circuit->deadline().value_or(TimePoint::max());
  if (further.is_open() && further.deadline().value_or(TimePoint::max()) > entry.deadline)
    stage.violations.report("circuit " + name + " did not inherit the deadline of " + served.name);
  const std::optional<Fragment> answer = co_await further.receive();
  if (answer) stage.streams.received(name, back, *answer);
  else stage.violations.report("circuit " + name + " ended cleanly without an answer");
  entry.closed = true;
  stage.streams.finished(name, forth);
  further.close();
  co_return answer.has_value();
}

awaitable<bool> is_answered_further(Served& served, std::string name) {
  bool answered = false;
  try {
    answered = co_await ask_further(served, name);
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == asio::error::operation_aborted) throw; // its own caller has left
    served.stage.ledger.ended(name, failure);
  }
  co_return answered;
}

awaitable<void> serve_relay(Served& served) {
  HonestStage& stage = served.stage;
  const std::string own = served.entry().server;
  std::vector<std::string> others = stage.hosts;
  std::erase(others, own);
  const std::optional<Fragment> question = co_await served.circuit->receive();
  if (question) stage.streams.received(served.name, forth, *question);
  if (question) {
    const std::string name = stage.ledger.open("relayed", own, others[served.random.below(others.size())]);
    stage.ledger.of(name).given_up = true; // when its caller leaves
    const bool answered = co_await is_answered_further(served, name);
    if (!answered) {
      served.entry().given_up = true;
      served.circuit->reset(given_up(served.name));
      co_return;
    }
    Fragment answer = stage.streams.next(served.name, back, 20);
    co_await served.circuit->send(std::move(answer));
    stage.streams.sent(served.name, back, 20);
  }
  co_await take_all(served.circuit, stage, forth, Pace::at_once, Random(0));
  co_await finish_back(served, false);
}

/// Counts the letters of each text.
awaitable<void> serve_letters(Served& served) {
  for (;;) {
    const auto text = co_await receive_message<google::protobuf::StringValue>(*served.circuit);
    if (!text) break;
    google::protobuf::UInt64Value count;
    count.set_value(text->value().size());
    co_await send_message(*served.circuit, 7, count);
  }
  served.circuit->finish();
}

/// Answers with an error. Its circuits may have no name.
awaitable<void> say_no(Circuit circuit, HonestStage* stage) {
  const EndingChecker::Running running(stage->endings, "the service of a circuit that is refused an answer");
  const std::optional<Fragment> question = co_await circuit.receive();
  if (!question) co_return;
  Fragment answer = Fragment::error("no to " + std::string(question->payload.text()));
  co_await circuit.send(std::move(answer));
}

/// Takes its time for one answer.
awaitable<void> serve_narrow(Served& served) {
  co_await sleep_for(std::chrono::microseconds(served.random.magnitude(2'000'000)));
  co_await answer_all(served.circuit, served.stage);
  co_await finish_back(served, false);
}

/// Owns the circuit for its service; what fails is told to the ledger, and fails the circuit.
awaitable<void> serve(Circuit owned, HonestStage& stage, std::shared_ptr<LocalPeer> peer, Serve function) {
  const std::string name = owned.name();
  Served served{stage, std::move(peer), std::make_shared<Circuit>(std::move(owned)), name,
                Random::derived(stage.world.seed(), name)};
  const EndingChecker::Running running(stage.endings, "the service of circuit " + name);
  stage.streams.served(name);
  stage.watch(served.circuit->trunk(), served.entry().server);
  if (served.circuit->user_string() != served.entry().user_string)
    stage.violations.report("circuit " + name + " has another user string than it was given");
  try {
    co_await function(served);
  } catch (const boost::system::system_error& failure) {
    if (std::string(failure.what()).find(name + last_words) != std::string::npos) stage.streams.end_seen(name, forth);
    stage.ledger.ended(name, failure);
    throw;
  }
}

awaitable<void> linger_each(LocalPeer& peer, CircuitInbox& circuits, HonestStage* stage) {
  const EndingChecker::Running running(stage->endings, "an instance of " + peer.service());
  for (;;) {
    std::optional<Circuit> circuit = co_await circuits.next();
    if (!circuit) co_return;
    Random random = Random::derived(stage->world.seed(), circuit->name());
    peer.spawn(linger, std::move(*circuit), stage, random);
  }
}

awaitable<void> serve_each(LocalPeer& peer, CircuitInbox& circuits, HonestStage* stage, Serve function) {
  const EndingChecker::Running running(stage->endings, "an instance of " + peer.service());
  const std::shared_ptr<LocalPeer> self = peer.shared_from_this();
  for (;;) {
    std::optional<Circuit> circuit = co_await circuits.next();
    if (!circuit) co_return;
    for (; circuit; circuit = circuits.try_next())
      peer.spawn([stage, self, function](Circuit owned) { return serve(std::move(owned), *stage, self, function); },
                 std::move(*circuit));
  }
}

/// The short form, without a peer.
CircuitServiceFunc short_form(HonestStage& stage, Serve function) {
  return [stage = &stage, function](Circuit owned) { return serve(std::move(owned), *stage, nullptr, function); };
}

awaitable<void> serve_one(LocalPeer& peer, CircuitInbox& circuits, HonestStage* stage, Serve function) {
  const EndingChecker::Running running(stage->endings, "an instance for one circuit");
  const std::shared_ptr<LocalPeer> self = peer.shared_from_this();
  std::optional<Circuit> circuit = co_await circuits.next();
  if (!circuit) co_return;
  co_await serve(std::move(*circuit), *stage, self, function);
}

} // namespace

void register_honest_services(Node& node, HonestStage& stage) {
  const auto each = [&stage](Serve function) -> PeerServiceFunc {
    return [stage = &stage, function](LocalPeer& peer, CircuitInbox& circuits) {
      return serve_each(peer, circuits, stage, function);
    };
  };
  node.register_service("echo", each(serve_echo));
  ServiceOptions patient; // its queue is never full of circuits that wait, however many were given up
  patient.circuits_max = 500;
  patient.queue_max = 5000;
  patient.queue_deadline = std::chrono::hours(2);
  node.register_service("sink", each(serve_sink), patient);
  node.register_service("source", each(serve_source));
  node.register_service("pauser", each(serve_pauser));
  ServiceOptions untiring;
  untiring.runs_on = true;
  node.register_service("office", each(serve_office), untiring);
  node.register_service("hands", each(serve_hands));
  patient.circuits_max = 20;
  node.register_service("halves", each(serve_halves), patient);
  node.register_service("moods", each(serve_moods));
  node.register_service("calls", each(serve_calls));
  node.register_service("answers", each(serve_answers));
  node.register_service("lingers", [stage = &stage](LocalPeer& peer, CircuitInbox& circuits) {
    return linger_each(peer, circuits, stage);
  });
  ServiceOptions few;
  few.circuits_max = 3;
  few.queue_max = 4;
  few.queue_deadline = std::chrono::seconds(3);
  node.register_service("narrow", each(serve_narrow), few);
  node.register_service("single", each(serve_sink), 1);
  node.register_service("private", each(serve_echo));
  ServiceOptions locked;
  locked.allow = [](const RemoteIdentity*, std::string_view) { return Permission::no("the program lets nobody in"); };
  node.register_service("locked", each(serve_echo), locked);
  node.register_service("worker", each(serve_work));
  node.register_service("relay", each(serve_relay));
  node.register_service("letters", each(serve_letters));
  node.serve("refuser", [stage = &stage](Circuit owned) { return say_no(std::move(owned), stage); });
  node.serve("served", short_form(stage, serve_echo));
  few.queue_max = 5000;
  few.queue_deadline = std::chrono::hours(2);
  node.serve("served few", short_form(stage, serve_echo), few);
  node.register_service("solo", [stage = &stage](LocalPeer& peer, CircuitInbox& circuits) {
    return serve_one(peer, circuits, stage, serve_sink);
  });
}

} // namespace trunkline::sim

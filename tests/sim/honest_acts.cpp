#include "tests/sim/honest_acts.hpp"

#include "async/clock.hpp"
#include "async/task_group.hpp"
#include "async/tasks.hpp"
#include "async/within.hpp"
#include "circuit/caller.hpp"
#include "fragment/error.hpp"
#include "tests/sim/honest_act.hpp"
#include "tests/sim/honest_handles.hpp"
#include "tests/sim/honest_links.hpp"
#include "tests/sim/honest_services.hpp"
#include "tests/sim/streaming.hpp"

#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::sim {
namespace {

using namespace asio::experimental::awaitable_operators;

// Short conversations in great numbers.

/// Thousands of opens in one go, each answered.
awaitable<void> burst(Act& act) {
  Opening opening("burst", "echo", act.draw_host());
  const std::uint64_t count = act.draw_count(3000);
  const bool rests = act.random.one_in(2);
  std::vector<Opened> all;
  for (std::uint64_t i = 0; i < count; ++i) {
    opening.first = act.random.magnitude(400);
    all.push_back(open(act, opening));
    if (rests && act.random.one_in(30)) co_await sleep_for(act.draw_time(20'000));
  }
  for (Opened& opened : all) {
    if (!opened.circuit) continue;
    note_unread(act, opened);
    co_await told(act, opened.name, take_answer(act, opened));
  }
}

/// Ask, take the answer, let go, one after the other.
awaitable<void> rattle(Act& act) {
  Opening opening("rattle", "echo", act.draw_host());
  const std::uint64_t count = act.draw_count(300);
  for (std::uint64_t i = 0; i < count; ++i) {
    opening.first = act.random.magnitude(100);
    Opened opened = open(act, opening);
    if (opened.circuit) co_await told(act, opened.name, take_answer(act, opened));
  }
}

/// A search box: what was asked is of no interest any more when the next letter comes.
awaitable<void> cancel(Act& act) {
  Opening opening("cancel", act.random.one_in(2) ? "echo" : "sink", act.draw_host());
  const std::uint64_t count = act.draw_count(3000);
  const std::uint64_t rest = act.random.magnitude(3000);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (act.random.one_in(2)) opening.first = act.random.magnitude(100);
    else opening.first.reset();
    Opened opened = open(act, opening);
    if (act.random.one_in(rest)) co_await sleep_for(act.draw_time(10'000));
    if (opened.circuit) abandon(act, opened);
  }
}

/// Metadata at any rate: the last value is heard.
awaitable<void> change_mood(Act& act, const std::shared_ptr<LocalPeer>& peer, Opened& opened) {
  const std::uint64_t count = act.random.magnitude(8000);
  const std::uint64_t rest = act.random.magnitude(8000);
  std::string mood;
  for (std::uint64_t i = 0; i < count; ++i) {
    mood = std::to_string(i) + std::string(act.random.magnitude(60), 'm');
    peer->set_metadata("mood", mood);
    if (i % 7 == 0) peer->set_metadata("passing", "yes");
    if (act.random.one_in(rest)) co_await sleep_for(act.draw_time(20'000));
  }
  peer->remove_metadata("passing"); // was sent, or never
  Fragment wanted(1);
  wanted.subject = mood;
  act.stage.ledger.of(opened.name).closed = true; // by the service, once it has heard
  co_await opened.circuit->send(std::move(wanted));
  // Neighbours that nobody reads hold up a far side that is old, until they are given up.
  const bool shares = act.stage.shares(act.actor.host, act.stage.ledger.of(opened.name).server);
  const Duration patience = shares ? std::chrono::minutes(10) : std::chrono::hours(1);
  const trunkline::Outcome<std::optional<Fragment>> answer =
      co_await outcome_of(within(patience, opened.circuit->receive()));
  if (!answer.failure) co_return;
  if (!is_timed_out(answer.failure)) std::rethrow_exception(answer.failure);
  complain(act, "metadata that was set last was not heard in time, circuit " + opened.name);
}

awaitable<void> change_mood(Act& act) {
  const std::shared_ptr<LocalPeer> peer = new_peer(act);
  if (!peer) co_return;
  Opened opened = open(act, *peer, Opening("mood", "moods", act.draw_host()));
  if (!opened.circuit) co_return;
  co_await told(act, opened.name, change_mood(act, peer, opened));
  act.stage.ledger.of(opened.name).peer_ends = true;
  peer->close();
}

/// Many peers that come and go.
awaitable<void> come_and_go(Act& act) {
  Opening opening("guest", "echo", act.draw_host());
  const std::uint64_t count = act.draw_count(400);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::shared_ptr<LocalPeer> peer = new_peer(act);
    if (!peer) co_return;
    if (act.random.one_in(2)) peer->set_metadata("number", std::to_string(i));
    opening.first = 30;
    Opened opened = open(act, *peer, opening);
    if (opened.circuit && act.random.one_in(4)) {
      act.stage.ledger.of(opened.name).peer_ends = true;
      co_await told(act, opened.name, take_answer(act, opened));
    }
    if (opened.circuit) act.stage.ledger.of(opened.name).peer_ends = true;
    if (opened.circuit && peer->circuits_count() != (opened.circuit->is_open() ? 1 : 0))
      complain(act, "a guest has other circuits than its own, " + opened.name);
    peer->close(act.random.one_in(2) ? End(error::peer_ended, "the guest leaves") : End());
    if (act.random.one_in(50)) co_await peer->ended();
  }
}

// Neighbours.

/// Initial windows that nobody reads for minutes.
awaitable<void> sit_unread(Act& act) {
  HonestStage& stage = act.stage;
  const Opening opening("unread", "pauser", act.draw_host());
  const std::uint64_t count = act.random.between(1, 60);
  const std::size_t bytes = act.random.between(1000, 60'000);
  std::vector<Opened> all;
  for (std::uint64_t i = 0; i < count; ++i) all.push_back(open(act, opening));
  for (int round = 0; round < 3; ++round) {
    for (Opened& opened : all) {
      while (opened.circuit) {
        Fragment fragment = stage.streams.next(opened.name, forth, bytes);
        if (opened.circuit->send_one_way(fragment) != SendOutcome::queued) break;
        stage.streams.sent(opened.name, forth, bytes);
      }
    }
    co_await sleep_for(act.draw_time(2'000'000));
  }
  for (Opened& opened : all) {
    if (!opened.circuit) continue;
    if (act.random.one_in(2)) leave_behind(act, opened);
    else co_await told(act, opened.name, finish(opened.circuit, stage, forth, false));
  }
  for (Opened& opened : all)
    if (opened.circuit) co_await told(act, opened.name, take_rest(act, opened));
}

/// Small questions, each answered before the next, whatever the neighbours do.
awaitable<void> ask(Act& act, Opened& opened) {
  HonestStage& stage = act.stage;
  const std::string& server = stage.ledger.of(opened.name).server;
  const bool is_measured = stage.calm && stage.is_fast(act.actor.host, server) && stage.shares(act.actor.host, server);
  co_await opened.circuit->accepted(); // the dial is not what we measure
  for (int i = 0; i < 10; ++i) {
    const TimePoint before = stage.world.now();
    Fragment question = stage.streams.next(opened.name, forth, 10);
    co_await opened.circuit->send(std::move(question));
    stage.streams.sent(opened.name, forth, 10);
    const bool ended = co_await take_all(opened.circuit, stage, back, Pace::at_once, Random(0), 1);
    if (ended) break;
    if (is_measured)
      stage.delays.answered(opened.name, stage.world.now() - before, stage.ledger.time_for_memory(opened.name));
    co_await sleep_for(act.draw_time(5'000'000));
  }
  co_await end_well(act, opened, true);
}

awaitable<void> ask(Act& act) {
  Opening opening("ask", "echo", act.draw_host());
  opening.wants_answer = true;
  Opened opened = open(act, opening);
  if (opened.circuit) co_await told(act, opened.name, ask(act, opened));
}

/// Reads the answers only; the complaints lie unread.
awaitable<void> ignore_errors(Act& act, Opened& opened) {
  HonestStage& stage = act.stage;
  const std::uint64_t count = act.random.magnitude(2500);
  for (std::uint64_t i = 0; i < count; ++i) {
    Fragment line = stage.streams.next(opened.name, forth, 20);
    co_await opened.circuit->send(std::move(line));
    stage.streams.sent(opened.name, forth, 20);
    if (i < 4) continue; // some are on their way
    co_await take_all(opened.circuit, stage, back, Pace::at_once, Random(0), 1);
  }
  co_await finish(opened.circuit, stage, forth, false);
  co_await take_rest(act, opened);
  std::int64_t last = 0;
  for (;;) {
    const std::optional<Fragment> complaint = co_await opened.circuit->receive_error();
    if (!complaint) break;
    if (complaint->part <= last) complain(act, "complaints on circuit " + opened.name + " came out of order");
    last = complaint->part;
  }
}

awaitable<void> ignore_errors(Act& act) {
  Opened opened = open(act, Opening("ignore", "office", act.draw_host()));
  if (opened.circuit) co_await told(act, opened.name, ignore_errors(act, opened));
}

// Streams.

awaitable<void> upload(Act& act, Opened& opened) {
  HonestStage& stage = act.stage;
  const std::uint64_t count = act.random.magnitude(60);
  const std::size_t bytes_max = act.draw_bytes(stage.ledger.of(opened.name).server);
  co_await send_all(opened.circuit, stage, forth, count, bytes_max, Random(act.random()));
  Ledger::Entry& entry = stage.ledger.of(opened.name);
  switch (act.random.below(6)) {
    case 0: // all of it arrives
      stage.streams.finished(opened.name, forth);
      entry.closed = true;
      opened.circuit->close();
      co_await hear_end(act, opened);
      break;
    case 1: abandon(act, opened); break;
    case 2: leave_behind(act, opened); break;
    default: co_await end_well(act, opened, act.random.one_in(2)); break;
  }
}

awaitable<void> upload(Act& act) {
  Opening opening("upload", act.random.one_in(3) ? "solo" : "sink", act.draw_host());
  opening.starts = opening.service == "solo";
  if (act.random.one_in(2)) opening.first = act.random.magnitude(2000);
  Opened opened = open(act, opening);
  if (opened.circuit) co_await told(act, opened.name, upload(act, opened));
}

awaitable<void> download(Act& act, Opened& opened) {
  HonestStage& stage = act.stage;
  if (act.random.one_in(2)) co_await finish(opened.circuit, stage, forth, false);
  const Pace pace = draw_pace(act.random);
  for (;;) {
    const bool pauses = act.random.one_in(6);
    const std::uint64_t most = pauses || act.random.one_in(8) ? act.random.magnitude(20) : UINT64_MAX;
    const bool ended = co_await take_all(opened.circuit, stage, back, pace, Random(act.random()), most);
    if (ended) break;
    if (!pauses) { // it has seen enough
      stage.ledger.of(opened.name).closed = true;
      stage.ledger.of(opened.name).given_up = true;
      co_return;
    }
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(stage.pause_max).count();
    const auto time = std::chrono::seconds(act.random.magnitude(static_cast<std::uint64_t>(seconds)));
    co_await pause(stage, opened.name, time);
  }
  stage.ledger.of(opened.name).closed = true;
  if (!opened.circuit->state()->finished_here()) stage.streams.finished(opened.name, forth);
  opened.circuit->close();
}

awaitable<void> download(Act& act) {
  Opened opened = open(act, Opening("download", "source", act.draw_host()));
  if (opened.circuit) co_await told(act, opened.name, download(act, opened));
}

awaitable<void> send_and_finish(std::shared_ptr<Circuit> circuit, HonestStage& stage, std::uint64_t count,
                                std::size_t bytes_max, Random random) {
  co_await send_all(circuit, stage, forth, count, bytes_max, random);
  co_await finish(circuit, stage, forth, true);
}

/// Sends and receives at once.
awaitable<void> converse(Act& act, Opened& opened) {
  HonestStage& stage = act.stage;
  const std::uint64_t count = act.random.magnitude(40);
  const std::size_t bytes_max = act.random.magnitude(20'000);
  const Pace pace = draw_pace(act.random);
  auto sending = outcome_of(send_and_finish(opened.circuit, stage, count, bytes_max, Random(act.random())));
  auto taking = outcome_of(take_all(opened.circuit, stage, back, pace, Random(act.random())));
  const auto results = co_await (std::move(sending) && std::move(taking));
  if (std::get<0>(results).failure) std::rethrow_exception(std::get<0>(results).failure);
  if (std::get<1>(results).failure) std::rethrow_exception(std::get<1>(results).failure);
}

awaitable<void> converse(Act& act) {
  Opened opened = open(act, Opening("converse", act.random.one_in(2) ? "echo" : "hands", act.draw_host()));
  if (opened.circuit) co_await told(act, opened.name, converse(act, opened));
}

/// A few fragments as large as the limit allows.
awaitable<void> send_large(Act& act, Opened& opened) {
  const std::uint64_t count = act.random.between(1, 3);
  const std::size_t most = act.stage.fragment_bytes_between(act.actor.host, act.stage.ledger.of(opened.name).server);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::size_t bytes = most - act.random.below(std::min<std::size_t>(100'000, most / 2));
    Fragment fragment = act.stage.streams.next(opened.name, forth, bytes);
    co_await opened.circuit->send(std::move(fragment));
    act.stage.streams.sent(opened.name, forth, bytes);
  }
  if (act.random.one_in(3)) {
    leave_behind(act, opened);
  } else if (act.random.one_in(3)) {
    act.stage.ledger.of(opened.name).closed = true;
    act.stage.streams.finished(opened.name, forth);
    opened.circuit->close();
    co_await hear_end(act, opened);
  } else {
    co_await end_well(act, opened, true);
  }
}

awaitable<void> send_large(Act& act) {
  Opened opened = open(act, Opening("large", "sink", act.draw_host()));
  if (opened.circuit) co_await told(act, opened.name, send_large(act, opened));
}

/// Both sides end their ways in every order.
awaitable<void> halve(Act& act, Opened& opened) {
  HonestStage& stage = act.stage;
  const std::uint64_t count = act.random.magnitude(10);
  Ledger::Entry& entry = stage.ledger.of(opened.name);
  switch (act.random.below(6)) {
    case 0: co_await end_well(act, opened, false); break;
    case 1: { // the far side first, if it wants to
      auto taking = take_all(opened.circuit, stage, back, Pace::slow, Random(act.random()));
      co_await as_result(within(act.draw_time(2'000'000), std::move(taking)));
      co_await send_all(opened.circuit, stage, forth, count, 5000, Random(act.random()));
      co_await finish(opened.circuit, stage, forth, false);
      break;
    }
    case 2:
      co_await send_all(opened.circuit, stage, forth, count, 5000, Random(act.random()));
      stage.streams.finished(opened.name, forth);
      entry.closed = true;
      opened.circuit->close();
      break;
    case 3:
      co_await finish(opened.circuit, stage, forth, false);
      co_await sleep_for(act.draw_time(100'000));
      entry.given_up = true;
      opened.circuit->reset(given_up(opened.name));
      break;
    case 4:
      co_await send_all(opened.circuit, stage, forth, count, 5000, Random(act.random()));
      leave_behind(act, opened);
      entry.is_left_behind = false; // its service may close first
      break;
    default:
      co_await send_all(opened.circuit, stage, forth, count, 5000, Random(act.random()));
      abandon(act, opened);
      break;
  }
}

awaitable<void> halve(Act& act) {
  Opened opened = open(act, Opening("halve", "halves", act.draw_host()));
  if (!opened.circuit) co_return;
  co_await told(act, opened.name, halve(act, opened));
  act.stage.ledger.of(opened.name).closed = true; // the handle goes, whatever came
}

// Who holds a circuit.

/// Another task of the peer goes on with it.
awaitable<void> go_on(Circuit owned, HonestStage* stage, std::uint64_t seed) {
  Random random(seed);
  const auto circuit = std::make_shared<Circuit>(std::move(owned));
  const std::string name = circuit->name();
  const EndingChecker::Running running(stage->endings, "the second task of circuit " + name);
  try {
    co_await send_all(circuit, *stage, forth, random.magnitude(5), 500, Random(random()));
    co_await finish(circuit, *stage, forth, false);
    co_await take_all(circuit, *stage, back, Pace::at_once, Random(0));
  } catch (const boost::system::system_error& failure) {
    stage->ledger.ended(name, failure);
    stage->ledger.note_failed_task(name);
    throw;
  }
}

awaitable<void> hand_over(Act& act) {
  Opening opening("handover", act.random.one_in(2) ? "hands" : "echo", act.draw_host());
  const std::uint64_t count = act.draw_count(30);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (act.random.one_in(2)) opening.first = 10;
    else opening.first.reset();
    Opened opened = open(act, opening);
    if (!opened.circuit) continue;
    act.stage.circuits.erase(opened.name);
    act.actor.peer->spawn(go_on, std::move(*opened.circuit), &act.stage, act.random());
  }
  co_return;
}

/// A second circuit to the same far peer.
awaitable<void> open_again(Act& act, Opened& one) {
  HonestStage& stage = act.stage;
  co_await take_all(one.circuit, stage, back, Pace::at_once, Random(0), 1);
  const std::string name = stage.ledger.open("next", act.actor.host, stage.ledger.of(one.name).server);
  const bool says_more = act.random.one_in(2);
  CircuitOptions options(name);
  Circuit circuit = says_more ? one.circuit->new_circuit(stage.streams.next(name, forth, 10), std::move(options))
                              : one.circuit->new_circuit(std::move(options));
  Opened other(name, std::make_shared<Circuit>(std::move(circuit)));
  if (says_more) stage.streams.sent(name, forth, 10);
  co_await told(act, name, end_well(act, other, true));
  co_await end_well(act, one, true);
}

awaitable<void> open_again(Act& act) {
  Opening opening("again", "echo", act.draw_host());
  opening.first = 10;
  Opened opened = open(act, opening);
  if (opened.circuit) co_await told(act, opened.name, open_again(act, opened));
}

/// An instance that is started first, and asked then.
awaitable<void> begin(Act& act, const std::string& host, const std::string& name) {
  HonestStage& stage = act.stage;
  constexpr Duration patience = std::chrono::minutes(10);
  stage.ledger.of(name).deadline = stage.world.now() + patience;
  const RemotePeer remote = co_await act.actor.peer->start_only("sim://" + host, "echo", patience);
  stage.ledger.of(name).deadline = TimePoint::max();
  Fragment first = stage.streams.next(name, forth, 10);
  CircuitOptions options(name);
  Circuit circuit = act.actor.peer->new_circuit(remote.url, std::move(first), std::move(options));
  Opened opened(name, std::make_shared<Circuit>(std::move(circuit)));
  stage.streams.sent(name, forth, 10);
  co_await take_answer(act, opened);
}

awaitable<void> begin(Act& act) {
  const std::string host = act.draw_host();
  const std::string name = act.stage.ledger.open("begin", act.actor.host, host);
  co_await told(act, name, begin(act, host, name));
}

/// Comes when there is a connection, however often it takes.
awaitable<void> wait_for_connection(Act& act) {
  const std::string host = act.draw_host();
  std::shared_ptr<Node> node = act.actor.node.lock();
  if (!node) co_return;
  auto waiting = node->wait_for_connection("sim://" + host, std::chrono::minutes(30));
  node.reset(); // an act that waits must not keep it
  const LinkInfo link = co_await std::move(waiting);
  if (link.name != host) complain(act, "waited for a connection to " + host + " and got one to " + link.name);
}

/// Open, send, finish, let go.
awaitable<void> fire_and_forget(Act& act) {
  Opening opening("forget", "sink", act.draw_host());
  const std::uint64_t count = act.draw_count(100);
  for (std::uint64_t i = 0; i < count; ++i) {
    opening.first = act.random.magnitude(3000);
    Opened opened = open(act, opening);
    if (opened.circuit) leave_behind(act, opened);
  }
  co_return;
}

/// A node that is there for one thing, and drains before it is connected.
awaitable<void> visit(Act& act) {
  HonestStage& stage = act.stage;
  const std::string host = "visitor-" + std::to_string(++stage.guests);
  const std::string own = std::exchange(act.actor.host, host);
  NodeOptions options;
  options.name = host;
  options.random = stage.world.random(host);
  options.media["sim"] = stage.world.medium(host);
  Node made(stage.world.executor(), std::move(options));
  const std::shared_ptr<LocalPeer> peer = made.new_peer("visitor");
  Node node(std::move(made));
  Opening opening("visit", "sink", own);
  const std::uint64_t count = act.draw_count(20);
  for (std::uint64_t i = 0; i < count; ++i) {
    opening.first = act.random.magnitude(2000);
    Opened opened = open(act, *peer, opening);
    stage.ledger.of(opened.name).is_drained = true;
    if (opened.circuit) leave_behind(act, opened);
    if (act.random.one_in(5)) co_await sleep_for(act.draw_time(50'000));
  }
  stage.ledger.closes(host);
  co_await node.drain(std::chrono::minutes(30));
  co_await node.close();
}

// Limits that the program sets itself.

/// A guest of an inn, who waits for a bed.
awaitable<void> stay(Act& act, std::string inn) {
  HonestStage& stage = act.stage;
  const std::string name = stage.ledger.open("stay", act.actor.host, inn);
  // By the inn alone, which cannot let its bed be made before its last guest has gone: this side waits.
  stage.ledger.of(name).refusal = "services still hold on to them, circuits_max is";
  try {
    const std::size_t bytes = act.random.magnitude(400);
    Fragment first = stage.streams.next(name, forth, bytes);
    CircuitOptions options(name);
    PeerUrl there("sim://" + inn, "echo", PeerId());
    Circuit circuit =
        co_await act.actor.peer->new_circuit_when_room(std::move(there), std::move(first), std::move(options));
    stage.streams.sent(name, forth, bytes);
    stage.watch(circuit.trunk(), act.actor.host);
    Opened opened(name, std::make_shared<Circuit>(std::move(circuit)));
    co_await take_answer(act, opened);
  } catch (const boost::system::system_error& failure) {
    stage.ledger.ended(name, failure);
  }
}

/// A node that takes few circuits at a time, and guests who wait until there is room.
awaitable<void> fill_an_inn(Act& act) {
  HonestStage& stage = act.stage;
  const std::string inn = "inn-" + std::to_string(++stage.guests);
  NodeOptions options;
  options.name = inn;
  options.random = stage.world.random(inn);
  options.media["sim"] = stage.world.medium(inn);
  options.limits.circuits_max = static_cast<std::uint32_t>(act.random.between(1, 5));
  Node node(stage.world.executor(), std::move(options));
  register_honest_services(node, stage);
  node.listen("sim://" + inn);
  TaskGroup guests(stage.world.executor());
  const std::uint64_t count = act.draw_count(20);
  for (std::uint64_t i = 0; i < count; ++i) {
    guests.spawn(stay(act, inn));
    if (act.random.one_in(5)) co_await sleep_for(act.draw_time(50'000));
  }
  co_await guests.join();
  stage.ledger.closes(inn);
  co_await node.drain(std::chrono::minutes(1));
  co_await node.close();
}

awaitable<void> be_refused(Act& act, Opened& opened) {
  co_await opened.circuit->accepted();
  co_await end_well(act, opened, false);
}

awaitable<void> be_refused(Act& act) {
  Opening opening("refused", "nowhere", act.draw_host());
  opening.first = 100;
  opening.wants_answer = true;
  opening.refusal = "no service \"nowhere\"";
  switch (act.random.below(3)) {
    case 0: break;
    case 1:
      opening.service = "single";
      opening.starts = true;
      opening.refusal = "is limited to 1 instance";
      break;
    default:
      opening.service = "locked";
      opening.refusal = "the program lets nobody in";
      break;
  }
  Opened opened = open(act, opening);
  if (opened.circuit) co_await told(act, opened.name, be_refused(act, opened));
}

/// A service that works on few at once, with a short queue: the others are told which limit that is.
awaitable<void> queue_up(Act& act, Opened& opened) {
  const std::optional<Fragment> answer = co_await opened.circuit->receive();
  if (answer) act.stage.streams.received(opened.name, back, *answer);
  if (answer) co_await end_well(act, opened, false);
  else complain(act, "circuit " + opened.name + " ended cleanly without an answer");
}

awaitable<void> queue_up(Act& act) {
  Opening opening("queue", "narrow", act.draw_host());
  opening.first = 20;
  opening.refusal = "queue_";
  const std::uint64_t count = act.draw_count(20);
  std::vector<Opened> all;
  for (std::uint64_t i = 0; i < count; ++i) all.push_back(open(act, opening));
  for (Opened& opened : all) {
    if (!opened.circuit) continue;
    note_unread(act, opened);
    co_await told(act, opened.name, queue_up(act, opened));
  }
}

// Deadlines.

/// The circuit has so much time: both sides hear when it is over, in time.
awaitable<void> hurry(Act& act, Opened& opened) {
  HonestStage& stage = act.stage;
  co_await send_all(opened.circuit, stage, forth, act.random.magnitude(30), 5000, Random(act.random()));
  co_await end_well(act, opened, act.random.one_in(2));
}

awaitable<void> hurry(Act& act) {
  static constexpr const char* services[] = {"echo", "sink", "pauser"};
  Opening opening("hurry", services[act.random.below(3)], act.draw_host());
  opening.deadline = act.draw_time(20'000'000);
  if (act.random.one_in(2)) opening.first = 10;
  Opened opened = open(act, opening);
  if (!opened.circuit) co_return;
  co_await told(act, opened.name, hurry(act, opened));
  const Duration late = act.stage.world.now() - act.stage.ledger.of(opened.name).deadline;
  if (late > std::chrono::seconds(1)) complain(act, "circuit " + opened.name + " lived longer than its deadline");
  act.stage.ledger.of(opened.name).closed = true; // the handle goes, whatever came
}

void check_reply(Act& act, const std::string& circuit, const Fragment& reply, const std::string& words) {
  if (!(reply.payload == Payload(words))) complain(act, "a call on circuit " + circuit + " got the reply of another");
}

/// One question, one answer, in one call; some are given up.
awaitable<void> request(Act& act, const std::string& host, const std::string& name, bool has_little_time) {
  const std::string words = "request on " + name;
  Fragment question(3, Payload(words));
  CircuitOptions options(name);
  Ledger::Entry& entry = act.stage.ledger.of(name);
  entry.closed = true;
  Duration time = Duration::max();
  if (has_little_time) {
    time = act.draw_time(600'000);
    entry.deadline = act.stage.world.now() + time;
    entry.given_up = true;
  }
  const bool is_for_them = act.random.one_in(2); // to know
  if (is_for_them) options.deadline = time;
  auto asking = act.actor.peer->request("sim://" + host, "calls", std::move(question), std::move(options));
  if (is_for_them || time == Duration::max()) {
    const Fragment reply = co_await std::move(asking);
    check_reply(act, name, reply, words);
  } else {
    const Fragment reply = co_await within(time, std::move(asking));
    check_reply(act, name, reply, words);
  }
}

awaitable<void> request(Act& act) {
  const std::string host = act.draw_host();
  const std::uint64_t count = act.draw_count(60);
  const std::shared_ptr<LocalPeer> kept = act.actor.peer;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string name = act.stage.ledger.open("request", act.actor.host, host);
    co_await told(act, name, request(act, host, name, act.random.one_in(4)));
  }
}

/// Several calls share a circuit, and what becomes of them.
struct Calls {
  Caller caller;
  std::string name;
  std::uint64_t given_up = 0;

  Calls(Circuit circuit, std::string of) : caller(std::move(circuit)), name(std::move(of)) {}
};

awaitable<void> call_in_time(std::shared_ptr<Calls> calls, Act& act, Duration time, int number) {
  const std::string words = "request " + std::to_string(number);
  Fragment request(3, Payload(words));
  const bool is_for_them = number % 2 == 0; // to know
  Caller& caller = calls->caller;
  auto calling = is_for_them ? caller.call(std::move(request), time) : within(time, caller.call(std::move(request)));
  const trunkline::Outcome<Fragment> reply = co_await outcome_of(std::move(calling));
  const bool is_late = reply.failure && is_timed_out(reply.failure); // the program's own deadline
  if (is_late) ++calls->given_up;
  else if (reply.failure) std::rethrow_exception(reply.failure);
  else check_reply(act, calls->name, *reply.value, words);
}

/// Calls side by side, some of them with little time.
awaitable<void> call(Act& act) {
  static constexpr const char* services[] = {"calls", "answers", "answers", "lingers"};
  Opened opened = open(act, Opening("call", services[act.random.below(4)], act.draw_host()));
  if (!opened.circuit) co_return;
  const auto calls = std::make_shared<Calls>(std::move(*opened.circuit), opened.name);
  act.stage.circuits.erase(opened.name);
  const int count = static_cast<int>(act.random.magnitude(40));
  Tasks tasks(act.stage.world.executor(), [&act, name = opened.name](std::exception_ptr failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const boost::system::system_error& thrown) {
      act.stage.ledger.ended(name, thrown);
    }
  });
  for (int i = 0; i < count; ++i) {
    const Duration time = act.random.one_in(3) ? act.draw_time(500'000) : std::chrono::hours(1);
    tasks.spawn(call_in_time(calls, act, time, i));
    if (act.random.one_in(4)) co_await sleep_for(act.draw_time(50'000));
  }
  co_await tasks.join();
  act.stage.ledger.of(opened.name).closed = true;
  if (calls->caller.late_replies() > calls->given_up) complain(act, "more replies are late than calls were given up");
  if (act.random.one_in(2)) calls->caller.circuit().finish(); // its handler goes on
  calls->caller.circuit().close();
}

constexpr ActKind own_kinds[] = {{"burst", burst},       {"rattle", rattle},
                                 {"cancel", cancel},     {"cancel", cancel},
                                 {"mood", change_mood},  {"guests", come_and_go},
                                 {"unread", sit_unread}, {"unread", sit_unread},
                                 {"ask", ask},           {"ask", ask},
                                 {"ask", ask},           {"ignore", ignore_errors},
                                 {"upload", upload},     {"upload", upload},
                                 {"download", download}, {"download", download},
                                 {"converse", converse}, {"large", send_large},
                                 {"halve", halve},       {"halve", halve},
                                 {"halve", halve},       {"handover", hand_over},
                                 {"again", open_again},  {"forget", fire_and_forget},
                                 {"begin", begin},       {"wait", wait_for_connection},
                                 {"inn", fill_an_inn},   {"inn", fill_an_inn},
                                 {"visit", visit},       {"refused", be_refused},
                                 {"queue", queue_up},    {"hurry", hurry},
                                 {"hurry", hurry},       {"request", request},
                                 {"call", call},         {"call", call}};

/// All that there are, each as often as it is named.
const ActKind& draw_kind(Random& random) {
  std::uint64_t left = random.below(std::size(own_kinds) + link_acts().size() + handle_acts().size());
  if (left < std::size(own_kinds)) return own_kinds[left];
  left -= std::size(own_kinds);
  return left < link_acts().size() ? link_acts()[left] : handle_acts()[left - link_acts().size()];
}

} // namespace

awaitable<void> act(Actor actor, HonestStage& stage, Random random) {
  const std::string host = actor.host; // a visit goes on under another name
  Act acting(std::move(actor), stage, random());
  const ActKind& kind = draw_kind(acting.random);
  const EndingChecker::Running running(stage.endings, std::string("act ") + kind.name + " on " + acting.actor.host);
  try {
    co_await kind.run(acting);
  } catch (const boost::system::system_error& failure) {
    stage.ledger.failed(host, kind.name, failure);
  }
}

} // namespace trunkline::sim

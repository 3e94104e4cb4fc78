#include "tests/sim/honest_handles.hpp"

#include "async/clock.hpp"
#include "async/signal.hpp"
#include "async/within.hpp"
#include "circuit/caller.hpp"
#include "circuit/typed.hpp"
#include "circuit/while_open.hpp"
#include "fragment/error.hpp"
#include "tests/sim/honest_act.hpp"
#include "tests/sim/streaming.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <google/protobuf/wrappers.pb.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::sim {
namespace {

using namespace asio::experimental::awaitable_operators;

// What a handle says.

void check_names(Act& act, const Opened& opened, const std::string& service) {
  const Circuit& circuit = *opened.circuit;
  const Ledger::Entry& entry = act.stage.ledger.of(opened.name);
  const PeerName& own = circuit.local_peer();
  if (!circuit || !circuit.opened_here() || circuit.id() == 0) complain(act, "circuit " + opened.name + " is not ours");
  if (circuit.name() != opened.name || circuit.user_string() != entry.user_string)
    complain(act, "circuit " + opened.name + " has other names than it was given");
  if (own.id != act.actor.peer->id() || own.service != act.actor.peer->service() ||
      !circuit.local_url().starts_with(own.url) || circuit.remote_peer().service != service)
    complain(act, "circuit " + opened.name + " is between other peers");
  if (circuit.remote_identity()) complain(act, "circuit " + opened.name + " proves who is there, and nothing could");
  if (PeerUrl::parse(circuit.remote_url()).circuit_id() != circuit.id())
    complain(act, "circuit " + opened.name + " has the url " + circuit.remote_url());
  if (circuit.deadline().value_or(TimePoint::max()) != entry.deadline)
    complain(act, "circuit " + opened.name + " has another deadline than it was given");
}

void check_counters(Act& act, const Opened& opened) {
  const Circuit& circuit = *opened.circuit;
  const CircuitCounters& counters = circuit.counters();
  const StreamChecker& streams = act.stage.streams;
  if (counters.fragments_sent != streams.sent_count(opened.name, forth) ||
      counters.fragments_received < streams.received_count(opened.name, back))
    complain(act, "circuit " + opened.name + " counts other fragments than were sent and taken");
}

awaitable<void> look_closely(Act& act, Opened& opened) {
  co_await opened.circuit->accepted();
  check_names(act, opened, "echo");
  co_await send_all(opened.circuit, act.stage, forth, act.random.magnitude(20), 500, Random(act.random()));
  check_counters(act, opened);
  co_await end_well(act, opened, true);
  const End end = co_await opened.circuit->ended();
  const std::optional<End> told_again = opened.circuit->end();
  if (opened.circuit->is_open() || !told_again || told_again->code != end.code)
    complain(act, "circuit " + opened.name + " has ended, and says something else");
  if (!end.clean()) act.stage.ledger.ended(opened.name, end);
  check_counters(act, opened);
}

awaitable<void> look_closely(Act& act) {
  Opening opening("look", "echo", act.draw_host());
  opening.wants_answer = true;
  if (act.random.one_in(2)) opening.deadline = std::chrono::hours(24);
  Opened opened = open(act, opening);
  if (opened.circuit) co_await told(act, opened.name, look_closely(act, opened));
}

// Receiving.

/// Takes what has arrived, and waits only when nothing has.
awaitable<void> poll(Act& act, Opened& opened) {
  HonestStage& stage = act.stage;
  for (;;) {
    std::optional<Fragment> fragment = opened.circuit->try_receive();
    if (!fragment) fragment = co_await opened.circuit->receive();
    if (!fragment) break;
    stage.streams.received(opened.name, back, *fragment);
  }
  stage.streams.end_seen(opened.name, back);
  co_await finish(opened.circuit, stage, forth, false);
}

awaitable<void> poll(Act& act) {
  Opened opened = open(act, Opening("poll", "source", act.draw_host()));
  if (opened.circuit) co_await told(act, opened.name, poll(act, opened));
}

/// Complaints that nobody took in time are dropped, the oldest first: their numbers grow.
class Complaints {
 public:
  Complaints(Act& act, std::string circuit) : act_(act), circuit_(std::move(circuit)) {}

  void take(const Fragment& complaint) {
    if (complaint.part <= last_) complain(act_, "complaints on circuit " + circuit_ + " came out of order");
    last_ = complaint.part;
  }

 private:
  Act& act_;
  std::string circuit_;
  std::int64_t last_ = 0;
};

awaitable<void> send_lines(Act& act, std::shared_ptr<Circuit> circuit, std::uint64_t count) {
  co_await send_all(circuit, act.stage, forth, count, 200, Random(act.random()));
  co_await finish(circuit, act.stage, forth, false);
}

/// Answers and complaints in one coroutine.
awaitable<void> take_either(Act& act, std::shared_ptr<Circuit> circuit) {
  const std::string name = circuit->name();
  Complaints complaints(act, name);
  for (;;) {
    const std::optional<Fragment> fragment = co_await circuit->receive_any();
    if (!fragment) break;
    if (fragment->type() == FragmentType::error) complaints.take(*fragment);
    else act.stage.streams.received(name, back, *fragment);
  }
  act.stage.streams.end_seen(name, back);
}

awaitable<void> hear_complaints(Act& act, std::shared_ptr<Circuit> circuit) {
  Complaints complaints(act, circuit->name());
  for (;;) {
    const std::optional<Fragment> complaint = co_await circuit->receive_error();
    if (!complaint) co_return;
    complaints.take(*complaint);
  }
}

awaitable<void> hear_answers(Act& act, std::shared_ptr<Circuit> circuit) {
  co_await take_all(circuit, act.stage, back, Pace::at_once, Random(0));
}

awaitable<void> side_by_side(awaitable<void> one, awaitable<void> other) {
  auto first = outcome_of(std::move(one));
  auto second = outcome_of(std::move(other));
  const auto results = co_await (std::move(first) && std::move(second));
  if (std::get<0>(results).failure) std::rethrow_exception(std::get<0>(results).failure);
  if (std::get<1>(results).failure) std::rethrow_exception(std::get<1>(results).failure);
}

/// Both in coroutines of their own.
awaitable<void> take_both(Act& act, std::shared_ptr<Circuit> circuit) {
  auto answers = hear_answers(act, circuit);
  auto complaints = hear_complaints(act, circuit);
  co_await side_by_side(std::move(answers), std::move(complaints));
}

awaitable<void> listen_to_errors(Act& act) {
  Opened opened = open(act, Opening("errors", "office", act.draw_host()));
  if (!opened.circuit) co_return;
  const std::uint64_t count = act.random.magnitude(300);
  auto sending = send_lines(act, opened.circuit, count);
  auto taking = act.random.one_in(2) ? take_either(act, opened.circuit) : take_both(act, opened.circuit);
  co_await told(act, opened.name, side_by_side(std::move(sending), std::move(taking)));
}

/// No coroutine waits on the circuit: it calls.
class Hearing final : public CircuitListener {
 public:
  Hearing(HonestStage& stage, std::shared_ptr<Circuit> circuit) : stage_(stage), circuit_(std::move(circuit)) {
    circuit_->set_listener(this);
    take(); // what has arrived already is not announced
  }
  Hearing(const Hearing&) = delete;
  Hearing& operator=(const Hearing&) = delete;
  ~Hearing() { circuit_->set_listener(nullptr); }

  void on_circuit_event(const TrunkEvent&) override {
    take();
    if (!circuit_->is_open()) ended_.notify_all();
  }
  static awaitable<void> ended(std::shared_ptr<Hearing> self) {
    while (self->circuit_->is_open()) co_await self->ended_.wait();
    self->take();
  }

 private:
  void take() {
    for (;;) {
      const std::optional<Fragment> fragment = circuit_->try_receive();
      if (!fragment) return;
      stage_.streams.received(circuit_->name(), back, *fragment);
    }
  }

  HonestStage& stage_;
  std::shared_ptr<Circuit> circuit_;
  Signal ended_;
};

awaitable<void> be_called(Act& act, Opened& opened) {
  HonestStage& stage = act.stage;
  const auto hearing = std::make_shared<Hearing>(stage, opened.circuit);
  const std::uint64_t count = act.random.magnitude(40);
  for (std::uint64_t i = 0; i < count; ++i) { // no more than is read at once
    Fragment question = stage.streams.next(opened.name, forth, 100);
    if (opened.circuit->send_one_way(question) != SendOutcome::queued) break;
    stage.streams.sent(opened.name, forth, 100);
  }
  co_await finish(opened.circuit, stage, forth, false);
  co_await Hearing::ended(hearing);
  const End end = opened.circuit->end().value_or(End());
  if (end.clean()) stage.streams.end_seen(opened.name, back);
  else stage.ledger.ended(opened.name, end);
}

awaitable<void> be_called(Act& act) {
  Opened opened = open(act, Opening("called", "echo", act.draw_host()));
  if (opened.circuit) co_await told(act, opened.name, be_called(act, opened));
}

// Sending.

/// As fast as it goes, and waits only where it must.
awaitable<void> gush(Act& act, Opened& opened) {
  HonestStage& stage = act.stage;
  const std::uint64_t count = act.random.magnitude(2000);
  const std::size_t most = act.random.magnitude(500);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::size_t bytes = std::min(most, opened.circuit->credit_bytes());
    Fragment fragment = stage.streams.next(opened.name, forth, bytes);
    if (opened.circuit->congested() || opened.circuit->send_one_way(fragment) != SendOutcome::queued)
      co_await opened.circuit->send(std::move(fragment));
    stage.streams.sent(opened.name, forth, bytes);
  }
  co_await end_well(act, opened, true);
}

awaitable<void> gush(Act& act) {
  Opened opened = open(act, Opening("gush", "sink", act.draw_host()));
  if (opened.circuit) co_await told(act, opened.name, gush(act, opened));
}

/// Closes with a reason, which comes behind all that was sent.
awaitable<void> part_with_words(Act& act, Opened& opened) {
  HonestStage& stage = act.stage;
  co_await send_all(opened.circuit, stage, forth, act.random.magnitude(30), 3000, Random(act.random()));
  stage.streams.finished(opened.name, forth);
  stage.ledger.of(opened.name).closed = true;
  opened.circuit->close(End(error::circuit_closed, opened.name + last_words));
  co_await hear_end(act, opened);
}

awaitable<void> part_with_words(Act& act) {
  Opened opened = open(act, Opening("part", "sink", act.draw_host()));
  if (opened.circuit) co_await told(act, opened.name, part_with_words(act, opened));
}

// Requests.

awaitable<void> hear_no(Act& act, const std::string& host, const std::string& name) {
  Fragment question(3, Payload(name));
  act.stage.ledger.of(name).closed = true;
  try {
    const bool is_named = act.random.one_in(2);
    CircuitOptions options(name);
    auto asking = is_named
                      ? act.actor.peer->request("sim://" + host, "refuser", std::move(question), std::move(options))
                      : act.actor.peer->request("sim://" + host, "refuser", std::move(question));
    const Fragment reply = co_await std::move(asking);
    complain(act, "a request that was answered with an error returned " + std::string(reply.payload.text()));
  } catch (const ErrorReply& refused) {
    if (refused.code() != error::answered_with_error || refused.reply().err != "no to " + name)
      complain(act, "a request got the error of another: " + refused.reply().err);
  }
}

/// The answer is an error.
awaitable<void> hear_no(Act& act) {
  const std::string host = act.draw_host();
  const std::string name = act.stage.ledger.open("no", act.actor.host, host);
  co_await told(act, name, hear_no(act, host, name));
}

awaitable<void> call_once(Act& act, Opened& opened, std::uint64_t number, Duration time) {
  const std::string words = "call " + std::to_string(number) + " on " + opened.name;
  Fragment question(3, Payload(words));
  auto calling = call(*opened.circuit, std::move(question), time);
  const trunkline::Outcome<Fragment> reply = co_await outcome_of(std::move(calling));
  if (reply.failure && time != Duration::max() && is_timed_out(reply.failure)) co_return;
  if (reply.failure) std::rethrow_exception(reply.failure);
  if (!(reply.value->payload == Payload(words))) complain(act, "a call on " + opened.name + " got another's reply");
}

awaitable<void> call_in_turn(Act& act, Opened& opened) {
  const std::uint64_t count = act.random.magnitude(20);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Duration time = act.random.one_in(3) ? act.draw_time(500'000) : Duration::max();
    co_await call_once(act, opened, i, time);
  }
  act.stage.ledger.of(opened.name).closed = true;
  opened.circuit->close();
}

/// One call after the other on a circuit.
awaitable<void> call_in_turn(Act& act) {
  Opened opened = open(act, Opening("turns", act.random.one_in(2) ? "calls" : "answers", act.draw_host()));
  if (!opened.circuit) co_return;
  co_await told(act, opened.name, call_in_turn(act, opened));
  act.stage.ledger.of(opened.name).closed = true; // the handle goes, whatever came
}

awaitable<void> count_letters(Act& act, Opened& opened) {
  Circuit& circuit = *opened.circuit;
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{20'000}}) {
    google::protobuf::StringValue text;
    text.set_value(std::string(size, 'x'));
    co_await send_message(circuit, 6, text);
    const auto count = co_await receive_message<google::protobuf::UInt64Value>(circuit);
    if (!count || count->value() != size) complain(act, "a message on circuit " + opened.name + " changed on its way");
  }
  act.stage.ledger.of(opened.name).closed = true;
  circuit.close();
}

/// Protobuf messages.
awaitable<void> count_letters(Act& act) {
  Opened opened = open(act, Opening("letters", "letters", act.draw_host()));
  if (!opened.circuit) co_return;
  co_await told(act, opened.name, count_letters(act, opened));
  act.stage.ledger.of(opened.name).closed = true;
}

/// Asks one who asks another one, in the time that there is.
awaitable<void> ask_around(Act& act) {
  Opening opening("around", "relay", act.draw_host());
  opening.first = 20;
  if (act.random.one_in(2)) opening.deadline = act.draw_time(10'000'000);
  Opened opened = open(act, opening);
  if (!opened.circuit) co_return;
  co_await told(act, opened.name, take_answer(act, opened));
  act.stage.ledger.of(opened.name).closed = true; // a deadline may have passed first
}

// Work beside a circuit.

awaitable<void> work(Act& act, Opened& opened) {
  const Duration time = act.draw_time(5'000'000);
  const TimePoint before = act.stage.world.now();
  auto working = sleep_for(time);
  co_await while_open(*opened.circuit, std::move(working));
  if (act.stage.world.now() - before < time) complain(act, "work beside circuit " + opened.name + " was cut short");
  co_await take_answer(act, opened);
}

/// Works for as long as somebody may want to know, on both sides.
awaitable<void> work(Act& act) {
  Opening opening("work", "worker", act.draw_host());
  opening.first = 50;
  Opened opened = open(act, opening);
  if (!opened.circuit) co_return;
  if (act.random.one_in(3)) {
    co_await sleep_for(act.draw_time(3'000'000));
    abandon(act, opened);
  } else {
    co_await told(act, opened.name, work(act, opened));
  }
}

awaitable<void> run_errand(std::shared_ptr<std::uint64_t> running, Duration time) {
  struct Counted {
    std::shared_ptr<std::uint64_t> count;
    explicit Counted(std::shared_ptr<std::uint64_t> in) : count(std::move(in)) { ++*count; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    ~Counted() { --*count; }
  } counted(std::move(running));
  co_await sleep_for(time);
}

/// Tasks of a peer, which end with it.
awaitable<void> run_errands(Act& act) {
  const std::shared_ptr<LocalPeer> peer = new_peer(act);
  if (!peer) co_return;
  const auto running = std::make_shared<std::uint64_t>(0);
  const std::uint64_t count = act.random.magnitude(20);
  for (std::uint64_t i = 0; i < count; ++i) peer->spawn(run_errand(running, act.draw_time(5'000'000)));
  co_await sleep_for(act.draw_time(3'000'000));
  peer->close();
  co_await peer->ended();
  if (*running != 0) complain(act, "tasks of a peer that has ended go on");
}

/// The short form of a service.
awaitable<void> be_served(Act& act) {
  Opening opening("served", act.random.one_in(2) ? "served" : "served few", act.draw_host());
  const std::uint64_t count = act.draw_count(20);
  std::vector<Opened> all;
  for (std::uint64_t i = 0; i < count; ++i) {
    opening.first = act.random.magnitude(400);
    all.push_back(open(act, opening));
  }
  for (Opened& opened : all) {
    if (!opened.circuit) continue;
    note_unread(act, opened);
    co_await told(act, opened.name, take_answer(act, opened));
  }
}

constexpr ActKind kinds[] = {{"look", look_closely},   {"poll", poll},          {"errors", listen_to_errors},
                             {"called", be_called},    {"gush", gush},          {"part", part_with_words},
                             {"no", hear_no},          {"turns", call_in_turn}, {"letters", count_letters},
                             {"around", ask_around},   {"around", ask_around},  {"work", work},
                             {"errands", run_errands}, {"served", be_served}};

} // namespace

std::span<const ActKind> handle_acts() { return kinds; }

} // namespace trunkline::sim

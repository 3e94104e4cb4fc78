#include "tests/sim/honest_act.hpp"

#include "circuit/circuit_ended.hpp"
#include "fragment/error.hpp"
#include "tests/sim/streaming.hpp"

#include <boost/asio/multiple_exceptions.hpp>

#include <algorithm>
#include <utility>

namespace trunkline::sim {

namespace {

std::string draw_user_string(Act& act, const Opening& opening) {
  if (opening.user_string) return *opening.user_string;
  if (!act.random.one_in(4)) return {};
  const Ledger& ledger = act.stage.ledger;
  const std::size_t most = std::min({std::size_t{200}, ledger.limits_of(act.actor.host).user_string_bytes_max,
                                     ledger.limits_of(opening.host).user_string_bytes_max});
  return std::string(act.random.below(most + 1), 'u');
}

Circuit open_in_its_way(Act& act, LocalPeer& peer, const Opening& opening, std::optional<Fragment> first,
                        CircuitOptions options) {
  const std::string address = "sim://" + opening.host;
  if (opening.starts) return peer.start(address, opening.service, std::move(first), std::move(options));
  if (!opening.url && act.random.one_in(2))
    return peer.join_or_start(address, opening.service, std::move(first), std::move(options));
  const PeerUrl url = opening.url ? *opening.url : PeerUrl(address, opening.service, PeerId());
  if (first) return peer.new_circuit(url, std::move(*first), std::move(options));
  return peer.new_circuit(url, std::move(options));
}

} // namespace

Opened open(Act& act, LocalPeer& peer, const Opening& opening) {
  HonestStage& stage = act.stage;
  const std::string name = stage.ledger.open(opening.kind, act.actor.host, opening.host);
  Ledger::Entry& entry = stage.ledger.of(name);
  entry.refusal = opening.refusal;
  entry.user_string = draw_user_string(act, opening);
  std::optional<Fragment> first;
  if (opening.first) first = stage.streams.next(name, forth, *opening.first);
  CircuitOptions options(name, entry.user_string, opening.wants_answer);
  if (opening.deadline != Duration::max()) {
    entry.deadline = stage.world.now() + opening.deadline;
    if (act.random.one_in(2)) options.deadline = opening.deadline;
    else options.not_after = entry.deadline;
  }
  try {
    Circuit circuit = open_in_its_way(act, peer, opening, std::move(first), std::move(options));
    if (opening.first) stage.streams.sent(name, forth, *opening.first);
    stage.watch(circuit.trunk(), act.actor.host);
    auto kept = std::make_shared<Circuit>(std::move(circuit));
    stage.circuits[name] = kept;
    return Opened(name, std::move(kept));
  } catch (const boost::system::system_error& failure) {
    stage.ledger.ended(name, failure);
    return Opened(name, nullptr);
  }
}

Opened open(Act& act, const Opening& opening) { return open(act, *act.actor.peer, opening); }

std::shared_ptr<LocalPeer> new_peer(Act& act) {
  const std::shared_ptr<Node> node = act.actor.node.lock();
  return node ? node->new_peer("guest") : nullptr;
}

void leave_behind(Act& act, Opened& opened) {
  Ledger::Entry& entry = act.stage.ledger.of(opened.name);
  entry.closed = true;
  entry.is_left_behind = true;
  act.stage.streams.finished(opened.name, forth);
  opened.circuit->finish();
  opened.circuit.reset();
}

void abandon(Act& act, Opened& opened) {
  act.stage.ledger.of(opened.name).given_up = true;
  if (act.random.one_in(2)) opened.circuit->reset(given_up(opened.name));
  opened.circuit.reset();
}

awaitable<void> hear_end(Act& act, Opened& opened) {
  const End end = co_await opened.circuit->ended();
  act.stage.ledger.ended(opened.name, end);
}

awaitable<void> take_rest(Act& act, Opened& opened) {
  co_await take_all(opened.circuit, act.stage, back, Pace::at_once, Random(0));
}

awaitable<void> end_well(Act& act, Opened& opened, bool wait) {
  co_await finish(opened.circuit, act.stage, forth, wait);
  co_await take_rest(act, opened);
}

awaitable<void> take_answer(Act& act, Opened& opened) {
  std::optional<Fragment> answer = co_await opened.circuit->receive();
  if (!answer) {
    complain(act, "circuit " + opened.name + " ended cleanly without an answer");
    co_return;
  }
  act.stage.streams.received(opened.name, back, *answer);
  Ledger::Entry& entry = act.stage.ledger.of(opened.name);
  switch (act.random.below(4)) {
    case 0: // its handle goes
      entry.given_up = true;
      opened.circuit.reset();
      break;
    case 1:
      entry.closed = true;
      act.stage.streams.finished(opened.name, forth);
      opened.circuit->close();
      opened.circuit.reset();
      break;
    case 2: leave_behind(act, opened); break;
    default: co_await end_well(act, opened, false); break;
  }
}

awaitable<void> told(Act& act, std::string name, awaitable<void> body) {
  try {
    try {
      co_await std::move(body);
    } catch (const asio::multiple_exceptions& several) { // both directions at once
      std::rethrow_exception(several.first_exception());
    }
  } catch (const boost::system::system_error& failure) {
    const auto ended = circuit_end_of(std::current_exception());
    if (is_circuit_end(failure) != (ended != nullptr)) complain(act, "whether a circuit ended depends on who is asked");
    if (ended && !ended->names().name.empty() && ended->names().name != name)
      complain(act, "circuit " + name + " was told of the end of circuit " + ended->names().name);
    act.stage.ledger.ended(name, failure);
  }
}

void note_unread(Act& act, const Opened& opened) {
  Ledger::Entry& entry = act.stage.ledger.of(opened.name);
  entry.pause_max = std::max(entry.pause_max, Duration(act.stage.world.now() - entry.opened_at));
}

bool is_timed_out(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const boost::system::system_error& thrown) {
    return thrown.code() == error::timed_out;
  }
}

void complain(Act& act, const std::string& what) { act.stage.violations.report(what + ", on " + act.actor.host); }

} // namespace trunkline::sim

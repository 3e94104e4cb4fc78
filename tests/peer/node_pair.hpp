// Two nodes on one context, and scenarios that are written once and run from both sides.
//
// A scenario is a coroutine over a NodePair: it speaks of `here` and `there` and never asks who dialled. `both_ways`
// runs it twice over memory, with either node dialling the other; `everywhere` also over tcp, unix sockets and TLS. After
// the scenario both nodes are closed, and the run must come to its end by itself.
#pragma once

#include "async/signal.hpp"
#include "async/within.hpp"
#include "circuit/trunk.hpp"
#include "peer/node.hpp"
#include "tests/support/coroutine.hpp"
#include "tests/support/log_lines.hpp"
#include "tests/support/seed.hpp"
#include "transport/memory.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::test {

/// What a test does to the options of both nodes before they are made.
using Tweak = std::function<void(NodeOptions&)>;

class NodePair {
 public:
  enum class Dialler { here, there };

  explicit NodePair(Dialler who, std::string_view scheme = "mem", const Tweak& tweak = {})
      : dialler(who), encrypted(scheme == "tls"), here(make_node("here", tweak)), there(make_node("there", tweak)) {
    Node& listener = who == Dialler::here ? there : here;
    std::string address = scheme == "mem"    ? std::string("mem://listener")
                          : scheme == "unix" ? "unix:/tmp/trunkline-test-" + std::to_string(::getpid()) + ".sock"
                                             : std::string(scheme) + "://127.0.0.1:0";
    address = listener.listen(address);
    there_address = who == Dialler::here ? address : "node://" + there.id().to_string();
    here_address = who == Dialler::here ? "node://" + here.id().to_string() : address;
  }

  /// Makes the trunk between both, and waits until both have heard the other's Hello.
  awaitable<void> meet() {
    return dialler == Dialler::here ? dial(here, there_address, there) : dial(there, here_address, here);
  }
  PeerUrl url_there(const LocalPeer& peer) const { return PeerUrl(there_address, peer.service(), peer.id()); }
  PeerUrl url_here(const LocalPeer& peer) const { return PeerUrl(here_address, peer.service(), peer.id()); }

  asio::io_context io{1};
  std::shared_ptr<MemoryMedium> memory = std::make_shared<MemoryMedium>();
  LogLines log;
  Dialler dialler;
  bool encrypted; // over TLS: each trusts the other's key and no other
  bool exposed = false; // expose_errors is on
  Node here;
  Node there;
  std::string here_address;  // under which `there` reaches `here`
  std::string there_address; // and the other way round

 private:
  static awaitable<void> dial(Node& node, std::string address, Node& dialled) {
    co_await node.dial(std::move(address));
    while (dialled.counters().trunks_open == 0 && node.links_count() > 0) co_await asio::post(asio::use_awaitable);
  }

  static std::shared_ptr<Identity> identity_of(const std::string& name) {
    static const IdentityKey key_here = IdentityKey::draw();
    static const IdentityKey key_there = IdentityKey::draw();
    const bool is_here = name == "here";
    TrustOptions trust;
    trust.pins.push_back((is_here ? key_there : key_here).id());
    return std::make_shared<Identity>(is_here ? key_here : key_there, std::move(trust));
  }

  Node make_node(const std::string& name, const Tweak& tweak) {
    NodeOptions options;
    options.name = name;
    options.media["mem"] = memory;
    options.log = log.sink(name);
    if (encrypted) options.identity = identity_of(name);
    if (tweak) tweak(options);
    exposed = options.expose_errors;
    return Node(io.get_executor(), std::move(options));
  }
};

using Scenario = awaitable<void> (*)(NodePair&);

inline awaitable<void> meet_and_run(NodePair& pair, Scenario scenario) {
  co_await pair.meet();
  co_await scenario(pair);
  co_await pair.here.close();
  co_await pair.there.close();
}

inline void run(Scenario scenario, NodePair::Dialler dialler, std::string_view scheme, const Tweak& tweak) {
  NodePair pair(dialler, scheme, tweak);
  INFO(scheme, dialler == NodePair::Dialler::here ? ": here dials there" : ": there dials here");
  run_coroutine(pair.io, meet_and_run(pair, scenario));
}

inline void both_ways(Scenario scenario, const Tweak& tweak = {}) {
  run(scenario, NodePair::Dialler::here, "mem", tweak);
  run(scenario, NodePair::Dialler::there, "mem", tweak);
}

inline void everywhere(Scenario scenario, const Tweak& tweak = {}) {
  for (const char* scheme : {"mem", "tcp", "unix", "tls"}) {
    run(scenario, NodePair::Dialler::here, scheme, tweak);
    run(scenario, NodePair::Dialler::there, scheme, tweak);
  }
}

/// A service that keeps every circuit it is given, so that a test holds both ends in its hands.
class Keeper {
 public:
  /// The function to register; every instance of it hands its circuits to this keeper.
  PeerServiceFunc service() const {
    return [state = state_](LocalPeer& peer, CircuitInbox& inbox) { return keep(state, peer, inbox); };
  }
  /// The oldest circuit that was not asked for yet; waits for it.
  awaitable<Circuit> next() { return next(state_); }
  awaitable<void> ended(int instances) { return ended(state_, instances); }
  std::size_t waiting() const noexcept { return state_->circuits.size(); }
  int started() const noexcept { return state_->started; }
  int ended() const noexcept { return state_->ended; }

 private:
  struct State {
    std::vector<Circuit> circuits;
    int started = 0;
    int ended = 0;
    Signal changed;
  };

  static awaitable<void> keep(std::shared_ptr<State> state, LocalPeer&, CircuitInbox& inbox) {
    struct Ending {
      State& state;
      ~Ending() {
        ++state.ended;
        state.changed.notify_all();
      }
    } ending{*state};
    ++state->started;
    for (;;) {
      std::optional<Circuit> circuit = co_await inbox.next();
      if (!circuit) co_return;
      state->circuits.push_back(std::move(*circuit));
      state->changed.notify_all();
    }
  }
  static awaitable<Circuit> next(std::shared_ptr<State> state) {
    while (state->circuits.empty()) co_await state->changed.wait();
    Circuit circuit = std::move(state->circuits.front());
    state->circuits.erase(state->circuits.begin());
    co_return circuit;
  }
  static awaitable<void> ended(std::shared_ptr<State> state, int instances) {
    while (state->ended < instances) co_await state->changed.wait();
  }

  std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// Sends back whatever arrives, until the far side has finished.
inline awaitable<void> echo(Circuit circuit) {
  for (;;) {
    std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) co_return;
    co_await circuit.send(std::move(*fragment));
  }
}

/// The code that an operation failed with; success when it did not fail.
template <class T> awaitable<boost::system::error_code> failure_of(awaitable<T> operation) {
  boost::system::error_code code;
  try {
    co_await std::move(operation);
  } catch (const boost::system::system_error& thrown) {
    code = thrown.code();
  }
  co_return code;
}

/// The payload as text; "(end)" for nullopt.
inline std::string text_of(const std::optional<Fragment>& fragment) {
  return fragment ? std::string(fragment->payload.text()) : "(end)";
}

/// Lets everything that is ready run, a good number of handlers' turns.
inline awaitable<void> settle() {
  for (int turn = 0; turn < 50; ++turn) co_await asio::post(asio::use_awaitable);
}

} // namespace trunkline::test

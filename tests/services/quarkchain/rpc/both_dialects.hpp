// One scenario over both dialects: two ends of a connection with rpc on it, over the cluster framing and over a native
// trunk between two nodes, in a simulated world. A scenario speaks of `here` and `there` and never asks which it is, or
// who dialled.
#pragma once

#include "peer/node.hpp"
#include "services/quarkchain/cluster/cluster_connection.hpp"
#include "services/quarkchain/protocol/route.hpp"
#include "services/quarkchain/rpc/rpc.hpp"
#include "transport/sim/world.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::quarkchain::test {

/// The two ends, and how a virtual peer comes to be on both of them.
class Ends {
 public:
  Ends(sim::World& of, std::shared_ptr<RpcServer> server_here, std::shared_ptr<RpcServer> server_there)
      : world(of), serves_here(std::move(server_here)), serves_there(std::move(server_there)) {}
  virtual ~Ends() = default;
  virtual awaitable<void> meet() = 0;
  /// Both ends of a virtual peer, with these servers.
  virtual awaitable<std::pair<std::shared_ptr<RpcCircuit>, std::shared_ptr<RpcCircuit>>> meet_on(
      Route route, std::shared_ptr<RpcServer> server_here, std::shared_ptr<RpcServer> server_there) = 0;
  virtual awaitable<void> part() = 0;

  sim::World& world;
  std::shared_ptr<RpcServer> serves_here;
  std::shared_ptr<RpcServer> serves_there;
  std::shared_ptr<RpcCircuit> here;
  std::shared_ptr<RpcCircuit> there;
};

class ClusterEnds final : public Ends {
 public:
  ClusterEnds(sim::World& of, std::shared_ptr<RpcServer> server_here, std::shared_ptr<RpcServer> server_there,
              bool dials)
      : Ends(of, std::move(server_here), std::move(server_there)), here_(of.executor(), options(of, "here")),
        there_(of.executor(), options(of, "there")), here_dials_(dials) {}

  awaitable<void> meet() override {
    ClusterConnections& listener = here_dials_ ? there_ : here_;
    ClusterConnections& dialler = here_dials_ ? here_ : there_;
    const std::string host = here_dials_ ? "there" : "here";
    std::shared_ptr<ClusterConnection> accepted;
    Signal came;
    listener.listen("sim://" + host, [&](std::unique_ptr<Transport> transport) {
      accepted = listener.adopt(std::move(transport), Framing::cluster, here_dials_ ? serves_there : serves_here);
      came.notify_all();
    });
    const auto& serves_dialler = here_dials_ ? serves_here : serves_there;
    const auto dialled = co_await dialler.dial("sim://" + host, Framing::cluster, serves_dialler);
    while (!accepted) co_await came.wait();
    here = (here_dials_ ? dialled : accepted)->control();
    there = (here_dials_ ? accepted : dialled)->control();
  }
  awaitable<std::pair<std::shared_ptr<RpcCircuit>, std::shared_ptr<RpcCircuit>>> meet_on(
      Route route, std::shared_ptr<RpcServer> server_here, std::shared_ptr<RpcServer> server_there) override {
    std::pair both(RpcCircuit::start(here->new_circuit(to_text(route)), std::move(server_here)),
                   RpcCircuit::start(there->new_circuit(to_text(route)), std::move(server_there)));
    co_return both;
  }
  awaitable<void> part() override {
    co_await here_.close();
    co_await there_.close();
  }

 private:
  static ClusterConnectionsOptions options(sim::World& world, const std::string& host) {
    ClusterConnectionsOptions options;
    options.media["sim"] = world.medium(host);
    return options;
  }
  ClusterConnections here_;
  ClusterConnections there_;
  bool here_dials_;
};

class NativeEnds final : public Ends {
 public:
  NativeEnds(sim::World& of, std::shared_ptr<RpcServer> server_here, std::shared_ptr<RpcServer> server_there,
             bool dials)
      : Ends(of, std::move(server_here), std::move(server_there)), here_(of.executor(), options(of, "here")),
        there_(of.executor(), options(of, "there")), here_dials_(dials) {}

  awaitable<void> meet() override {
    Node& listener = here_dials_ ? there_ : here_;
    Node& dialler = here_dials_ ? here_ : there_;
    const std::string host = here_dials_ ? "there" : "here";
    listener.register_service("quarkchain", [this](LocalPeer&, CircuitInbox& inbox) { return keep(this, inbox); });
    const std::string address = listener.listen("sim://" + host);
    peer_ = dialler.new_peer("dialler");
    Circuit circuit = peer_->join_or_start(address, "quarkchain", std::nullopt, CircuitOptions(to_text(Route())));
    co_await circuit.accepted();
    Circuit accepted = co_await taken(Route());
    here = RpcCircuit::start(here_dials_ ? std::move(circuit) : std::move(accepted), serves_here);
    there = RpcCircuit::start(here_dials_ ? std::move(accepted) : std::move(circuit), serves_there);
  }
  awaitable<std::pair<std::shared_ptr<RpcCircuit>, std::shared_ptr<RpcCircuit>>> meet_on(
      Route route, std::shared_ptr<RpcServer> server_here, std::shared_ptr<RpcServer> server_there) override {
    Circuit opened = (here_dials_ ? here : there)->new_circuit(to_text(route));
    Circuit accepted = co_await taken(route);
    std::pair both(RpcCircuit::start(here_dials_ ? std::move(opened) : std::move(accepted), std::move(server_here)),
                   RpcCircuit::start(here_dials_ ? std::move(accepted) : std::move(opened), std::move(server_there)));
    co_return both;
  }
  awaitable<void> part() override {
    peer_.reset();
    co_await here_.close();
    co_await there_.close();
  }

 private:
  static NodeOptions options(sim::World& world, const std::string& host) {
    NodeOptions options;
    options.media["sim"] = world.medium(host);
    options.random = world.random(host);
    return options;
  }
  static awaitable<void> keep(NativeEnds* self, CircuitInbox& inbox) {
    for (;;) {
      std::optional<Circuit> circuit = co_await inbox.next();
      if (!circuit) co_return;
      const std::string name = circuit->name();
      self->came_.emplace(name, std::move(*circuit));
      self->changed_.notify_all();
    }
  }
  awaitable<Circuit> taken(Route route) {
    while (!came_.contains(to_text(route))) co_await changed_.wait();
    Circuit circuit = std::move(came_.at(to_text(route)));
    came_.erase(to_text(route));
    co_return circuit;
  }

  Node here_;
  Node there_;
  bool here_dials_;
  std::shared_ptr<LocalPeer> peer_;
  std::map<std::string, Circuit> came_;
  Signal changed_;
};

/// What both ends saw, in order for each end; a scenario writes it and it must be the same over everything.
struct Transcript {
  std::vector<std::string> here;
  std::vector<std::string> there;
  friend bool operator==(const Transcript&, const Transcript&) = default;
  std::string text() const {
    std::string all;
    for (const auto& line : here) all += "here: " + line + "\n";
    for (const auto& line : there) all += "there: " + line + "\n";
    return all;
  }
};

using RpcScenario = awaitable<void> (*)(Ends&, Transcript&);
using ServerOf = std::shared_ptr<RpcServer> (*)(std::vector<std::string>& seen, sim::World& world);

inline awaitable<void> play(Ends& ends, RpcScenario scenario, Transcript& transcript) {
  co_await ends.meet();
  co_await scenario(ends, transcript);
  ends.here->close();
  ends.there->close();
  co_await ends.part();
}

template <class Made> Transcript run_over(RpcScenario scenario, ServerOf server, bool here_dials) {
  Transcript transcript;
  sim::World world(11);
  {
    Made ends(world, server(transcript.here, world), server(transcript.there, world), here_dials);
    world.run(play(ends, scenario, transcript));
  }
  return transcript;
}

/// Runs it four times and returns what was seen, which was the same each time.
inline Transcript over_both(RpcScenario scenario, ServerOf server) {
  const Transcript first = run_over<ClusterEnds>(scenario, server, true);
  for (const bool here_dials : {true, false}) {
    CAPTURE(here_dials);
    CHECK(run_over<ClusterEnds>(scenario, server, here_dials).text() == first.text());
    CHECK(run_over<NativeEnds>(scenario, server, here_dials).text() == first.text());
  }
  return first;
}

} // namespace trunkline::quarkchain::test

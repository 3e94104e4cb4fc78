#include "services/quarkchain/trunk/cluster_circuits.hpp"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::quarkchain {
namespace {

std::string cut(std::string text) {
  constexpr std::size_t text_bytes_max = 64;
  if (text.size() > text_bytes_max) text.resize(text_bytes_max);
  return text;
}

} // namespace

ClusterCircuits::ClusterCircuits(ClusterWhole& whole)
    : whole_(whole), table_(whole.counters.circuits_held), control_(&add(Route(), true, nullptr)) {}

bool ClusterCircuits::is_full() const noexcept {
  // The control circuit is one of them.
  return table_.size() > whole_.options.limits.circuits_max + static_cast<std::size_t>(off_by_one("cluster circuits"));
}

ClusterCircuit& ClusterCircuits::add(const Route& route, bool opened_here, const OpenRequest* request) {
  auto names = std::make_shared<CircuitNames>();
  names->local = request && request->from ? request->from : whole_.options.local;
  names->remote = whole_.options.remote;
  names->circuit_id = ++id_last_;
  names->name = to_text(route);
  if (request) names->user_string = request->user_string; // stays here
  ClusterCircuit& circuit = table_.add(id_last_, opened_here, route);
  circuit.answer = Answer::unasked; // the protocol has none
  circuit.names = std::move(names);
  table_.enter(route, circuit);
  if (circuit.names->local) table_.join_peer(circuit);
  return circuit;
}

ClusterCircuit& ClusterCircuits::open_nowhere(const OpenRequest& request) {
  auto names = std::make_shared<CircuitNames>();
  names->local = request.from ? request.from : whole_.options.local;
  names->remote = whole_.options.remote;
  names->name = request.name;
  ClusterCircuit& circuit = table_.add(CircuitId{0}, true, Route());
  circuit.names = std::move(names);
  return circuit;
}

End ClusterCircuits::why_not_open(const OpenRequest& request, Route& route) const {
  const ClusterMachineOptions& options = whole_.options;
  const std::optional<Route> asked = parse_route(request.name);
  const bool possible = asked && !asked->is_control() && options.framing != Framing::slave &&
                        (options.framing == Framing::cluster) == (asked->cluster_peer_id != 0);
  if (!possible)
    return End(error::no_service, fmt::format("\"{}\" names no circuit of a connection of the {} framing{}",
                                              cut(request.name), to_string(options.framing), whole_.from()));
  if (!options.has_branch(asked->branch))
    return End(error::no_service,
               fmt::format("branch 0x{:08x} is not one of the {} configured", asked->branch, options.branches->size()));
  if (table_.contains(*asked)) return End(error::already_registered, describe(*asked) + " is open already");
  if (is_full())
    return End(error::circuit_limit_reached,
               fmt::format("{} would exceed circuits_max {}", describe(*asked), options.limits.circuits_max));
  route = *asked;
  return End();
}

ClusterCircuit* ClusterCircuits::find_for(const FrameHeader& header, bool draining) {
  const ClusterMachineOptions& options = whole_.options;
  Route route(header.branch, header.cluster_peer_id);
  if (options.framing == Framing::cluster && header.cluster_peer_id == 0)
    route.branch = 0; // said between the processes
  if (route.is_control()) return control_;
  if (ClusterCircuit* const found = table_.find(route)) return found;

  if (!options.has_branch(route.branch)) {
    ++whole_.cluster_counters.frames_for_unknown_branches;
    whole_.violate(error::protocol_error,
                   fmt::format("frame with opcode {} for {}, which is not one of the {} configured branches",
                               header.opcode, describe(route), options.branches->size()));
    return nullptr;
  }
  const bool opens = options.framing == Framing::p2p || allowed_peers_.contains(route.cluster_peer_id);
  if (!opens || draining || is_full()) {
    ++whole_.cluster_counters.frames_for_unknown_peers;
    ++whole_.counters.frames_for_forgotten_circuits;
    return nullptr;
  }
  ClusterCircuit& circuit = add(route, false, nullptr);
  TrunkEvent& event = whole_.emit(TrunkEvent::Kind::opened, &circuit);
  event.open = std::make_unique<OpenRequest>();
  event.open->from = options.remote;
  event.open->name = circuit.names->name;
  return &circuit;
}

void ClusterCircuits::bury(ClusterCircuit& circuit) {
  if (&circuit == control_) control_ = nullptr;
  table_.bury(circuit);
}

void ClusterCircuits::check(bool full) const {
  invariant(table_.size() <= std::size_t{1} + whole_.options.limits.circuits_max,
            "cluster circuits: virtual peers <= circuits_max");
  table_.check(full);
}

} // namespace trunkline::quarkchain

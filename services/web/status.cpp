#include "services/web/status.hpp"

#include "async/clock.hpp"
#include "circuit/trunk.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::web {
namespace {

enum Op : std::int32_t { op_ask = 1, op_node = 2, op_link = 3, op_circuit = 4, op_done = 5 };

void set(Fragment& fragment, std::string_view key, std::uint64_t number) {
  fragment.args.set(key, std::to_string(number));
}

void set_flag(Fragment& fragment, std::string_view key, bool is_set) {
  if (is_set) fragment.args.set(key, "1");
}

Fragment node_of(const Node& node, const std::string& name) {
  const NodeCounters counters = node.counters();
  Fragment fragment(op_node);
  if (!name.empty()) fragment.args.set("name", name);
  fragment.args.set("id", node.id().to_string());
  set(fragment, "links", counters.trunks_open);
  set(fragment, "trunks_lost", counters.trunks_lost);
  set(fragment, "circuits_refused", counters.circuits_refused);
  return fragment;
}

Fragment link_of(const LinkInfo& link, std::int64_t number, bool is_askers) {
  Fragment fragment(op_link);
  fragment.part = number;
  fragment.args.set("name", link.name);
  fragment.args.set("id", link.node.to_string());
  fragment.args.set("remote", link.remote);
  set_flag(fragment, "dialled", link.dialled);
  set_flag(fragment, "draining", link.draining);
  set_flag(fragment, "yours", is_askers);
  set(fragment, "round_trip_us", static_cast<std::uint64_t>(link.counters.round_trip.count() / 1000));
  set(fragment, "bytes_sent", link.counters.bytes_sent);
  set(fragment, "bytes_received", link.counters.bytes_received);
  return fragment;
}

Fragment circuit_of(const Machine& machine, const TrunkCircuit& circuit) {
  Fragment fragment(op_circuit);
  fragment.part = static_cast<std::int64_t>(circuit.id);
  fragment.args.set("service", circuit.names->local->service);
  fragment.args.set("remote_service", circuit.names->remote->service);
  fragment.args.set("name", circuit.names->name);
  set_flag(fragment, "opened_here", circuit.opened_here);
  set(fragment, "fragments_sent", circuit.counters.fragments_sent);
  set(fragment, "fragments_received", circuit.counters.fragments_received);
  set(fragment, "bytes_sent", circuit.counters.bytes_sent);
  set(fragment, "bytes_received", circuit.counters.bytes_received);
  set(fragment, "credit", machine.credit_bytes(circuit));
  return fragment;
}

/// Everything as it is now, before anything is sent: sending waits, and the circuits go on meanwhile.
std::vector<Fragment> snapshot(const Node& node, const Circuit& asker, const StatusOptions& options) {
  std::vector<Fragment> all;
  all.push_back(node_of(node, options.name));
  const auto peers = node.local_peers();
  std::uint64_t more = 0;
  std::int64_t number = 0;
  std::vector<TrunkCircuit*> circuits;
  for (const LinkInfo& link : node.links()) {
    all.push_back(link_of(link, number++, link.trunk == asker.trunk()));
    std::size_t said = 0;
    for (const auto& peer : peers) {
      link.trunk->circuits_of(peer->id(), circuits);
      for (const TrunkCircuit* circuit : circuits) {
        if (said++ < options.circuits_max) all.push_back(circuit_of(link.trunk->machine(), *circuit));
        else ++more;
      }
    }
  }
  Fragment done(op_done);
  if (more > 0) set(done, "more", more);
  all.push_back(std::move(done));
  return all;
}

awaitable<void> answer(Node* node, StatusOptions options, Circuit circuit) {
  TimePoint next{};
  for (;;) {
    std::optional<Fragment> asked = co_await circuit.receive();
    if (!asked) break;
    if (asked->op != op_ask) continue;
    const TimePoint now = Clock::of(node->executor()).now();
    if (now < next) co_await sleep_until(next);
    next = Clock::of(node->executor()).now() + options.interval_min;
    std::vector<Fragment> all = snapshot(*node, circuit, options);
    all.back().part = asked->part;
    for (Fragment& fragment : all) co_await circuit.send(std::move(fragment));
  }
}

} // namespace

void serve_status(Node& node, StatusOptions options) {
  ServiceOptions limits;
  limits.circuits_max = options.askers_max;
  node.serve(
      "status", [node = &node, options](Circuit circuit) { return answer(node, options, std::move(circuit)); }, limits);
}

} // namespace trunkline::web

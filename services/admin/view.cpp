#include "services/admin/view.hpp"

#include "circuit/native/circuit.hpp"
#include "circuit/trunk.hpp"
#include "fragment/json_line.hpp"
#include "fragment/quote.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::admin {
namespace {

/// Less than this is as good as no credit: a fragment without bytes costs as much.
constexpr std::int64_t hardly_any = fragment_credit_overhead;

/// What the native machine knows beside the view.
struct Sending {
  bool exceeds_credit = false; // what is queued, that of the circuit itself
  bool in_share_line = false;  // it waits for its share of the trunk's
};

/// The order in which one asks: what is not sent waits for one of three; who does not read here holds up the far side.
WaitsFor reason_of(const Trunk& trunk, const TrunkCircuit& circuit, const CircuitView& view, const Sending& sending) {
  if (circuit.ended) return WaitsFor::nothing;
  const bool has_queued = view.queued_bytes > 0;
  if (has_queued || view.senders_waiting > 0) {
    if (sending.exceeds_credit || (!has_queued && view.credit <= hardly_any)) return WaitsFor::far_credit;
    if (sending.in_share_line) return WaitsFor::trunk_credit;
    if (!has_queued || trunk.machine().output_bytes() > 0) return WaitsFor::writer;
    return WaitsFor::trunk_credit;
  }
  if (!circuit.answered() && circuit.opened_here) return WaitsFor::peer;
  return view.unread_bytes > 0 ? WaitsFor::reader : WaitsFor::nothing;
}

std::string bytes_text(double bytes) {
  constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(units)) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, units[unit]);
}

std::string time_text(std::chrono::system_clock::time_point at) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(at)));
}

std::string round_trip_text(std::chrono::nanoseconds round_trip) {
  if (round_trip.count() == 0) return "-";
  return fmt::format("{:.2f} ms", std::chrono::duration<double, std::milli>(round_trip).count());
}

/// A cell of at most so many letters; far sides choose names, and may choose long ones.
std::string cell(std::string_view text, std::size_t width) {
  std::string shown = escape(text, width + 1);
  if (shown.size() > width) shown = width > 1 ? shown.substr(0, width - 1) + "~" : shown.substr(0, width);
  return shown;
}

} // namespace

std::string_view words_for(WaitsFor what) noexcept {
  switch (what) {
    case WaitsFor::nothing: return "";
    case WaitsFor::far_credit: return "the far side's credit";
    case WaitsFor::trunk_credit: return "the trunk's credit";
    case WaitsFor::writer: return "the writer";
    case WaitsFor::reader: return "a reader here";
    case WaitsFor::peer: return "its peer";
  }
  return "";
}

namespace {

CircuitView circuit_view(const Trunk& trunk, const TrunkCircuit& circuit) {
  CircuitView view;
  view.id = circuit.id;
  view.name = circuit.names->name;
  view.service = circuit.names->local->service;
  view.remote_service = circuit.names->remote->service;
  view.opened_here = circuit.opened_here;
  view.fragments_sent = circuit.counters.fragments_sent;
  view.fragments_received = circuit.counters.fragments_received;
  view.bytes_sent = circuit.counters.bytes_sent;
  view.bytes_received = circuit.counters.bytes_received;
  view.credit = static_cast<std::int64_t>(trunk.machine().credit_bytes(circuit));
  if (circuit.waits) view.senders_waiting = circuit.waits->senders.size();
  Sending sending;
  bool in_backlog = false;
  if (const auto* const native = dynamic_cast<const NativeCircuit*>(&circuit)) {
    view.credit_granted = native->receiving.credit;
    view.unread_bytes = native->receiving.unread;
    view.queued_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(0, native->sending.queued));
    sending.exceeds_credit = native->sending.queued > native->sending.credit;
    sending.in_share_line = native->sending.in_share_line;
    in_backlog = native->opening.in_backlog;
  }
  view.waits_for = in_backlog ? WaitsFor::peer : reason_of(trunk, circuit, view, sending);
  return view;
}

LinkView link_view(const LinkInfo& info, const LinkBook& book) {
  const Machine& machine = info.trunk->machine();
  LinkView link;
  link.number = book.number_of(info.trunk);
  link.remote = info.remote;
  if (!info.node.empty()) link.node = info.node.to_string();
  link.name = info.name;
  if (info.identity) link.identity = info.identity->to_string();
  link.dialled = info.dialled;
  link.draining = info.draining || machine.draining();
  link.round_trip = machine.counters().round_trip;
  link.bytes_sent = machine.counters().bytes_sent;
  link.bytes_received = machine.counters().bytes_received;
  link.circuits = machine.circuits_count();
  link.output_bytes = machine.output_bytes();
  link.memory_bytes = machine.memory_bytes();
  return link;
}

/// Those that wait for something are what one looks for: where there is no room one that does not gives way.
void add_circuit(View& view, CircuitView circuit, std::size_t circuits_max) {
  if (view.circuits.size() < circuits_max) return view.circuits.push_back(std::move(circuit));
  ++view.circuits_more;
  if (circuit.waits_for == WaitsFor::nothing) return;
  const auto gives_way = std::ranges::find(view.circuits, WaitsFor::nothing, &CircuitView::waits_for);
  if (gives_way != view.circuits.end()) *gives_way = std::move(circuit);
}

} // namespace

View view_of(const std::vector<LinkInfo>& links, const std::vector<PeerId>& peers, const LinkBook& book,
             std::size_t circuits_max) {
  View view;
  view.lost = book.lost();
  std::vector<TrunkCircuit*> circuits;
  for (const LinkInfo& info : links) {
    view.links.push_back(link_view(info, book));
    if (circuits_max == 0) continue;
    for (const PeerId& peer : peers) {
      info.trunk->circuits_of(peer, circuits);
      for (const TrunkCircuit* const circuit : circuits) {
        CircuitView one = circuit_view(*info.trunk, *circuit);
        one.link = view.links.back().number;
        add_circuit(view, std::move(one), circuits_max);
      }
    }
  }
  std::vector<CircuitView> in_order; // those that wait first
  for (const bool waiting : {true, false})
    for (CircuitView& circuit : view.circuits)
      if ((circuit.waits_for != WaitsFor::nothing) == waiting) in_order.push_back(std::move(circuit));
  view.circuits = std::move(in_order);
  return view;
}

View view_of(const Node& node, const LinkBook& book, std::size_t circuits_max) {
  std::vector<PeerId> peers;
  if (circuits_max > 0)
    for (const auto& peer : node.local_peers()) peers.push_back(peer->id());
  View view = view_of(node.links(), peers, book, circuits_max);
  view.node = node.id().to_string();
  view.addresses = node.addresses();
  return view;
}

std::string node_json(const View& view) {
  JsonLine node;
  JsonList addresses;
  for (const std::string& address : view.addresses) addresses.add(address);
  node.add("id", view.node).add("name", view.name).add_json("addresses", addresses.take());
  return node.take();
}

std::string links_json(const View& view) {
  JsonList links;
  for (const LinkView& link : view.links) {
    JsonLine one;
    one.add("link", link.number).add("remote", link.remote).add("node", link.node).add("name", link.name);
    if (link.identity.empty()) one.add_null("identity");
    else one.add("identity", link.identity);
    one.add("dialled", link.dialled).add("draining", link.draining);
    one.add("round_trip_ms", std::chrono::duration<double, std::milli>(link.round_trip).count());
    one.add("bytes_sent", link.bytes_sent).add("bytes_received", link.bytes_received);
    one.add("sent_per_second", link.sent_per_second).add("received_per_second", link.received_per_second);
    one.add("circuits", std::uint64_t{link.circuits}).add("output_bytes", std::uint64_t{link.output_bytes});
    one.add("memory_bytes", std::uint64_t{link.memory_bytes});
    links.add_json(one.take());
  }
  JsonList lost;
  for (const LostLink& link : view.lost) {
    JsonLine one;
    one.add("time", time_text(link.at)).add("link", link.number).add("remote", link.remote);
    one.add("name", link.node_name).add("reason", link.reason);
    lost.add_json(one.take());
  }
  JsonLine all;
  all.add_json("node", node_json(view)).add_json("links", links.take()).add_json("lost", lost.take());
  return all.take() + "\n";
}

std::string circuits_json(const View& view, std::optional<std::uint64_t> link) {
  JsonList circuits;
  for (const CircuitView& circuit : view.circuits) {
    if (link && circuit.link != *link) continue;
    JsonLine one;
    one.add("link", circuit.link).add("circuit", circuit.id).add("name", circuit.name);
    one.add("service", circuit.service).add("remote_service", circuit.remote_service);
    one.add("opened_here", circuit.opened_here);
    one.add("fragments_sent", circuit.fragments_sent).add("fragments_received", circuit.fragments_received);
    one.add("bytes_sent", circuit.bytes_sent).add("bytes_received", circuit.bytes_received);
    one.add_json("credit", std::to_string(circuit.credit)).add_json("credit_granted", std::to_string(circuit.credit_granted));
    one.add("queued_bytes", circuit.queued_bytes).add("unread_bytes", circuit.unread_bytes);
    one.add("senders_waiting", std::uint64_t{circuit.senders_waiting});
    if (circuit.waits_for == WaitsFor::nothing) one.add_null("waits_for");
    else one.add("waits_for", words_for(circuit.waits_for));
    circuits.add_json(one.take());
  }
  JsonLine all;
  all.add_json("circuits", circuits.take()).add("more", view.circuits_more);
  return all.take() + "\n";
}

std::string as_text(const View& view, std::size_t columns, std::size_t rows) {
  std::vector<std::string> lines;
  double sent = 0;
  double received = 0;
  std::size_t circuits = 0;
  for (const LinkView& link : view.links) {
    sent += link.sent_per_second;
    received += link.received_per_second;
    circuits += link.circuits;
  }
  lines.push_back(fmt::format("{} {}  links {}  circuits {}  out {}/s  in {}/s", cell(view.name, 20), view.node,
                              view.links.size(), circuits, bytes_text(sent), bytes_text(received)));
  lines.emplace_back();
  lines.push_back(fmt::format("{:>5} {:<28} {:<16} {:>9} {:>11} {:>11} {:>8} {:>10} {:>10}", "LINK", "REMOTE", "NODE", "RTT",
                              "OUT/s", "IN/s", "CIRCUITS", "UNWRITTEN", "UNREAD"));
  for (const LinkView& link : view.links)
    lines.push_back(fmt::format("{:>5} {:<28} {:<16} {:>9} {:>11} {:>11} {:>8} {:>10} {:>10}", link.number, cell(link.remote, 28),
                                cell(link.name.empty() ? link.node : link.name, 16), round_trip_text(link.round_trip),
                                bytes_text(link.sent_per_second), bytes_text(link.received_per_second), link.circuits,
                                bytes_text(static_cast<double>(link.output_bytes)),
                                bytes_text(static_cast<double>(link.memory_bytes))));
  if (rows > 0 && lines.size() > rows / 2 && !view.circuits.empty()) { // both tables are to be seen
    const std::size_t left_out = lines.size() - rows / 2;
    lines.resize(rows / 2);
    lines.push_back(fmt::format("      and {} more links", left_out));
  }
  lines.emplace_back();
  lines.push_back(fmt::format("{:>5} {:>8} {:<16} {:<16} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {}", "LINK", "CIRCUIT", "SERVICE", "TO",
                              "SENT", "RECEIVED", "CREDIT", "GRANTED", "QUEUED", "UNREAD", "WAITS FOR"));
  for (const CircuitView& circuit : view.circuits)
    lines.push_back(fmt::format("{:>5} {:>8} {:<16} {:<16} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {}", circuit.link, circuit.id,
                                cell(circuit.service, 16), cell(circuit.remote_service, 16),
                                bytes_text(static_cast<double>(circuit.bytes_sent)),
                                bytes_text(static_cast<double>(circuit.bytes_received)),
                                bytes_text(static_cast<double>(circuit.credit)),
                                bytes_text(static_cast<double>(circuit.credit_granted)),
                                bytes_text(static_cast<double>(circuit.queued_bytes)),
                                bytes_text(static_cast<double>(circuit.unread_bytes)), words_for(circuit.waits_for)));
  if (rows > 0 && lines.size() > rows) lines.resize(rows);
  std::string text;
  for (std::string& line : lines) {
    if (columns > 0 && line.size() > columns) line.resize(columns);
    text += line + "\n";
  }
  return text;
}

} // namespace trunkline::admin

// One cluster machine under test, with the test itself as the far side: it says frames and compares events and frames
// as text. Time is a number here.
#pragma once

#include "services/quarkchain/trunk/cluster_machine.hpp"
#include "tests/circuit/native/events.hpp"
#include "tests/services/quarkchain/protocol/wire.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::quarkchain::test {

using trunkline::test::join;
using trunkline::test::phrase;

class MachineUnderTest {
 public:
  explicit MachineUnderTest(ClusterMachineOptions options) : framing(options.framing), machine_(std::move(options)) {
    circuits_[Route()] = &machine_.control();
  }
  explicit MachineUnderTest(Framing of = Framing::cluster, ClusterLimits limits = ClusterLimits())
      : MachineUnderTest(with(of, limits)) {}

  static ClusterMachineOptions with(Framing framing, ClusterLimits limits, Branches branches = {0x10001, 0x20001}) {
    ClusterMachineOptions options;
    options.framing = framing;
    options.limits = limits;
    options.branches = std::make_shared<const Branches>(std::move(branches));
    options.far_end = "tcp://10.0.0.7:38291";
    return options;
  }

  ClusterMachine* operator->() noexcept { return &machine_; }

  /// The far side says these bytes, or this frame.
  void hears(std::string_view bytes) {
    machine_.feed(as_bytes(bytes), now);
    settle();
  }
  void hears(const Frame& frame) { hears(encode(framing, frame)); }
  void passes(std::chrono::nanoseconds time) {
    const Instant until = now + time;
    for (int ticks = 0; machine_.deadline() <= until; ++ticks) {
      if (ticks > 1000) throw std::logic_error("a deadline is never met: a session would spin");
      now = std::max(now, machine_.deadline());
      machine_.tick(now);
      settle();
    }
    now = until;
  }
  /// The far side has finished sending, or the connection broke.
  void ends() {
    machine_.disconnected(End());
    settle();
  }
  void breaks() {
    machine_.disconnected(End(error::trunk_lost, "connection reset by peer"));
    settle();
  }

  TrunkCircuit& opens(Route route) {
    OpenRequest request;
    request.name = to_text(route);
    return opens(std::move(request));
  }
  TrunkCircuit& opens(OpenRequest request) {
    TrunkCircuit* const circuit = machine_.open(std::move(request), std::nullopt, now);
    if (circuit->id != 0) circuits_[ClusterMachine::route_of(*circuit)] = circuit;
    settle();
    return *circuit;
  }
  TrunkCircuit& at(Route route) { return *circuits_.at(route); }
  TrunkCircuit& control() { return at(Route()); }
  SendOutcome sends(TrunkCircuit& circuit, std::uint8_t op, std::uint64_t rpc_id, std::string payload) {
    Fragment fragment(op, Payload(std::move(payload)));
    fragment.part = static_cast<std::int64_t>(rpc_id);
    const SendOutcome outcome = machine_.send(circuit, fragment);
    settle();
    return outcome;
  }
  /// All that can be taken now: "131 #2 "abc"; ...".
  std::string takes(TrunkCircuit& circuit, std::size_t count = SIZE_MAX) {
    std::string text;
    for (std::size_t taken = 0; taken < count; ++taken) {
      const std::optional<Fragment> fragment = machine_.take(circuit);
      if (!fragment) break;
      Frame frame;
      frame.op = static_cast<std::uint8_t>(fragment->op);
      frame.rpc_id = static_cast<std::uint64_t>(fragment->part);
      frame.payload = fragment->payload.text();
      join(text, to_string(frame) + (fragment->subject.empty() ? "" : " about " + fragment->subject));
    }
    settle();
    return text;
  }
  void closes(TrunkCircuit& circuit, End reason = {}) {
    machine_.close(circuit, std::move(reason));
    settle();
  }

  /// "opened 00010001/7; readable 00010001/7", since the last call.
  std::string events() { return std::exchange(events_, {}); }
  /// What was said since the last call.
  std::string says() { return to_string(decode(framing, said_)); }
  std::string bytes() { return std::exchange(said_, {}); }
  /// How the connection ended; "open" while it lives.
  std::string state() const { return end_ ? phrase(*end_) : "open"; }
  const End& end() const { return end_.value(); }

  void settle() {
    std::vector<TrunkEvent> events;
    do {
      machine_.collect_events(events);
      for (TrunkEvent& event : events) note(event);
      if (clogged || !machine_.has_output()) continue;
      machine_.collect_output(output_, 1 << 20, now);
      std::vector<std::span<const std::byte>> pieces;
      output_.gather(pieces);
      for (const auto piece : pieces) said_.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      machine_.written(now);
    } while (!events.empty() || (!clogged && machine_.has_output()) || machine_.has_events());
  }

  Framing framing;
  Instant now{std::chrono::hours(7)};
  bool clogged = false; // nothing is written

 private:
  void note(TrunkEvent& event) {
    std::string text = trunkline::test::to_string(event.kind);
    if (event.circuit) {
      if (event.circuit->released()) return;
      text += " " + (event.circuit->names->name);
      if (event.kind == TrunkEvent::Kind::opened) circuits_[ClusterMachine::route_of(*event.circuit)] = event.circuit;
    }
    if (event.kind == TrunkEvent::Kind::ended) text += ": " + phrase(event.circuit->end.get());
    if (event.kind == TrunkEvent::Kind::closed) {
      end_ = event.end ? *event.end : End();
      text += ": " + phrase(*end_);
    }
    join(events_, text);
  }

  ClusterMachine machine_;
  std::map<Route, TrunkCircuit*> circuits_;
  Output output_;
  std::string said_;
  std::string events_;
  std::optional<End> end_;
};

} // namespace trunkline::quarkchain::test

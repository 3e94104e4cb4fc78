// One machine under test, with the test itself as the far side. The test says frames (wire_writer.hpp) and compares
// what the machine does about it: its events and the frames that it says back, both as text. Time is a number here and
// passes only when a test says so. What the machine says is checked against the specification all along (WireModel).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "circuit/native/machine.hpp"
#include "tests/circuit/native/events.hpp"
#include "tests/circuit/native/wire_model.hpp"
#include "tests/circuit/native/wire_reader.hpp"
#include "tests/circuit/native/wire_writer.hpp"
#include "tests/support/bytes.hpp"

namespace trunkline::test {

using namespace std::chrono_literals;

// Not zero, so that a machine that assumes a clock's beginning is found.
inline constexpr Instant time_begins{std::chrono::hours(7)};

inline constexpr std::size_t mib = 1 << 20;
// The machine frames this much ahead of what is taken, without asking again who else wants to send.
inline constexpr std::size_t output_bytes_ahead = 256 * 1024;

/// The least memory that there is: the trunk's window is the assumed one.
inline Limits tiny_memory() {
  Limits limits;
  limits.fragment_bytes_max = 512 * 1024;
  limits.trunk_memory_bytes_max = 2 * mib;
  limits.circuit_window_bytes_max = 256 * 1024;
  return limits;
}

inline std::shared_ptr<const PeerName> peer_name(std::string_view id, std::string service, std::string url = {}) {
  PeerName name;
  name.id = *PeerId::from_bytes(id);
  name.service = std::move(service);
  name.url = std::move(url);
  return std::make_shared<const PeerName>(std::move(name));
}

inline const std::shared_ptr<const PeerName>& our_peer() {
  static const auto name = peer_name("peer-of-our-side", "store", "tcp://10.0.0.1:7000/store/cGVlci1vZi1vdXItc2lkZQ");
  return name;
}

inline OpenRequest open_request(OpenMode mode = OpenMode::join) {
  OpenRequest request;
  request.mode = mode;
  request.from = our_peer();
  request.to_peer = *PeerId::from_bytes("peer-of-far-side");
  request.to_service = "feed";
  return request;
}

inline std::unique_ptr<Machine> native_machine(bool dialled, const Limits& limits, std::string_view node_id,
                                               Instant now) {
  NativeMachineOptions options;
  options.limits = limits;
  options.dialled = dialled;
  options.node_id = *NodeId::from_bytes(node_id);
  options.node_name = std::string(node_id.substr(0, 8));
  options.addresses = {"tcp://10.0.0.1:7000"};
  return std::make_unique<NativeMachine>(std::move(options), now);
}

/// What the machine wants to write now, about `bytes_max` of it. As a session does, it asks has_output() first.
inline std::string take_bytes(Machine& machine, Output& scratch, Instant now, std::size_t bytes_max) {
  std::string bytes;
  if (!machine.has_output()) return bytes;
  machine.collect_output(scratch, bytes_max, now);
  if (scratch.empty()) throw std::logic_error("has_output() was wrong: a session would spin");
  std::vector<std::span<const std::byte>> pieces;
  scratch.gather(pieces);
  for (const auto piece : pieces) bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  if (bytes.size() != scratch.bytes) throw std::logic_error("an output's pieces are not its bytes");
  return bytes;
}

/// Lets time pass until `until`, with a tick at every deadline on the way.
template <class AfterTick> void pass_time(Machine& machine, Instant& now, Instant until, AfterTick&& after_tick) {
  for (int ticks_at_once = 0; machine.deadline() <= until;) {
    const Instant next = std::max(now, machine.deadline());
    ticks_at_once = next == now ? ticks_at_once + 1 : 0;
    if (ticks_at_once > 1000) throw std::logic_error("a deadline is never met: a session would spin");
    now = next;
    machine.tick(now);
    after_tick();
  }
  now = until;
}

/// As a session does that reads straight to where the bytes belong: the first of them go there, the rest after it.
inline void receive_directly(Machine& machine, std::string_view bytes, Instant now) {
  const std::span<std::byte> space = machine.read_space();
  const std::size_t direct = std::min(space.size(), bytes.size());
  std::ranges::copy(as_bytes(bytes.substr(0, direct)), space.begin());
  machine.feed(space.first(direct), now);
  machine.feed(as_bytes(bytes.substr(direct)), now);
}

class Dialogue {
 public:
  explicit Dialogue(const Limits& limits = Limits(), bool dialled = false)
      : now(time_begins), machine_(native_machine(dialled, limits, "node-of-our-side", now)), model_(dialled) {
    settle();
  }

  /// Both introductions, whose frames and events are then forgotten.
  Dialogue& introduce(const say::Hello& hello = say::Hello()) {
    hears(say::introduction(hello));
    if (const std::string seen = events(); seen != "hello")
      throw std::logic_error("an introduction ended with: " + seen);
    says();
    return *this;
  }

  /// The far side says this, in one packet.
  void hears(std::string_view bytes) {
    note_heard(bytes);
    machine_->feed(as_bytes(bytes), now);
    settle();
  }
  void passes(std::chrono::nanoseconds time) {
    pass_time(*machine_, now, now + time, [&] { settle(); });
    settle();
  }
  /// The connection breaks.
  void loses(End cause = End(error::trunk_lost, "connection reset by peer")) {
    machine_->disconnected(std::move(cause));
    settle();
  }

  /// What happened since the last call: "opened 2; readable 2".
  std::string events() { return std::exchange(events_, {}); }
  /// What the machine said since the last call: "DATA 1 op 1 \"abc\"; FINISH 1".
  std::string says() {
    std::string text;
    for (const say::Frame& frame : std::exchange(frames_, {})) join(text, frame.to_string());
    return text;
  }
  /// The same as frames.
  std::vector<say::Frame> frames() { return std::exchange(frames_, {}); }
  /// All that it said since the last call, before it was cut into frames.
  std::string bytes() { return std::exchange(bytes_, {}); }

  TrunkCircuit& opens(OpenRequest request = open_request(), std::optional<Fragment> first = std::nullopt) {
    TrunkCircuit* circuit = machine_->open(std::move(request), std::move(first), now);
    if (!circuit) throw std::logic_error("no circuit was opened");
    circuits_[circuit->id] = circuit;
    settle();
    return *circuit;
  }
  TrunkCircuit& opens(Fragment first) { return opens(open_request(), std::move(first)); }
  void accepts(CircuitId id) {
    machine_->accept(circuit(id), our_peer());
    machine_->left_backlog(circuit(id));
    settle();
  }
  void refuses(CircuitId id, error reason = error::no_service, std::string text = {}, std::string existing = {}) {
    machine_->refuse(circuit(id), reason, std::move(text), std::move(existing));
    circuits_.erase(id);
    settle();
  }
  SendOutcome sends(CircuitId id, Fragment fragment) {
    const SendOutcome outcome = machine_->send(circuit(id), fragment);
    settle();
    return outcome;
  }
  /// All that can be taken from `reads` now: the payloads joined by '|', large ones by their size.
  std::string takes(CircuitId id) {
    std::string text;
    bool first = true;
    while (std::optional<Fragment> fragment = machine_->take(circuit(id))) {
      text += first ? "" : "|";
      text += fragment->payload.size() > 64 ? std::to_string(fragment->payload.size()) + " bytes"
                                            : std::string(fragment->payload.text());
      first = false;
    }
    settle();
    return text;
  }
  std::optional<Fragment> takes_one(CircuitId id) {
    std::optional<Fragment> fragment = machine_->take(circuit(id));
    settle();
    return fragment;
  }
  void finishes(CircuitId id) {
    machine_->finish(circuit(id));
    settle();
  }
  void closes(CircuitId id, End reason = {}) {
    machine_->close(circuit(id), std::move(reason));
    settle();
  }
  void resets(CircuitId id, End reason = End(error::circuit_reset)) {
    machine_->reset(circuit(id), std::move(reason));
    settle();
  }
  void releases(CircuitId id) {
    TrunkCircuit& released = circuit(id);
    circuits_.erase(id);
    machine_->release(released);
    settle();
  }
  /// After a direct call to `trunk()`: takes its events and, unless the connection is clogged, its output.
  void settle() {
    collect_events();
    for (int outputs = 0; !clogged; ++outputs) {
      if (outputs == 100'000) throw std::logic_error("the machine always has something to write");
      const std::string bytes = take_bytes(*machine_, output_, now, 1 << 20);
      if (bytes.empty()) break;
      machine_->written(now);
      bytes_ += bytes;
      model_.begin_output();
      const std::size_t before = frames_.size();
      said_.read(bytes, frames_);
      for (std::size_t at = before; at < frames_.size() && heard_well_; ++at) model_.said(frames_[at]);
    }
    collect_events();
  }

  Machine& machine() { return *machine_; }
  const say::WireModel& model() const { return model_; }
  TrunkCircuit& circuit(CircuitId id) {
    const auto found = circuits_.find(id);
    if (found == circuits_.end()) throw std::logic_error("no circuit " + std::to_string(id) + " is known here");
    return *found->second;
  }
  bool knows(CircuitId id) const { return circuits_.contains(id); }
  /// How the trunk ended; a test that asks before it ended is wrong.
  const End& end() const {
    if (!end_) throw std::logic_error("the trunk has not ended");
    return *end_;
  }
  bool closed() const { return end_.has_value(); }
  /// "protocol error", or "open" while it lives.
  std::string state() const { return end_ ? phrase(*end_) : "open"; }
  const OpenRequest& open_of(CircuitId id) { return *opens_.at(id); }

  Instant now;
  bool clogged = false;  // the far side reads nothing: no output is taken

 private:
  void collect_events() {
    scratch_.clear();
    machine_->collect_events(scratch_);
    for (TrunkEvent& event : scratch_) {
      if (event.circuit && event.circuit->released()) continue;
      join(events_, to_string(event));
      if (event.kind == TrunkEvent::Kind::opened) {
        circuits_[event.circuit->id] = event.circuit;
        opens_[event.circuit->id] = std::move(event.open);
      }
      if (event.kind == TrunkEvent::Kind::closed) end_ = event.end ? *event.end : End();
    }
  }
  /// The model learns what was said to the machine. Tests say malformed things, too; from then on it knows nothing.
  void note_heard(std::string_view bytes) {
    if (!heard_well_) return;
    std::vector<say::Frame> frames;
    try {
      heard_.read(bytes, frames);
    } catch (const say::Violation&) {
      heard_well_ = false;
    }
    for (const say::Frame& frame : frames) model_.heard(frame);
  }

  std::unique_ptr<Machine> machine_;
  say::WireModel model_;
  say::Reader said_;
  say::Reader heard_;
  bool heard_well_ = true;
  Output output_;
  std::vector<TrunkEvent> scratch_;
  std::map<CircuitId, TrunkCircuit*> circuits_;
  std::map<CircuitId, std::unique_ptr<OpenRequest>> opens_;
  std::vector<say::Frame> frames_;
  std::string bytes_;
  std::string events_;
  std::optional<End> end_;
};

/// A machine that has heard the far side's Hello.
struct Introduced : Dialogue {
  explicit Introduced(const Limits& limits = Limits(), bool dialled = false) : Dialogue(limits, dialled) {
    introduce();
  }
};

/// And has the circuits 1, 3, ... opened by the far side and accepted.
struct Joined : Introduced {
  explicit Joined(const Limits& limits = Limits(), int circuits = 1) : Introduced(limits) {
    for (int circuit = 0; circuit < circuits; ++circuit) {
      const auto id = static_cast<CircuitId>(2 * circuit + 1);
      hears(say::open(id));
      accepts(id);
    }
    events();
    says();
  }
};

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

} // namespace trunkline::test

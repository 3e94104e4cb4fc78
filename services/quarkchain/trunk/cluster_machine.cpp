// The life of a connection and of its circuits. cluster_receive.cpp has the frames in, cluster_send.cpp those out.
#include "services/quarkchain/trunk/cluster_machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::quarkchain {
namespace {

ClusterMachineOptions checked(ClusterMachineOptions options) {
  ClusterLimits& limits = options.limits;
  limits.check();
  // A reader that keeps up may receive the largest frame while others hold their share.
  limits.peers_inbox_bytes_max =
      std::max(limits.peers_inbox_bytes_max, limits.command_bytes_max + limits.peer_inbox_bytes_max);
  const auto unnamed = [](const char* service) { return std::make_shared<const PeerName>(PeerName{{}, service, {}}); };
  if (!options.local) options.local = unnamed("here");
  if (!options.remote) options.remote = unnamed("there");
  return options;
}

std::string cut(std::string text) {
  constexpr std::size_t text_bytes_max = 64;
  if (text.size() > text_bytes_max) text.resize(text_bytes_max);
  return text;
}

} // namespace

ClusterMachine::ClusterMachine(ClusterMachineOptions options) : options_(checked(std::move(options))) {
  control_ = &add(Route(), true, nullptr);
}

ClusterMachine::~ClusterMachine() {
  all_.clear_and_dispose([](Circuit* circuit) {
    while (circuit->first) delete std::exchange(circuit->first, circuit->first->next);
    delete circuit;
  });
  buried_.clear();
  buried_before_.clear();
  while (spare_) delete std::exchange(spare_, spare_->next);
}

TrunkCircuit& ClusterMachine::control() noexcept { return *control_; }

Route ClusterMachine::route_of(const TrunkCircuit& circuit) noexcept {
  return static_cast<const Circuit&>(circuit).route;
}

std::string ClusterMachine::from() const {
  return options_.far_end.empty() ? std::string() : ", from " + options_.far_end;
}

TrunkEvent& ClusterMachine::emit(TrunkEvent::Kind kind, Circuit* circuit) {
  return events_.emplace_back(TrunkEvent{kind, circuit, {}, {}, {}});
}

// Circuits.

ClusterCircuit& ClusterMachine::add(const Route& route, bool opened_here, const OpenRequest* request) {
  auto names = std::make_shared<CircuitNames>();
  names->local = request && request->from ? request->from : options_.local;
  names->remote = options_.remote;
  names->circuit_id = ++id_last_;
  names->name = to_text(route);
  if (request) names->user_string = request->user_string; // stays here
  auto* circuit = new Circuit;
  all_.push_back(*circuit);
  circuit->id = id_last_;
  circuit->route = route;
  circuit->opened_here = opened_here;
  circuit->answered = true; // nobody asks
  circuit->names = std::move(names);
  circuits_.emplace(route, circuit);
  return *circuit;
}

/// A circuit that is on no wire: its end is all there is to it.
ClusterCircuit& ClusterMachine::add_stillborn(const OpenRequest& request, End reason) {
  auto names = std::make_shared<CircuitNames>();
  names->local = request.from ? request.from : options_.local;
  names->remote = options_.remote;
  names->name = request.name;
  auto* circuit = new Circuit;
  all_.push_back(*circuit);
  circuit->opened_here = true;
  circuit->names = std::move(names);
  end_circuit(*circuit, std::move(reason));
  return *circuit;
}

TrunkCircuit* ClusterMachine::open(OpenRequest request, std::optional<Fragment> first, Instant now) {
  now_ = std::max(now_, now);
  if (state_ != State::running)
    return &add_stillborn(request, End(error::trunk_lost, "the connection is closed" + from()));
  if (draining_) return &add_stillborn(request, End(error::draining, "the connection takes no new circuits" + from()));
  const std::optional<Route> route = parse_route(request.name);
  const bool possible = route && !route->is_control() && options_.framing != Framing::slave &&
                        (options_.framing == Framing::cluster) == (route->cluster_peer_id != 0);
  if (!possible)
    return &add_stillborn(
        request, End(error::no_service, fmt::format("\"{}\" names no circuit of a connection of the {} framing{}",
                                                    cut(request.name), to_string(options_.framing), from())));
  if (options_.branches && !std::ranges::binary_search(*options_.branches, route->branch))
    return &add_stillborn(request, End(error::no_service, fmt::format("branch 0x{:08x} is not one of the {} configured",
                                                                      route->branch, options_.branches->size())));
  if (circuits_.contains(*route))
    return &add_stillborn(request, End(error::already_registered, describe(*route) + " is open already"));
  if (circuits_.size() > options_.limits.circuits_max)
    return &add_stillborn(
        request, End(error::circuit_limit_reached,
                     fmt::format("{} would exceed circuits_max {}", describe(*route), options_.limits.circuits_max)));
  Circuit& circuit = add(*route, true, &request);
  if (first) send(circuit, *first);
  return &circuit;
}

void ClusterMachine::accept(TrunkCircuit& base, std::shared_ptr<const PeerName> local) {
  auto names = std::make_shared<CircuitNames>(*base.names);
  names->local = std::move(local);
  base.names = std::move(names);
}

void ClusterMachine::refuse(TrunkCircuit& base, error reason, std::string text, std::string) {
  auto& circuit = static_cast<Circuit&>(base);
  if (!circuit.ended) {
    ++counters_.circuits_refused;
    reset(circuit, End(reason, std::move(text)));
  }
  release(circuit);
}

void ClusterMachine::left_backlog(TrunkCircuit&) {}

std::optional<Fragment> ClusterMachine::take(TrunkCircuit& base) {
  auto& circuit = static_cast<Circuit&>(base);
  if (!circuit.first) return std::nullopt;
  ReceivedFrame* const frame = circuit.first;
  circuit.first = frame->next;
  circuit.readable = circuit.first != nullptr;
  const std::size_t cost = frame->payload.size() + frame_cost_bytes;
  circuit.unread -= cost;
  if (!circuit.route.is_control()) peers_unread_ -= cost;

  std::optional<Fragment> fragment(std::in_place, frame->opcode, std::move(frame->payload));
  fragment->part = static_cast<std::int64_t>(frame->rpc_id);
  if (frame->branch != 0) fragment->subject = std::to_string(frame->branch);
  fragment->stamp(circuit.names, ++circuit.counters.fragments_received);
  circuit.counters.bytes_received += fragment->payload.size();
  free_frame(frame);
  if (paused_since_ != Instant::max()) update_pause();
  return fragment;
}

std::optional<Fragment> ClusterMachine::take_error(TrunkCircuit&) { return std::nullopt; }

void ClusterMachine::finish(TrunkCircuit& base) {
  base.out.finish(); // here alone: nobody is told, and nobody acknowledges it
}

void ClusterMachine::close(TrunkCircuit& base, End reason) {
  auto& circuit = static_cast<Circuit&>(base);
  if (circuit.ended) return;
  circuit.out.finish();
  circuit.closing = Circuit::Closing::said;
  drop_inbox(circuit);
  if (&circuit == control_) {
    end_trunk(std::move(reason));
  } else {
    end_circuit(circuit, std::move(reason));
  }
}

void ClusterMachine::reset(TrunkCircuit& circuit, End reason) {
  close(circuit, reason.clean() ? End(error::circuit_reset) : std::move(reason));
}

void ClusterMachine::release(TrunkCircuit& base) {
  auto& circuit = static_cast<Circuit&>(base);
  if (std::exchange(circuit.released, true)) return;
  circuit.waits = nullptr;
  circuit.listener = nullptr;
  drop_inbox(circuit);
  if (circuit.ended) {
    --counters_.circuits_held;
    return bury(circuit);
  }
  if (circuit.finished_here()) {
    close(circuit, End());
  } else {
    reset(circuit, End(error::circuit_abandoned));
  }
}

/// The one place where a circuit leaves the wire.
void ClusterMachine::end_circuit(Circuit& circuit, End reason) {
  if (std::exchange(circuit.ended, true)) return;
  if (!reason.clean()) circuit.end = std::make_unique<End>(std::move(reason));
  if (circuit.id != 0) circuits_.erase(circuit.route);
  if (found_last_ == &circuit) found_last_ = nullptr;
  if (frame_circuit_ == &circuit) drop_frame();
  circuit.waiting.unlink();
  emit(TrunkEvent::Kind::ended, &circuit);
  if (circuit.released) bury(circuit);
  else ++counters_.circuits_held;
  if (draining_ && circuits_.empty()) end_trunk(End());
}

void ClusterMachine::drop_inbox(Circuit& circuit) {
  while (circuit.first) {
    ReceivedFrame* const frame = std::exchange(circuit.first, circuit.first->next);
    frame->payload = Payload();
    free_frame(frame);
  }
  circuit.readable = false;
  if (!circuit.route.is_control()) peers_unread_ -= circuit.unread;
  circuit.unread = 0;
  update_pause();
}

void ClusterMachine::bury(Circuit& circuit) {
  if (&circuit == control_) control_ = nullptr; // the trunk is not running any more
  circuit.of_trunk.unlink();
  buried_.emplace_back(&circuit);
}

void ClusterMachine::collect_events(std::vector<TrunkEvent>& into) {
  into.clear();
  into.swap(events_);
  std::erase_if(buried_before_, [](const auto& circuit) { return circuit->holds == 0; });
  std::ranges::move(buried_, std::back_inserter(buried_before_));
  buried_.clear();
}

void ClusterMachine::circuits_of(const PeerId& local, std::vector<TrunkCircuit*>& into) {
  into.clear();
  for (Circuit& circuit : all_)
    if (!circuit.ended && !circuit.released && circuit.names->local->id == local) into.push_back(&circuit);
}

// The protocol has no words about peers.
void ClusterMachine::set_metadata(const PeerName&, const Metadata&) {}
const Metadata* ClusterMachine::remote_metadata(const PeerId&) const { return nullptr; }
void ClusterMachine::end_peer(const PeerName&, const End&) {}

// The end of the connection.

void ClusterMachine::drain(Instant deadline, bool) {
  if (state_ != State::running) return;
  draining_ = true;
  drain_deadline_ = std::min(drain_deadline_, deadline);
}

void ClusterMachine::close(End reason) { end_trunk(std::move(reason)); }

void ClusterMachine::violate(error reason, std::string text) { end_trunk(End(reason, std::move(text) + from())); }

/// What is in the output is still written. The control circuit ends with the reason itself, the others because of it.
void ClusterMachine::end_trunk(End reason) {
  if (state_ != State::running) return;
  state_ = State::ending;
  ending_since_ = Instant::max(); // from the next time that somebody says what time it is
  end_all(reason);
  emit(TrunkEvent::Kind::closed).end = std::make_unique<End>(std::move(reason));
}

void ClusterMachine::end_all(const End& reason) {
  draining_ = false; // the last circuit does not end the trunk again
  drop_frame();
  const End for_peers(error::trunk_lost,
                      reason.clean() ? std::string("the connection was closed") : reason.to_string());
  std::vector<Circuit*> circuits; // in order: what is told to the outside must not depend on a hash
  circuits.reserve(circuits_.size());
  for (const auto& [route, circuit] : circuits_) circuits.push_back(circuit);
  std::ranges::sort(circuits, {}, &Circuit::id);
  for (Circuit* circuit : circuits) end_circuit(*circuit, circuit == control_ ? reason : for_peers);
  paused_since_ = Instant::max();
}

void ClusterMachine::disconnected(End cause) {
  if (state_ == State::over) return;
  const bool told = std::exchange(state_, State::over) == State::ending;
  pending_.clear();
  output_bytes_ = 0;
  if (told) return;
  if (!cause.clean()) {
    cause = End(error::trunk_lost, (cause.code == error::trunk_lost ? cause.text : cause.to_string()) + from());
  } else if (in_payload_) {
    cause = End(error::trunk_lost,
                fmt::format("the far side closed the connection inside a frame, {} of {} bytes of payload{}", arrived_,
                            frame_.length, from()));
  } else if (carried_ > 0) {
    cause = End(error::trunk_lost,
                fmt::format("the far side closed the connection inside a frame, {} of {} bytes of its header{}",
                            carried_, frame_header_bytes(options_.framing), from()));
  }
  end_all(cause);
  emit(TrunkEvent::Kind::closed).end = std::make_unique<End>(std::move(cause));
}

// Time.

Instant ClusterMachine::deadline() const {
  const ClusterLimits& limits = options_.limits;
  if (state_ == State::over) return Instant::max();
  if (state_ == State::ending) return ending_since_ == Instant::max() ? now_ : ending_since_ + limits.goodbye_deadline;
  Instant first = drain_deadline_;
  if (writing_) first = std::min(first, writing_since_ + limits.write_deadline);
  if (paused_since_ != Instant::max()) first = std::min(first, paused_since_ + limits.stall_deadline);
  return first;
}

void ClusterMachine::tick(Instant now) {
  now_ = std::max(now_, now);
  const ClusterLimits& limits = options_.limits;
  if (state_ == State::over) return;
  if (state_ == State::ending) {
    if (ending_since_ == Instant::max()) ending_since_ = now_;
    if (now_ >= ending_since_ + limits.goodbye_deadline) state_ = State::over;
    return;
  }
  if (writing_ && now_ >= writing_since_ + limits.write_deadline)
    return violate(error::write_timeout,
                   fmt::format("output not written within write_deadline {} ms", limits.write_deadline.count()));
  if (paused_since_ != Instant::max() && now_ >= paused_since_ + limits.stall_deadline) {
    if (!std::exchange(taken_since_pause_, false))
      return violate(error::stalled,
                     fmt::format("{} bytes unread on the control circuit, control_inbox_bytes_max is {}: nothing "
                                 "taken for stall_deadline {} ms",
                                 control_->unread, limits.control_inbox_bytes_max, limits.stall_deadline.count()));
    paused_since_ = now_;
  }
  if (now_ >= drain_deadline_) end_trunk(End(error::draining, "the drain deadline has passed"));
}

std::size_t ClusterMachine::credit_bytes(const TrunkCircuit& circuit) const {
  if (circuit.ended || circuit.finished_here()) return 0;
  const std::size_t max = send_bytes_max(circuit);
  return max - std::min(max, output_bytes_);
}

std::size_t ClusterMachine::memory_bytes() const {
  return (control_ ? control_->unread : 0) + peers_unread_ + payload_.size();
}

} // namespace trunkline::quarkchain

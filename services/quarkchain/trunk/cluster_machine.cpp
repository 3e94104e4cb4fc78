#include "services/quarkchain/trunk/cluster_machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>
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

/// The branch that a fragment of the control circuit carries as its subject; nullopt when the subject is no branch.
std::optional<std::uint32_t> branch_of(const Fragment& fragment) {
  std::uint32_t branch = 0;
  if (fragment.subject.empty()) return branch;
  const char* const end = fragment.subject.data() + fragment.subject.size();
  const auto parsed = std::from_chars(fragment.subject.data(), end, branch);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return branch;
}

} // namespace

ClusterMachine::ClusterMachine(ClusterMachineOptions with)
    : ClusterWhole(checked(std::move(with))), farewell_(*this), circuits_(*this), inboxes_(*this, circuits_),
      reader_(*this, farewell_, circuits_, inboxes_), writer_(*this) {}

Route ClusterMachine::route_of(const TrunkCircuit& circuit) noexcept {
  return static_cast<const ClusterCircuit&>(circuit).route;
}

// Circuits.

TrunkCircuit* ClusterMachine::open(OpenRequest request, std::optional<Fragment> first, Instant at) {
  const Input input(*this, checks_);
  note_time(at);
  Route route;
  End why = !farewell_.running()   ? End(error::trunk_lost, "the connection is closed" + from())
            : farewell_.draining() ? End(error::draining, "the connection takes no new circuits" + from())
                                   : circuits_.why_not_open(request, route);
  if (why.clean() && first && !crosses(*first, false))
    why = End(error::fragment_too_large, "first " + words_of(*first, false));
  if (!why.clean()) {
    ClusterCircuit& stillborn = circuits_.open_nowhere(request); // its end is all there is to it
    end_circuit(stillborn, std::move(why));
    return &stillborn;
  }
  ClusterCircuit& circuit = circuits_.open_here(route, request);
  if (first) send(circuit, *first);
  return &circuit;
}

void ClusterMachine::accept(TrunkCircuit& base, std::shared_ptr<const PeerName> local) {
  auto& circuit = static_cast<ClusterCircuit&>(base);
  auto names = std::make_shared<CircuitNames>(*circuit.names);
  names->local = std::move(local);
  circuit.names = std::move(names);
  if (!circuit.ended) circuits_.join_local(circuit);
}

void ClusterMachine::refuse(TrunkCircuit& circuit, error reason, std::string text, std::string) {
  const Input input(*this, checks_);
  if (!circuit.ended) {
    ++ClusterWhole::counters.circuits_refused;
    reset(circuit, End(reason, std::move(text)));
  }
  release(circuit);
}

void ClusterMachine::left_backlog(TrunkCircuit&) {}

/// `on_control`: only the control circuit of the cluster framing has a place for a subject.
bool ClusterMachine::crosses(const Fragment& fragment, bool on_control) const {
  if (fragment.payload.size() > options.limits.command_bytes_max || fragment.op < 0 || fragment.op > 0xFF ||
      !fragment.err.empty() || !fragment.args.empty())
    return false;
  return fragment.subject.empty() || (on_control && options.framing == Framing::cluster && branch_of(fragment));
}

/// Of a fragment that does not cross.
std::string ClusterMachine::words_of(const Fragment& fragment, bool on_control) const {
  const std::size_t max = options.limits.command_bytes_max;
  if (fragment.payload.size() > max)
    return fmt::format("fragment of {} bytes exceeds fragment_bytes_max {}", fragment.payload.size(), max);
  const bool has_branch = on_control && options.framing == Framing::cluster;
  return fmt::format(
      "fragment with op {}, {} args, an err of {} bytes and a subject of {} bytes does not cross the "
      "cluster framing, which has ops of 0 to 255{}",
      fragment.op, fragment.args.size(), fragment.err.size(), fragment.subject.size(),
      has_branch ? " and a branch as the subject" : "");
}

std::string ClusterMachine::why_not(const Fragment& fragment) const {
  return crosses(fragment, true) ? std::string() : words_of(fragment, true);
}

SendOutcome ClusterMachine::send(TrunkCircuit& base, Fragment& fragment) {
  const Input input(*this, checks_);
  auto& circuit = static_cast<ClusterCircuit&>(base);
  const bool control = &circuit == circuits_.control();
  if (circuit.ended || circuit.finished_here() || !farewell_.running()) return SendOutcome::closed;
  if (!crosses(fragment, control)) {
    if (why_not(fragment).empty()) throw std::invalid_argument(words_of(fragment, false)); // a branch, but not here
    return SendOutcome::closed;
  }
  FrameHeader header;
  header.branch = control ? *branch_of(fragment) : circuit.route.branch;

  if (!writer_.may_send(circuit)) return SendOutcome::no_credit;
  header.length = static_cast<std::uint32_t>(fragment.payload.size());
  header.cluster_peer_id = circuit.route.cluster_peer_id;
  header.opcode = static_cast<std::uint8_t>(fragment.op);
  header.rpc_id = static_cast<std::uint64_t>(fragment.part);
  ++circuit.counters.fragments_sent;
  circuit.counters.bytes_sent += header.length;
  writer_.put_frame(header, fragment.payload);
  fragment.clear();
  return SendOutcome::queued;
}

std::optional<Fragment> ClusterMachine::take(TrunkCircuit& circuit) {
  const Input input(*this, checks_);
  return inboxes_.take(static_cast<ClusterCircuit&>(circuit));
}

std::optional<Fragment> ClusterMachine::take_error(TrunkCircuit&) { return std::nullopt; }

void ClusterMachine::finish(TrunkCircuit& circuit) {
  circuit.out.finish(); // here alone: the far side is not told, and does not acknowledge it
}

void ClusterMachine::close(TrunkCircuit& base, End reason) {
  const Input input(*this, checks_);
  auto& circuit = static_cast<ClusterCircuit&>(base);
  if (circuit.ended) return;
  circuit.out.finish();
  circuit.closing = ClusterCircuit::Closing::said;
  inboxes_.drop(circuit);
  if (&circuit == circuits_.control()) {
    end_trunk(std::move(reason));
  } else {
    end_circuit(circuit, std::move(reason));
  }
}

void ClusterMachine::reset(TrunkCircuit& circuit, End reason) {
  close(circuit, reason.clean() ? End(error::circuit_reset) : std::move(reason));
}

void ClusterMachine::release(TrunkCircuit& base) {
  const Input input(*this, checks_);
  auto& circuit = static_cast<ClusterCircuit&>(base);
  if (!circuit.release()) return;
  circuit.waits = nullptr;
  circuit.listener = nullptr;
  inboxes_.drop(circuit);
  if (circuit.ended) return circuits_.let_go(circuit);
  if (circuit.finished_here()) {
    close(circuit, End());
  } else {
    reset(circuit, End(error::circuit_abandoned));
  }
}

/// The one place where a circuit leaves the wire.
void ClusterMachine::end_circuit(ClusterCircuit& circuit, End reason) {
  if (std::exchange(circuit.ended, true)) return;
  if (!reason.clean()) circuit.end = std::make_unique<End>(std::move(reason));
  circuits_.leave(circuit);
  reader_.forget(circuit);
  circuit.waiting.unlink();
  emit(TrunkEvent::Kind::ended, &circuit);
  circuits_.retire(circuit);
  if (farewell_.draining() && circuits_.empty()) end_trunk(End());
}

std::size_t ClusterMachine::credit_bytes(const TrunkCircuit& circuit) const {
  if (circuit.ended || circuit.finished_here()) return 0;
  const std::size_t max = writer_.bytes_max(static_cast<const ClusterCircuit&>(circuit));
  return max - std::min(max, writer_.bytes());
}

// The protocol has no words about peers.
void ClusterMachine::set_metadata(const PeerName&, const Metadata&) {}
const Metadata* ClusterMachine::remote_metadata(const PeerId&) const { return nullptr; }
void ClusterMachine::end_peer(const PeerName& local, const End&) { circuits_.forget_local(local.id); }

// The end of the connection.

void ClusterMachine::drain(Instant deadline, bool) {
  const Input input(*this, checks_);
  if (farewell_.running()) farewell_.drain(deadline);
}

void ClusterMachine::close(End reason) {
  const Input input(*this, checks_);
  end_trunk(std::move(reason));
}

void ClusterMachine::violate(error reason, std::string text) { end_trunk(End(reason, std::move(text) + from())); }

/// What is in the output is still written. The control circuit ends with the reason itself, the others because of it.
void ClusterMachine::end_trunk(End reason) {
  if (!farewell_.end()) return;
  end_all(reason);
  emit(TrunkEvent::Kind::closed).end = std::make_unique<End>(std::move(reason));
}

void ClusterMachine::end_all(const End& reason) {
  reader_.drop_frame();
  inboxes_.end();
  const End for_peers(error::trunk_lost,
                      reason.clean() ? std::string("the connection was closed") : reason.to_string());
  const ClusterCircuit* const control = circuits_.control();
  circuits_.for_each([&](ClusterCircuit& circuit) { end_circuit(circuit, &circuit == control ? reason : for_peers); });
}

void ClusterMachine::disconnected(End cause) {
  const Input input(*this, checks_);
  if (farewell_.over()) return;
  writer_.clear();
  if (!farewell_.disconnected()) return;
  if (!cause.clean()) {
    cause = End(error::trunk_lost, (cause.code == error::trunk_lost ? cause.text : cause.to_string()) + from());
  } else if (const std::string inside = reader_.inside(); !inside.empty()) {
    cause = End(error::trunk_lost, "the far side closed the connection " + inside + from());
  }
  end_all(cause);
  emit(TrunkEvent::Kind::closed).end = std::make_unique<End>(std::move(cause));
}

// Bytes and time.

void ClusterMachine::feed(std::span<const std::byte> bytes, Instant at) {
  const Input input(*this, checks_);
  note_time(at);
  ClusterWhole::counters.bytes_received += bytes.size();
  reader_.feed(bytes);
}

void ClusterMachine::collect_events(std::vector<TrunkEvent>& into) {
  into.clear();
  into.swap(events);
  circuits_.free_buried();
}

void ClusterMachine::collect_output(Output& into, std::size_t bytes_max, Instant at) {
  const Input input(*this, checks_);
  note_time(at);
  into.clear();
  if (!farewell_.over()) writer_.collect(into, bytes_max);
}

void ClusterMachine::written(Instant at) {
  const Input input(*this, checks_);
  note_time(at);
  writer_.written();
}

Instant ClusterMachine::deadline() const {
  const Instant end = farewell_.deadline();
  if (!farewell_.running()) return end;
  return std::min(end, std::min(writer_.deadline(), inboxes_.deadline()));
}

void ClusterMachine::tick(Instant at) {
  const Input input(*this, checks_);
  note_time(at);
  if (farewell_.over()) return;
  if (!farewell_.running()) return farewell_.tick_end();
  End broken = writer_.tick();
  if (broken.clean()) broken = inboxes_.tick();
  if (!broken.clean()) return violate(static_cast<error>(broken.code.value()), std::move(broken.text));
  if (farewell_.drain_overdue()) end_trunk(End(error::draining, "the drain deadline has passed"));
}

void ClusterMachine::check() {
  const bool full = checks_.is_full(circuits_.size());
  farewell_.check();
  circuits_.check(full);
  inboxes_.check(full);
  reader_.check();
  writer_.check(full);
}

} // namespace trunkline::quarkchain

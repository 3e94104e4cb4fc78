#include "circuit/native/machine.hpp"

#include "fragment/quote.hpp"
#include "proto/trunk.pb.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <type_traits>
#include <utility>

namespace trunkline {

using wire::FrameType;

namespace {

constexpr const char* feature_calls = "calls"; // we understand what gives up a call
constexpr const char* feature_shares = "shares"; // we grant so that the far side can share the trunk's credit
constexpr std::size_t open_rest_bytes_max = 1024; // of an OPEN, kept to know the next one by
constexpr std::uint64_t remaining_ms_max = std::uint64_t{1} << 32; // more is as good as no deadline
// Of the addresses in a Hello: more of them, and longer ones, are neither said nor heard. docs/limits.md
constexpr int hello_addresses_max = 16;
constexpr std::size_t hello_address_bytes_max = 256;
constexpr std::uint64_t credit_tiny = 1024;       // smaller grants count as control frames

Limits checked(Limits limits) {
  limits.check();
  // Half of the memory reassembles: room for two of the largest fragments, so that one stalled there delays no other.
  limits.trunk_memory_bytes_max = std::max(limits.trunk_memory_bytes_max, 4 * limits.fragment_bytes_max);
  return limits;
}

/// What it does not say is as the specification assumes.
FarLimits limits_in(const wire::Hello& hello) {
  FarLimits takes;
  if (const std::uint64_t bytes = hello.fragment_bytes_max(); bytes > 0)
    takes.fragment_bytes_max = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, takes.fragment_bytes_max));
  const auto say = [](bool has, std::uint64_t value, std::size_t& into) {
    if (has) into = static_cast<std::size_t>(value);
  };
  say(hello.has_circuits_max(), hello.circuits_max(), takes.circuits_max);
  say(hello.has_name_bytes_max(), hello.name_bytes_max(), takes.name_bytes_max);
  say(hello.has_user_string_bytes_max(), hello.user_string_bytes_max(), takes.user_string_bytes_max);
  say(hello.has_metadata_bytes_max(), hello.metadata_bytes_max(), takes.metadata_bytes_max);
  say(hello.has_remote_peers_max(), hello.remote_peers_max(), takes.remote_peers_max);
  say(hello.has_remote_metadata_bytes_max(), hello.remote_metadata_bytes_max(), takes.remote_metadata_bytes_max);
  say(hello.has_control_frames_per_second_max(), hello.control_frames_per_second_max(),
      takes.control_frames_per_second_max);
  return takes;
}

/// Those that differ from what the specification assumes.
void say_limits(const Limits& limits, wire::Hello& hello) {
  const FarLimits assumed;
  if (limits.circuits_max != assumed.circuits_max) hello.set_circuits_max(limits.circuits_max);
  if (limits.name_bytes_max != assumed.name_bytes_max) hello.set_name_bytes_max(limits.name_bytes_max);
  if (limits.user_string_bytes_max != assumed.user_string_bytes_max)
    hello.set_user_string_bytes_max(limits.user_string_bytes_max);
  if (limits.metadata_bytes_max != assumed.metadata_bytes_max) hello.set_metadata_bytes_max(limits.metadata_bytes_max);
  if (limits.remote_peers_max != assumed.remote_peers_max) hello.set_remote_peers_max(limits.remote_peers_max);
  if (limits.remote_metadata_bytes_max != assumed.remote_metadata_bytes_max)
    hello.set_remote_metadata_bytes_max(limits.remote_metadata_bytes_max);
  if (limits.control_frames_per_second_max != assumed.control_frames_per_second_max)
    hello.set_control_frames_per_second_max(limits.control_frames_per_second_max);
}

std::string cut(std::string text, std::size_t bytes_max) {
  if (text.size() > bytes_max) text.resize(bytes_max);
  return text;
}

} // namespace

struct NativeMachine::Heard {
  wire::Open open; // the last one; the fields behind its circuit were `open_rest`
  std::string open_rest;
  wire::Accept accept;
  wire::Refuse refuse;
  wire::Credit credit;
  wire::Finish finish;
  wire::FinishAcknowledged finish_acknowledged;
  wire::Close close;
  wire::CloseReceived close_received;
  wire::Reset reset;
  wire::Ping ping;
  wire::Pong pong;
};

NativeMachine::NativeMachine(NativeMachineOptions options, Instant begins)
    : Whole(checked(options.limits), begins), options_(std::move(options)), heard_(std::make_unique<Heard>()),
      writer_(limits, Whole::now), farewell_(*this, writer_), far_peers_(*this),
      far_patience_(*this, far_peers_.takes().control_frames_per_second_max),
      local_peers_(*this, writer_, far_peers_), flood_guard_(*this), held_opens_(*this),
      keepalive_(*this, writer_, far_peers_), circuits_(*this, options_.dialled),
      window_(*this, writer_, nodes_, circuits_, keepalive_, far_patience_), scheduler_(*this, writer_, nodes_, keepalive_),
      deadlines_(*this), reader_(*this, {writer_, farewell_, far_peers_, flood_guard_, circuits_, window_, nodes_}) {
  if (!options_.proof_to_come) say_hello();
  window_.grant_initial();
  keepalive_.ping(); // times the round trip
}

void NativeMachine::say_hello() {
  wire::Hello hello;
  hello.set_version_min(1);
  hello.set_version_max(1);
  hello.set_node_id(std::string(options_.node_id.bytes()));
  hello.set_node_name(cut(options_.node_name, limits.name_bytes_max));
  for (const std::string& address : options_.addresses)
    if (hello.addresses_size() < hello_addresses_max && address.size() <= hello_address_bytes_max)
      hello.add_addresses(address);
  hello.set_fragment_bytes_max(limits.fragment_bytes_max);
  hello.add_features(feature_calls);
  hello.add_features(feature_shares);
  say_limits(limits, hello);
  hello.set_binding(proof_.hello_ours);
  writer_.put_introduction_first(hello);
}

/// What waits to be written was queued before there was a connection; it says first who says it.
void NativeMachine::prove(const ChannelProof& proof) {
  const Input input(*this, checks_);
  if (!std::exchange(options_.proof_to_come, false)) return;
  proof_ = proof;
  if (proof_.far && !options_.far_end.empty() && options_.far_end.find('#') == std::string::npos)
    options_.far_end += "#" + proof_.far->id.to_string();
  if (!farewell_.over()) say_hello();
}

NativeMachine::~NativeMachine() {
  for (NativeCircuit& circuit : circuits_.all()) {
    for (FragmentQueue* queue : {&circuit.receiving.reads, &circuit.receiving.errors, &circuit.sending.queue})
      while (!queue->empty()) nodes_.free(queue->pop());
    if (circuit.receiving.assembly) nodes_.free(circuit.receiving.assembly->node);
  }
}

std::string NativeMachine::from() const {
  return options_.far_end.empty() ? std::string() : ", from " + options_.far_end;
}

// Circuits.

/// A circuit that never reached the wire: it has no number, and its end is all there is to it.
NativeCircuit& NativeMachine::add_stillborn(OpenRequest& request, End reason) {
  auto remote = std::make_shared<const PeerName>(PeerName{request.to_peer, request.to_service, {}});
  NativeCircuit& circuit = circuits_.open_here(
      0, make_names(request.from, std::move(remote), 0, std::move(request.name), std::move(request.user_string)));
  end_circuit(circuit, std::move(reason));
  return circuit;
}

std::optional<End> NativeMachine::why_not_open(const OpenRequest& request, const Fragment* first,
                                               std::size_t metadata) const {
  if (!farewell_.running()) return End(error::trunk_lost, "the trunk is closed" + from());
  if (draining()) return End(error::draining, "the trunk takes no new circuits" + from());
  if (request.deadline <= now) return End(error::deadline_passed, "before the circuit was opened");
  if (first && !crosses(*first, metadata)) return End(error::fragment_too_large, "first " + why_not(*first));
  const FarLimits& there = far_peers_.takes();
  const std::size_t name_bytes_max = std::min(limits.name_bytes_max, there.name_bytes_max);
  const std::size_t user_string_bytes_max = std::min(limits.user_string_bytes_max, there.user_string_bytes_max);
  if (request.to_service.size() > name_bytes_max)
    return End(error::no_service, fmt::format("no service has a name of {} bytes: name_bytes_max is {}",
                                              request.to_service.size(), name_bytes_max));
  const std::size_t name_bytes = std::max(request.name.size(), request.from->service.size());
  if (name_bytes > name_bytes_max || request.user_string.size() > user_string_bytes_max)
    return End(
        error::protocol_violation_on_circuit,
        fmt::format("name of {} bytes or user string of {} exceeds name_bytes_max {} or user_string_bytes_max {}",
                    std::max(name_bytes, request.to_service.size()), request.user_string.size(), name_bytes_max,
                    user_string_bytes_max));
  if (!has_room_to_open()) return why_no_room_to_open();
  return std::nullopt;
}

/// Opens are small, and no credit holds them back: a far side that does not read must not fill our memory with them.
/// Nor may circuits that are given up before their answer keep it from reading for long.
bool NativeMachine::has_room_to_open() const {
  return circuits_.opened_here() < far_peers_.takes().circuits_max &&
         writer_.bytes() <= limits.trunk_memory_bytes_max && !far_patience_.is_used_up();
}

End NativeMachine::why_no_room_to_open() const {
  const FarLimits& there = far_peers_.takes();
  std::string text;
  if (circuits_.opened_here() >= there.circuits_max)
    text = fmt::format("there are {} circuits of this side, circuits_max of the far side is {}",
                       circuits_.opened_here(), there.circuits_max);
  else if (far_patience_.is_used_up())
    text = fmt::format("this side has given up many circuits before their answer, control_frames_per_second_max of the "
                       "far side is {}",
                       there.control_frames_per_second_max);
  else
    text = fmt::format("{} bytes of output wait to be written, trunk_memory_bytes_max is {}", writer_.bytes(),
                       limits.trunk_memory_bytes_max);
  return End(error::circuit_limit_reached, text + from());
}

bool NativeMachine::may_open() {
  const Input input(*this, checks_);
  wants_to_open_ = farewell_.running() && !draining() && !has_room_to_open();
  return !wants_to_open_;
}

void NativeMachine::note_room_to_open() {
  if (!wants_to_open_ || (!has_room_to_open() && farewell_.running() && !draining())) return;
  wants_to_open_ = false;
  emit(TrunkEvent::Kind::may_open);
}

TrunkCircuit* NativeMachine::open(OpenRequest request, std::optional<Fragment> first, Instant at) {
  const Input input(*this, checks_);
  note_time(at);
  const std::size_t metadata = first ? wire::metadata_bytes(*first) : 0;
  if (std::optional<End> why = why_not_open(request, first ? &*first : nullptr, metadata))
    return &add_stillborn(request, std::move(*why));
  const CircuitId id = circuits_.take_number();
  far_peers_.note_opened();
  ++Whole::counters.circuits_opened;
  local_peers_.introduce(request.from->id);
  const bool answer =
      request.wants_answer || request.mode == OpenMode::join_or_start || request.mode == OpenMode::start_only;
  writer_.put_open(id, request, answer);
  NativeCircuit& circuit =
      circuits_.open_here(id, make_names(request.from, far_peers_.name(request.to_peer, request.to_service), id,
                                         std::move(request.name), std::move(request.user_string)));
  if (!answer) circuit.answer = Answer::unasked;
  circuit.deadline = request.deadline;
  deadlines_.add(circuit);
  circuits_.join_peer(circuit);
  if (first) scheduler_.enqueue(circuit, *first, metadata);
  return &circuit;
}

void NativeMachine::accept(TrunkCircuit& base, std::shared_ptr<const PeerName> local) {
  const Input input(*this, checks_);
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (circuit.names.use_count() == 1) { // not shared yet
    std::const_pointer_cast<CircuitNames>(circuit.names)->local = local;
  } else {
    circuit.names =
        make_names(local, circuit.names->remote, circuit.id, circuit.names->name, circuit.names->user_string);
  }
  const bool is_awaited = std::exchange(circuit.answer, Answer::given) == Answer::awaited;
  if (circuit.ended) return;
  circuits_.join_peer(circuit);
  if (!is_awaited) return;
  local_peers_.introduce(local->id);
  writer_.put_accept(circuit.id, *local);
}

void NativeMachine::refuse(TrunkCircuit& base, error reason, std::string text, std::string existing) {
  const Input input(*this, checks_);
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (!circuit.ended) {
    ++Whole::counters.circuits_refused;
    writer_.put_refuse(circuit.id, reason, text, existing);
    end_circuit(circuit, End(reason, std::move(text)));
  }
  release(circuit);
}

void NativeMachine::left_backlog(TrunkCircuit& circuit) {
  const Input input(*this, checks_);
  static_cast<NativeCircuit&>(circuit).opening.in_backlog = false;
}

SendOutcome NativeMachine::send(TrunkCircuit& base, Fragment& fragment) {
  const Input input(*this, checks_);
  auto& circuit = static_cast<NativeCircuit&>(base);
  const std::size_t metadata = wire::metadata_bytes(fragment);
  if (circuit.ended || circuit.finished_here() || !crosses(fragment, metadata)) return SendOutcome::closed;
  return scheduler_.send(circuit, fragment, metadata);
}

/// `metadata` are the bytes of its metadata, which has to fit one frame.
bool NativeMachine::crosses(const Fragment& fragment, std::size_t metadata) const {
  return fragment.payload.size() <= fragment_bytes_max() &&
         (metadata == 0 || (metadata <= control_bytes_max && fragment.args.size() <= Args::items_max));
}

std::string NativeMachine::why_not(const Fragment& fragment) const {
  const std::size_t metadata = wire::metadata_bytes(fragment);
  if (crosses(fragment, metadata)) return {};
  const std::size_t payload = fragment.payload.size();
  if (payload > fragment_bytes_max())
    return fmt::format("fragment of {} bytes exceeds fragment_bytes_max {}", payload, fragment_bytes_max());
  return fmt::format("fragment with subject, err and {} args of {} bytes exceeds {} args or {} bytes",
                     fragment.args.size(), metadata, Args::items_max, control_bytes_max);
}

std::optional<Fragment> NativeMachine::take(TrunkCircuit& base) {
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (circuit.receiving.reads.empty()) return std::nullopt;
  const Input input(*this, checks_);
  std::optional<Fragment> fragment = window_.take(circuit, circuit.receiving.reads);
  if (circuit.finished_there()) acknowledge_finish(circuit);
  return fragment;
}

std::optional<Fragment> NativeMachine::take_error(TrunkCircuit& base) {
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (circuit.receiving.errors.empty()) return std::nullopt;
  const Input input(*this, checks_);
  std::optional<Fragment> fragment = window_.take(circuit, circuit.receiving.errors);
  if (circuit.finished_there()) acknowledge_finish(circuit);
  return fragment;
}

void NativeMachine::finish(TrunkCircuit& base) {
  const Input input(*this, checks_);
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (circuit.ended || circuit.finished_here()) return;
  circuit.out.ask_finish();
  scheduler_.end_sending(circuit);
}

void NativeMachine::close(TrunkCircuit& base, End reason) {
  const Input input(*this, checks_);
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (circuit.ended || circuit.closed_here()) return;
  circuit.out.ask_finish();
  circuit.closing = NativeCircuit::Closing::asked;
  if (!reason.clean()) // our CLOSE carries it, and what is tried from now on fails with it
    circuit.end = std::make_unique<End>(std::move(reason));
  reader_.forget(circuit);
  window_.drop_unread(circuit);
  window_.drop_assembly(circuit);
  scheduler_.end_sending(circuit);
}

void NativeMachine::reset(TrunkCircuit& base, End reason) {
  const Input input(*this, checks_);
  reset_circuit(static_cast<NativeCircuit&>(base), std::move(reason));
}

void NativeMachine::reset_circuit(NativeCircuit& circuit, End reason) {
  if (circuit.ended) return;
  if (reason.clean()) reason = End(error::circuit_reset);
  writer_.put_reset(circuit, reason);
  if (circuit.opened_here && circuit.counters.fragments_received == 0) far_patience_.use();
  window_.drop_unread(circuit);
  end_circuit(circuit, std::move(reason));
}

void NativeMachine::reset_provoked(NativeCircuit& circuit, End reason) {
  note_cancelled(circuit);
  reset_circuit(circuit, std::move(reason));
}

/// The far side ends a circuit in the middle. One that it had opened just before, and that got no answer, has cost work
/// for nothing: more where a service has begun with it.
void NativeMachine::note_cancelled(NativeCircuit& circuit) {
  if (circuit.opened_here) return;
  circuit.cancelled = circuit.opening.in_backlog;
  const bool is_answered = circuit.counters.fragments_sent > 0 || circuit.finished_here();
  if (is_answered || now - circuit.opening.opened_at >= std::chrono::seconds(1)) return;
  ++Whole::counters.opens_cancelled;
  if (circuit.opening.in_backlog && off_by_one("cancelled opens") == 0) flood_guard_.count_control_frame();
  else flood_guard_.charge_cancelled_open();
}

/// Our side hears of a circuit that was held, and of what has arrived on it meanwhile.
void NativeMachine::hand_out(NativeCircuit& circuit) {
  circuit.opening.opened_at = now;
  emit(TrunkEvent::Kind::opened, &circuit).open = held_opens_.let_go(circuit);
  if (!circuit.receiving.reads.empty() || circuit.finished_there()) emit(TrunkEvent::Kind::readable, &circuit);
  if (!circuit.receiving.errors.empty() || circuit.finished_there()) emit(TrunkEvent::Kind::error_readable, &circuit);
}

void NativeMachine::hand_out_held() {
  while (!held_opens_.empty() && flood_guard_.may_hand_out()) hand_out(held_opens_.next());
}

void NativeMachine::release(TrunkCircuit& base) {
  const Input input(*this, checks_);
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (!circuit.release()) return;
  circuit.waits = nullptr;
  window_.drop_unread(circuit);
  if (circuit.ended) return circuits_.let_go(circuit);
  if (circuit.closed_here()) return; // it stays until the far side has answered: nobody else would hear of a loss
  if (circuit.finished_here()) {
    close(circuit, End());
  } else {
    reset_circuit(circuit, End(error::circuit_abandoned));
  }
}

/// The one place where a circuit leaves the wire.
void NativeMachine::end_circuit(NativeCircuit& circuit, End reason) {
  if (std::exchange(circuit.ended, true)) return;
  if (!reason.clean()) circuit.end = std::make_unique<End>(std::move(reason));
  circuits_.leave(circuit);
  deadlines_.remove(circuit);
  reader_.forget(circuit);
  window_.drop_assembly(circuit);
  scheduler_.drop(circuit);
  if (circuit.held) { // our side never hears of it
    held_opens_.let_go(circuit);
    circuit.release();
    window_.drop_unread(circuit);
  } else {
    emit(TrunkEvent::Kind::ended, &circuit);
    if (circuit.released() && circuit.closed_here()) note_unheard(circuit);
  }
  if (circuit.opened_here) {
    if (wants_to_open_) note_room_to_open();
  } else if (circuit.counters.fragments_sent > 0) {
    flood_guard_.note_answered();
    if (!held_opens_.empty()) hand_out_held();
  }
  circuits_.retire(circuit);
  goodbye_when_drained();
}

/// Nobody holds the circuit any more who could be told how it has ended. A far side that ends it knows what it does not
/// take; one that refuses it, and a trunk that breaks, leave the loss to us.
void NativeMachine::note_unheard(NativeCircuit& circuit) {
  const bool is_whole = circuit.closing == NativeCircuit::Closing::answered || circuit.out.is_acknowledged();
  if (is_whole || circuit.counters.fragments_sent == 0) return;
  ++Whole::counters.circuits_lost;
  emit(TrunkEvent::Kind::lost, &circuit);
}

/// Once, when everything before the far side's finish was taken.
void NativeMachine::acknowledge_finish(NativeCircuit& circuit) {
  if (!circuit.in.is_finished() || circuit.in.is_acknowledged() || circuit.ended || circuit.closed_here()) return;
  if (!circuit.receiving.reads.empty()) return; // error fragments hold up nothing: they may be dropped, too
  circuit.in.acknowledge();
  writer_.put_control(FrameType::finish_acknowledged, circuit.id);
  end_when_done(circuit);
}

/// Both directions finished, and both sides know that everything was taken: over without another word. So it is when
/// our close is under way, too: the far side was over before it came.
void NativeMachine::end_when_done(NativeCircuit& circuit) {
  if (!circuit.out.is_acknowledged() || !circuit.in.is_acknowledged()) return;
  if (circuit.closing == NativeCircuit::Closing::no) {
    end_circuit(circuit, End());
  } else if (circuit.closing == NativeCircuit::Closing::said) {
    circuit.closing = NativeCircuit::Closing::answered;
    end_circuit(circuit, circuit.end ? *circuit.end : End());
  }
}

void NativeMachine::end_all(const End& reason) {
  circuits_.for_each([&](NativeCircuit& circuit) { end_circuit(circuit, reason); });
}

std::size_t NativeMachine::credit_bytes(const TrunkCircuit& base) const {
  const auto& circuit = static_cast<const NativeCircuit&>(base);
  if (circuit.ended || circuit.finished_here()) return 0;
  return static_cast<std::size_t>(std::max<std::int64_t>(0, circuit.sending.credit - circuit.sending.queued));
}

// Peers.

void NativeMachine::set_metadata(const PeerName& local, const Metadata& metadata) {
  const Input input(*this, checks_);
  // LocalPeer refuses by name what no frame can hold.
  if (!farewell_.running() || metadata.size() > Args::items_max || metadata_bytes(metadata) > control_bytes_max / 2)
    return;
  local_peers_.set_metadata(local.id, metadata);
}

void NativeMachine::end_peer(const PeerName& local, const End& reason) {
  const Input input(*this, checks_);
  local_peers_.end(local.id, circuits_.forget_peer(local.id), reason);
}

// The end of the trunk.

void NativeMachine::drain(Instant deadline, bool serve_late) {
  const Input input(*this, checks_);
  if (!farewell_.running()) return;
  farewell_.drain(deadline, serve_late);
  goodbye_when_drained();
}

void NativeMachine::goodbye_when_drained() {
  if (!farewell_.drained() || !circuits_.empty()) return;
  farewell_.say_goodbye(error::none, {});
  emit_closed(End());
}

/// The drain's deadline has passed.
void NativeMachine::end_drain() {
  circuits_.for_each(
      [&](NativeCircuit& circuit) { reset_circuit(circuit, End(error::draining, "the drain deadline has passed")); });
  if (!farewell_.running()) return;
  farewell_.say_goodbye(error::none, "drained");
  emit_closed(End());
}

void NativeMachine::close(End reason) {
  const Input input(*this, checks_);
  if (!farewell_.running()) return;
  farewell_.say_goodbye(Writer::reason_of(reason), reason.text);
  if (Whole::counters.bytes_sent > 0) // there is a connection: what has been said is still written
    circuits_.for_each([](NativeCircuit& circuit) {
      if (circuit.closing == NativeCircuit::Closing::said) circuit.closing = NativeCircuit::Closing::answered;
    });
  end_all(reason.clean() ? End(error::trunk_lost, "the trunk was closed") : reason);
  emit_closed(std::move(reason));
}

void NativeMachine::violate(error reason, std::string text) {
  if (!farewell_.running()) return;
  text += from();
  farewell_.say_goodbye(reason, text);
  const End cause(reason, std::move(text));
  end_all(End(error::trunk_lost, cause.to_string()));
  emit_closed(cause);
}

void NativeMachine::refuse_connection(End cause) {
  farewell_.end();
  cause.text += from();
  end_all(End(error::trunk_lost, cause.to_string()));
  emit_closed(std::move(cause));
}

void NativeMachine::disconnected(End cause) {
  const Input input(*this, checks_);
  reader_.drop_read_space();
  if (farewell_.over() || !farewell_.end()) return;
  if (cause.clean()) cause = End(error::trunk_lost, "the far side closed the connection");
  End reason = explains_no_connection(cause.code) ? cause : End(error::trunk_lost, cause.to_string());
  end_all(reason);
  reader_.drop_read_space();
  emit_closed(std::move(reason));
}

void NativeMachine::emit_closed(End reason) {
  emit(TrunkEvent::Kind::closed).end = std::make_unique<End>(std::move(reason));
}

// Bytes and time.

void NativeMachine::feed(std::span<const std::byte> bytes, Instant at) {
  const Input input(*this, checks_);
  note_time(at);
  keepalive_.heard();
  Whole::counters.bytes_received += bytes.size();
  reader_.feed(bytes);
}

void NativeMachine::collect_events(std::vector<TrunkEvent>& into) {
  into.clear();
  into.swap(events);
  deadline_is_nearer = false;
  circuits_.free_buried();
}

void NativeMachine::collect_output(Output& into, std::size_t bytes_max, Instant at) {
  const Input input(*this, checks_);
  note_time(at);
  into.clear();
  if (farewell_.over()) return;
  keepalive_.connected();
  keepalive_.put_pong();
  local_peers_.put();
  scheduler_.fill(bytes_max);
  writer_.collect(into);
  if (wants_to_open_) note_room_to_open();
  scheduler_.wake_waiting();
  if (into.empty()) return;
  keepalive_.write_began();
  Whole::counters.bytes_sent += into.bytes;
}

void NativeMachine::written(Instant at) {
  const Input input(*this, checks_);
  note_time(at);
  keepalive_.written();
}

bool NativeMachine::has_output() const {
  if (farewell_.over()) return false;
  if (writer_.bytes() > 0 || keepalive_.has_pong()) return true;
  if (local_peers_.has_output() && farewell_.running()) return true;
  return scheduler_.has_output();
}

Instant NativeMachine::deadline() const {
  if (!farewell_.running()) return farewell_.goodbye_deadline(unwritten());
  Instant first = keepalive_.deadline();
  first = std::min(first, farewell_.drain_deadline());
  first = std::min(first, scheduler_.deadline());
  first = std::min(first, window_.deadline());
  first = std::min(first, deadlines_.next());
  first = std::min(first, flood_guard_.deadline());
  first = std::min(first, local_peers_.deadline());
  if (wants_to_open_ && far_patience_.is_used_up()) first = std::min(first, far_patience_.recovers_at());
  if (!held_opens_.empty()) first = std::min(first, flood_guard_.hand_out_at());
  return first;
}

void NativeMachine::tick(Instant at) {
  const Input input(*this, checks_);
  note_time(at);
  if (farewell_.over()) return;
  if (!farewell_.running()) return farewell_.tick_goodbye(unwritten());
  if (flood_guard_.paused()) keepalive_.heard(); // what it says lies unread, for that is our doing
  bool pinged = false;
  if (End dead = keepalive_.tick(pinged); !dead.clean())
    return violate(static_cast<error>(dead.code.value()), std::move(dead.text));
  if (pinged) nodes_.free_spares(); // a quiet trunk holds no memory for a busy one
  scheduler_.tick();
  window_.tick();
  deadlines_.tick();
  flood_guard_.tick();
  local_peers_.tick();
  hand_out_held();
  if (wants_to_open_) note_room_to_open();
  if (farewell_.drain_overdue()) end_drain();
}

void NativeMachine::check() {
  const std::size_t circuits = circuits_.size() + Whole::counters.circuits_held; // all that there are
  const bool full = checks_.is_full(circuits + far_peers_.check_weight() + local_peers_.check_weight());
  writer_.check(full);
  farewell_.check();
  far_peers_.check(full);
  local_peers_.check(full);
  flood_guard_.check();
  held_opens_.check(full);
  keepalive_.check();
  circuits_.check(full);
  window_.check(full);
  scheduler_.check(full, circuits_);
  far_patience_.check();
  deadlines_.check(full);
  reader_.check();
  nodes_.check(full);
}

// Frames.

bool NativeMachine::parse(google::protobuf::MessageLite& message, std::span<const std::byte> body) {
  if (message.ParseFromArray(body.data(), static_cast<int>(body.size()))) return true;
  violate(error::protocol_error,
          fmt::format("a control frame of {} bytes is not a {}", body.size(), message.GetTypeName()));
  return false;
}

template <class Message> bool NativeMachine::parse_short(Message& message, std::span<const std::byte> body) {
  CircuitId id = 0;
  std::string_view rest;
  if (!wire::get_circuit(body, id, rest) || !rest.empty()) return parse(message, body);
  message.Clear();
  message.set_circuit(id);
  return true;
}

/// Into heard_->open; its circuit is returned. Most opens differ from the one before in their circuit only.
std::optional<CircuitId> NativeMachine::parse_open(std::span<const std::byte> body) {
  CircuitId id = 0;
  std::string_view rest;
  const bool is_usual = wire::get_circuit(body, id, rest);
  if (is_usual && !rest.empty() && rest == heard_->open_rest) return id;
  wire::Open& message = heard_->open;
  if (!parse(message, body)) return std::nullopt;
  // Only what protobuf would write the same: another circuit within the rest would be the one that counts.
  const bool is_kept = is_usual && rest.size() <= open_rest_bytes_max && wire::Open::Mode_IsValid(message.mode()) &&
                       message.ByteSizeLong() == body.size();
  heard_->open_rest = is_kept ? rest : std::string_view();
  return message.circuit();
}

namespace {

/// Of the numbers that `error` cannot hold, each is the largest: a reason without a name, and never none.
error reason_of_number(std::uint32_t number) noexcept {
  return static_cast<error>(std::min<std::uint32_t>(number, std::numeric_limits<std::underlying_type_t<error>>::max()));
}

} // namespace

template <class Message> End NativeMachine::reason_in(const Message& message, error otherwise) const {
  End reason(message.reason() ? reason_of_number(message.reason()) : otherwise,
             message.text().substr(0, limits.reason_bytes_max));
  reason.theirs = true;
  return reason;
}

void NativeMachine::on_control(FrameType type, std::span<const std::byte> body) {
  switch (type) {
    case FrameType::data: return;
    case FrameType::hello: return on_hello(body);
    case FrameType::open: return on_open(body);
    case FrameType::accept: return on_accept(body);
    case FrameType::refuse: return on_refuse(body);
    case FrameType::credit: return on_credit(body);
    case FrameType::finish: return on_finish(body);
    case FrameType::finish_acknowledged: return on_finish_acknowledged(body);
    case FrameType::close: return on_close(body);
    case FrameType::close_received: return on_close_received(body);
    case FrameType::reset: return on_reset(body);
    case FrameType::peer_metadata: return on_peer_metadata(body);
    case FrameType::peer_ended: return on_peer_ended(body);
    case FrameType::ping: return on_ping(body);
    case FrameType::pong: return on_pong(body);
    case FrameType::drain: return on_drain(body);
    case FrameType::goodbye: return on_goodbye(body);
  }
}

/// A connection between two sessions of TLS, or with TLS on one side of the way alone, shows here; so does a node that
/// says it is another one. Empty when nothing is wrong.
std::string NativeMachine::why_not_proven(const wire::Hello& hello, const NodeId& id) const {
  if (!proof_.far)
    return hello.binding().empty() ? std::string()
                                   : "the far side's hello is bound to a TLS session, and this connection has none: "
                                     "something between both ends takes TLS away";
  if (hello.binding() != proof_.hello_theirs)
    return hello.binding().empty() ? "the far side's hello is bound to no TLS session, and this connection has one"
                                   : "the far side's hello is bound to another TLS session than this one: something "
                                     "between both ends passes it on";
  if (proof_.far->is(id)) return {};
  return fmt::format("the far side says that it is node {}, and its key is that of node {}", id.to_string(),
                     proof_.far->id.to_string());
}

void NativeMachine::on_hello(std::span<const std::byte> body) {
  wire::Hello hello;
  if (!parse(hello, body)) return;
  if (far_peers_.introduced()) return violate(error::protocol_error, "a second hello");
  const auto id = NodeId::from_bytes(hello.node_id());
  if (!id || id->empty())
    return violate(error::protocol_error, fmt::format("node id of {} bytes in hello, expected 16 that are not all zero",
                                                      hello.node_id().size()));
  if (hello.version_min() > 1 || hello.version_max() < 1)
    return violate(error::version_mismatch, fmt::format("here versions 1 to 1 are spoken, there {} to {}",
                                                        hello.version_min(), hello.version_max()));
  if (hello.mandatory_features_size() > 0)
    return violate(error::mandatory_feature_unknown,
                   fmt::format("the far side demands \"{}\"", escape_markup(hello.mandatory_features(0), 128)));
  if (std::string why = why_not_proven(hello, *id); !why.empty()) return violate(error::not_proven, std::move(why));
  if (*id == options_.node_id) return violate(error::dialled_self, "the far side is this node itself");
  RemoteNode node;
  node.id = *id;
  node.name = escape_markup(hello.node_name(), limits.name_bytes_max);
  for (const std::string& address : hello.addresses())
    if (std::ssize(node.addresses) < hello_addresses_max && address.size() <= hello_address_bytes_max)
      node.addresses.push_back(address);
  far_peers_.introduce(std::move(node), limits_in(hello));
  for (const std::string& feature : hello.features()) {
    if (feature == feature_calls) far_peers_.note_knows_calls();
    if (feature != feature_shares) continue;
    window_.share();
    scheduler_.share();
  }
  local_peers_.hear_limits();
  far_patience_.hear_limit(far_peers_.takes().control_frames_per_second_max);
  if (wants_to_open_) note_room_to_open();
  emit(TrunkEvent::Kind::hello);
}

std::optional<End> NativeMachine::why_not_opened(const wire::Open& message, std::size_t strings) const {
  if (message.name().size() > limits.name_bytes_max || message.from_service().size() > limits.name_bytes_max ||
      message.user_string().size() > limits.user_string_bytes_max)
    return End(
        error::protocol_violation_on_circuit,
        fmt::format("name of {} bytes or user string of {} exceeds name_bytes_max {} or user_string_bytes_max {}",
                    std::max(message.name().size(), message.from_service().size()), message.user_string().size(),
                    limits.name_bytes_max, limits.user_string_bytes_max));
  if (message.to_service().size() > limits.name_bytes_max)
    return End(error::no_service, fmt::format("no service \"{}\": its name has {} bytes, name_bytes_max is {}",
                                              escape_markup(message.to_service(), limits.name_bytes_max / 2),
                                              message.to_service().size(), limits.name_bytes_max));
  if (farewell_.refuses_opens()) return End(error::draining, "this node takes no new circuits");
  return circuits_.why_no_more(strings);
}

void NativeMachine::on_open(std::span<const std::byte> body) {
  const std::optional<CircuitId> opened = parse_open(body);
  if (!opened) return;
  const CircuitId id = *opened;
  const wire::Open& message = heard_->open;
  if (id != circuits_.expected_number())
    return violate(error::protocol_error,
                   fmt::format("open of circuit {}, expected {}", id, circuits_.expected_number()));
  const auto from_peer = PeerId::from_bytes(message.from_peer());
  const auto to_peer = message.to_peer().empty() ? PeerId() : PeerId::from_bytes(message.to_peer());
  if (!from_peer || !to_peer || !wire::Open::Mode_IsValid(message.mode()))
    return violate(error::protocol_error, fmt::format("open of circuit {} with a malformed peer id or mode", id));
  if (farewell_.draining_there())
    return violate(error::protocol_error, fmt::format("open of circuit {} after drain", id));
  circuits_.note_number_there();
  far_peers_.note_opened();
  const std::size_t strings = message.name().size() + message.from_service().size() + message.user_string().size();
  if (const std::optional<End> why = why_not_opened(message, strings)) {
    ++Whole::counters.circuits_refused;
    return writer_.put_refuse(id, static_cast<error>(why->code.value()), why->text, {});
  }
  auto request = std::make_unique<OpenRequest>();
  request->mode = static_cast<OpenMode>(message.mode());
  request->from = far_peers_.name(*from_peer, message.from_service());
  request->to_peer = *to_peer;
  request->to_service = message.to_service();
  request->name = message.name();
  request->user_string = message.user_string();
  request->wants_answer = message.wants_answer();
  if (message.remaining_ms() != 0)
    request->deadline =
        now + std::chrono::milliseconds(std::min<std::uint64_t>(message.remaining_ms(), remaining_ms_max));
  NativeCircuit& circuit =
      circuits_.open_there(id, make_names(nullptr, request->from, id, request->name, request->user_string), strings);
  if (!request->wants_answer) circuit.answer = Answer::unasked;
  circuit.deadline = request->deadline;
  deadlines_.add(circuit);
  if (held_opens_.empty() && flood_guard_.may_hand_out())
    emit(TrunkEvent::Kind::opened, &circuit).open = std::move(request);
  else held_opens_.hold(circuit, std::move(request));
}

void NativeMachine::on_accept(std::span<const std::byte> body) {
  auto& message = heard_->accept;
  if (!parse(message, body)) return;
  NativeCircuit* circuit = nullptr;
  if (circuits_.find_for(FrameType::accept, message.circuit(), circuit) != Circuits::Known::live) return;
  const auto peer = PeerId::from_bytes(message.peer());
  if (message.service().size() > limits.name_bytes_max)
    return violate(error::protocol_error, fmt::format("accept of circuit {} by a service with a name of {} bytes",
                                                      circuit->id, message.service().size()));
  if (!circuit->opened_here || circuit->answered() || !peer)
    return violate(error::protocol_error, fmt::format("accept of circuit {}, which waits for none", message.circuit()));
  circuit->answer = Answer::given;
  if (circuit->names->remote->id != *peer || circuit->names->remote->service != message.service())
    circuits_.rename(*circuit, make_names(circuit->names->local, far_peers_.name(*peer, message.service()), circuit->id,
                                          circuit->names->name, circuit->names->user_string));
  emit(TrunkEvent::Kind::answered, circuit);
}

void NativeMachine::on_refuse(std::span<const std::byte> body) {
  auto& message = heard_->refuse;
  if (!parse(message, body)) return;
  NativeCircuit* circuit = nullptr;
  if (circuits_.find_for(FrameType::refuse, message.circuit(), circuit) != Circuits::Known::live) return;
  if (!circuit->opened_here)
    return violate(error::protocol_error, fmt::format("refuse of circuit {} by its opener", message.circuit()));
  End reason = reason_in(message, error::access_denied);
  reason.existing_url = message.existing_url().substr(0, control_bytes_max / 4);
  end_circuit(*circuit, std::move(reason));
}

void NativeMachine::on_credit(std::span<const std::byte> body) {
  auto& message = heard_->credit;
  if (!parse(message, body)) return;
  const std::uint64_t bytes = message.bytes();
  if (bytes == 0) return violate(error::flow_control_violated, "credit of 0 bytes");
  if (bytes < credit_tiny) flood_guard_.count_control_frame();
  NativeCircuit* circuit = nullptr;
  if (message.circuit() == 0)
    return scheduler_.add_credit(bytes, message.growth(),
                                 message.completes() == 0 ? nullptr : circuits_.find(message.completes()));
  if (circuits_.find_for(FrameType::credit, message.circuit(), circuit) != Circuits::Known::live) return;
  scheduler_.add_credit(*circuit, bytes, message.growth());
}

void NativeMachine::on_finish(std::span<const std::byte> body) {
  auto& message = heard_->finish;
  if (!parse_short(message, body)) return;
  NativeCircuit* circuit = nullptr;
  if (circuits_.find_for(FrameType::finish, message.circuit(), circuit) != Circuits::Known::live) return;
  if (circuit->finished_there() || circuit->receiving.assembly)
    return reset_provoked(*circuit, End(error::protocol_violation_on_circuit,
                                        circuit->receiving.assembly ? "finish inside a fragment" : "a second finish"));
  circuit->in.finish();
  if (circuit->held) return acknowledge_finish(*circuit); // it is told when it is handed out
  emit(TrunkEvent::Kind::readable, circuit);
  emit(TrunkEvent::Kind::error_readable, circuit);
  acknowledge_finish(*circuit);
}

void NativeMachine::on_finish_acknowledged(std::span<const std::byte> body) {
  auto& message = heard_->finish_acknowledged;
  if (!parse_short(message, body)) return;
  NativeCircuit* circuit = nullptr;
  if (circuits_.find_for(FrameType::finish_acknowledged, message.circuit(), circuit) != Circuits::Known::live) return;
  const bool said = circuit->out.is_finished() || circuit->closed_here();
  if (!said || circuit->out.is_acknowledged())
    return violate(error::protocol_error, fmt::format("circuit {}: an unsent finish is acknowledged", circuit->id));
  circuit->out.acknowledge();
  emit(TrunkEvent::Kind::finished, circuit);
  end_when_done(*circuit);
}

void NativeMachine::on_close(std::span<const std::byte> body) {
  auto& message = heard_->close;
  if (!parse_short(message, body)) return;
  NativeCircuit* circuit = nullptr;
  if (circuits_.find_for(FrameType::close, message.circuit(), circuit) != Circuits::Known::live) return;
  if (circuit->receiving.assembly)
    return reset_provoked(*circuit, End(error::protocol_violation_on_circuit, "close inside a fragment"));
  if (circuit->held) hand_out(*circuit); // nothing is cancelled here
  circuit->in.finish();
  circuit->closed_there = true;
  const bool was_said = circuit->closing == NativeCircuit::Closing::said;
  if (circuit->closed_here()) circuit->closing = NativeCircuit::Closing::answered;
  End reason = message.reason() != 0 ? reason_in(message, error::none) : End();
  if (was_said) { // each is the answer to the other
    if (circuit->end) reason = *circuit->end;
  } else {
    writer_.put_control(FrameType::close_received, circuit->id);
  }
  end_circuit(*circuit, std::move(reason));
}

void NativeMachine::on_close_received(std::span<const std::byte> body) {
  auto& message = heard_->close_received;
  if (!parse_short(message, body)) return;
  NativeCircuit* circuit = nullptr;
  if (circuits_.find_for(FrameType::close_received, message.circuit(), circuit) != Circuits::Known::live) return;
  if (circuit->closing != NativeCircuit::Closing::said)
    return violate(error::protocol_error, fmt::format("circuit {}: an unsent close is answered", circuit->id));
  circuit->closing = NativeCircuit::Closing::answered;
  end_circuit(*circuit, circuit->end ? *circuit->end : End());
}

void NativeMachine::on_reset(std::span<const std::byte> body) {
  auto& message = heard_->reset;
  if (!parse(message, body)) return;
  NativeCircuit* circuit = nullptr;
  if (circuits_.find_for(FrameType::reset, message.circuit(), circuit) != Circuits::Known::live) return;
  note_cancelled(*circuit);
  if (circuit->closed_here()) circuit->closing = NativeCircuit::Closing::answered;
  end_circuit(*circuit, reason_in(message, error::circuit_reset));
}

void NativeMachine::on_peer_metadata(std::span<const std::byte> body) {
  wire::PeerMetadata message;
  flood_guard_.count_control_frame();
  if (!parse(message, body)) return;
  const auto peer = PeerId::from_bytes(message.peer());
  if (!peer) return violate(error::protocol_error, "metadata of a malformed peer id");
  Metadata metadata;
  std::size_t bytes = 0;
  for (const auto& item : message.items()) {
    bytes += item.key().size() + item.value().size();
    metadata[item.key()] = item.value();
  }
  // A side may say as much as is assumed before it has heard of our limits: what there is no room for is dropped.
  constexpr std::size_t bytes_max = FarLimits().metadata_bytes_max;
  if (bytes > bytes_max || metadata.size() > Args::items_max)
    return violate(error::protocol_error,
                   fmt::format("metadata of {} bytes in {} items exceeds metadata_bytes_max {} or {} items", bytes,
                               metadata.size(), bytes_max, Args::items_max));
  far_peers_.keep(*peer, std::move(metadata));
  emit(TrunkEvent::Kind::metadata).peer = *peer;
}

void NativeMachine::on_peer_ended(std::span<const std::byte> body) {
  wire::PeerEnded message;
  if (!far_peers_.end_is_expected()) flood_guard_.count_control_frame();
  if (!parse(message, body)) return;
  const auto peer = PeerId::from_bytes(message.peer());
  if (!peer) return violate(error::protocol_error, "the end of a malformed peer id");
  far_peers_.forget(*peer);
  TrunkEvent& event = emit(TrunkEvent::Kind::peer_ended);
  event.peer = *peer;
  event.end = std::make_unique<End>(reason_in(message, error::none));
}

void NativeMachine::on_ping(std::span<const std::byte> body) {
  auto& message = heard_->ping;
  if (!parse(message, body) || !flood_guard_.count_ping()) return;
  const bool was_due = keepalive_.has_pong_due();
  keepalive_.heard_ping(message.number());
  if (!was_due && !flood_guard_.count_pong()) keepalive_.defer_pong();
}

void NativeMachine::on_pong(std::span<const std::byte> body) {
  auto& message = heard_->pong;
  flood_guard_.count_control_frame();
  if (parse(message, body)) keepalive_.heard_pong(message.number());
}

void NativeMachine::on_drain(std::span<const std::byte> body) {
  flood_guard_.count_control_frame();
  if (wire::Drain message; !parse(message, body)) return;
  if (farewell_.heard_drain()) emit(TrunkEvent::Kind::draining);
  goodbye_when_drained();
}

void NativeMachine::on_goodbye(std::span<const std::byte> body) {
  wire::Goodbye message;
  if (!parse(message, body)) return;
  const error reason = reason_of_number(message.reason());
  End cause = reason == error::none ? End() : End(reason, escape_markup(message.text(), limits.reason_bytes_max));
  farewell_.end();
  const bool broken = reason >= error::protocol_error && reason < error::fragment_too_large;
  const std::string said = "the far side says: " + cause.to_string();
  cause.theirs = !cause.clean();
  if (reason == error::none) {
    end_all(End(error::draining, "the far side has drained"));
  } else {
    end_all(broken ? End(error::trunk_lost, said) : cause);
  }
  emit_closed(cause);
}

} // namespace trunkline

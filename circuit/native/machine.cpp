#include "circuit/native/machine.hpp"

#include "circuit/native/messages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline {

using wire::FrameType;

namespace {

NativeMachineOptions checked(NativeMachineOptions options) {
  Limits& limits = options.limits;
  limits.check();
  // Half of the memory reassembles: room for two of the largest fragments, so that one stalled there delays no other.
  limits.trunk_memory_bytes_max = std::max(limits.trunk_memory_bytes_max, 4 * limits.fragment_bytes_max);
  return options;
}

std::string cut(std::string text, std::size_t bytes_max) {
  if (text.size() > bytes_max) text.resize(bytes_max);
  return text;
}

} // namespace

bool RateLimit::count(Instant now, std::uint32_t max, std::chrono::nanoseconds period) {
  if (count_ == 0 || now - since_ >= period) {
    since_ = now;
    count_ = 0;
  }
  return ++count_ <= max;
}

void Output::gather(std::vector<std::span<const std::byte>>& into) const {
  into.clear();
  if (!control.empty()) into.emplace_back(control);
  for (const Piece& piece : pieces) {
    const std::byte* data = piece.large < 0 ? small.data() : large[static_cast<std::size_t>(piece.large)].data();
    into.emplace_back(data + piece.offset, piece.size);
  }
}

void Output::clear() noexcept {
  control.clear();
  small.clear();
  large.clear();
  pieces.clear();
  bytes = 0;
}

NativeMachine::NativeMachine(NativeMachineOptions options)
    : options_(checked(std::move(options))), messages_(std::make_unique<Messages>()),
      fragment_bytes_max_(options_.limits.fragment_bytes_max), next_here_(options_.dialled ? 1 : 2),
      next_there_(options_.dialled ? 2 : 1),
      trunk_window_(static_cast<std::int64_t>(options_.limits.trunk_memory_bytes_max / 2)),
      pool_bytes_(options_.limits.trunk_memory_bytes_max / 2),
      cancelled_opens_tokens_(5.0 * options_.limits.cancelled_opens_per_second_max) {
  const auto* magic = reinterpret_cast<const std::byte*>(wire::preface.data());
  pending_.control.append({magic, wire::preface.size()});
  pending_.bytes = wire::preface.size();
  wire::Hello hello;
  hello.set_version_min(1);
  hello.set_version_max(1);
  hello.set_node_id(std::string(options_.node_id.bytes()));
  hello.set_node_name(cut(options_.node_name, options_.limits.name_bytes_max));
  for (const std::string& address : options_.addresses)
    if (hello.ByteSizeLong() + address.size() < control_bytes_max - 64) hello.add_addresses(address);
  hello.set_fragment_bytes_max(options_.limits.fragment_bytes_max);
  put_control(FrameType::hello, hello);
  trunk_consumed_ = trunk_window_ - trunk_receive_credit_; // what our window is beyond the assumed one
  if (trunk_consumed_ > 0) grant_trunk();
  send_ping(); // times the round trip
}

NativeMachine::~NativeMachine() {
  if (chunk_node_) free_node(chunk_node_);
  all_.clear_and_dispose([this](NativeCircuit* circuit) {
    drop_outgoing(*circuit);
    for (FragmentQueue* queue : {&circuit->reads, &circuit->errors})
      while (!queue->empty()) free_node(queue->pop());
    if (circuit->assembly) free_node(circuit->assembly->node);
    delete circuit;
  });
  buried_.clear();
  buried_before_.clear();
  free_spare_nodes();
}

error NativeMachine::wire_reason(const End& reason) noexcept {
  if (reason.clean()) return error::none;
  if (reason.code.category() != trunkline_category()) return error::handler_failed;
  return static_cast<error>(reason.code.value());
}

// Circuits.

NativeCircuit* NativeMachine::find(CircuitId id) {
  if (found_last_ && found_last_->id == id) return found_last_;
  const auto found = circuits_.find(id);
  if (found == circuits_.end()) return nullptr;
  return found_last_ = found->second;
}

bool NativeMachine::was_opened(CircuitId id) const noexcept {
  if (id == 0) return false;
  return id < ((id & 1) == (next_here_ & 1) ? next_here_ : next_there_);
}

std::shared_ptr<const CircuitNames> NativeMachine::name(std::shared_ptr<const PeerName> local,
                                                        std::shared_ptr<const PeerName> remote, CircuitId id,
                                                        std::string name, std::string user_string) {
  auto names = std::make_shared<CircuitNames>();
  names->local = std::move(local);
  names->remote = std::move(remote);
  names->circuit_id = id;
  names->name = std::move(name);
  names->user_string = std::move(user_string);
  return names;
}

std::shared_ptr<const PeerName> NativeMachine::remote_peer(const PeerId& id, const std::string& service) {
  auto& known = remote_peers_[id];
  auto peer = known.lock();
  if (!peer || peer->service != service) {
    peer = std::make_shared<const PeerName>(PeerName{id, service, {}});
    known = peer;
    if (remote_peers_.size() > remote_peers_sweep_at_) {
      boost::unordered::erase_if(remote_peers_, [](const auto& entry) { return entry.second.expired(); });
      // As many new ones again before the next sweep: all sweeps together cost no more than the insertions.
      remote_peers_sweep_at_ = std::max<std::size_t>(options_.limits.remote_peers_max, 2 * remote_peers_.size());
    }
  }
  return peer;
}

NativeCircuit& NativeMachine::add(CircuitId id, bool opened_here, std::shared_ptr<const CircuitNames> names) {
  auto* circuit = new NativeCircuit;
  all_.push_back(*circuit);
  circuit->id = id;
  circuit->opened_here = opened_here;
  circuit->names = std::move(names);
  circuit->opened_at = now_;
  circuit->granted_at = now_;
  if (id != 0) circuits_.emplace(id, circuit);
  return *circuit;
}

/// A circuit that never reached the wire: it has no number, and its end is all there is to it.
NativeCircuit& NativeMachine::add_stillborn(OpenRequest& request, End reason) {
  auto remote = std::make_shared<const PeerName>(PeerName{request.to_peer, request.to_service, {}});
  NativeCircuit& circuit =
      add(0, true, name(request.from, std::move(remote), 0, std::move(request.name), std::move(request.user_string)));
  end_circuit(circuit, std::move(reason));
  return circuit;
}

TrunkCircuit* NativeMachine::open(OpenRequest request, std::optional<Fragment> first, Instant now) {
  now_ = std::max(now_, now);
  if (state_ != State::running) return &add_stillborn(request, End(error::trunk_lost, "the trunk is closed" + from()));
  if (draining()) return &add_stillborn(request, End(error::draining, "the trunk takes no new circuits" + from()));
  if (first && first->payload.size() > fragment_bytes_max_)
    return &add_stillborn(
        request, End(error::fragment_too_large, fmt::format("first fragment of {} bytes exceeds fragment_bytes_max {}",
                                                            first->payload.size(), fragment_bytes_max_)));
  if (const std::size_t size = first ? wire::metadata_bytes(*first) : 0;
      size > control_bytes_max || (first && first->args.size() > Args::items_max))
    return &add_stillborn(
        request, End(error::fragment_too_large,
                     fmt::format("subject, err and {} args of {} bytes of a first fragment exceed {} args or {} bytes",
                                 first->args.size(), size, Args::items_max, control_bytes_max)));
  const Limits& limits = options_.limits;
  const std::size_t name_bytes =
      std::max({request.name.size(), request.from->service.size(), request.to_service.size()});
  if (request.to_service.size() > limits.name_bytes_max)
    return &add_stillborn(request,
                          End(error::no_service, fmt::format("no service has a name of {} bytes: name_bytes_max is {}",
                                                             request.to_service.size(), limits.name_bytes_max)));
  if (name_bytes > limits.name_bytes_max || request.user_string.size() > limits.user_string_bytes_max)
    return &add_stillborn(request, End(error::protocol_violation_on_circuit,
                                       fmt::format("name of {} bytes or user string of {} exceeds name_bytes_max {} or "
                                                   "user_string_bytes_max {}",
                                                   name_bytes, request.user_string.size(), limits.name_bytes_max,
                                                   limits.user_string_bytes_max)));
  const CircuitId id = std::exchange(next_here_, next_here_ + 2);
  ++peers_may_end_;
  const bool answer =
      request.wants_answer || request.mode == OpenMode::join_or_start || request.mode == OpenMode::start_only;
  put_control(FrameType::open, id, open_rest(request, answer));

  NativeCircuit& circuit = add(id, true,
                               name(request.from, remote_peer(request.to_peer, request.to_service), id,
                                    std::move(request.name), std::move(request.user_string)));
  circuit.answered = !answer;
  if (first) enqueue(circuit, *first, first->payload.size() + wire::metadata_bytes(*first) + fragment_credit_overhead);
  return &circuit;
}

/// The fields of an OPEN behind its circuit. Those of the last one are kept: who opens many opens most of them alike.
const std::string& NativeMachine::open_rest(const OpenRequest& request, bool wants_answer) {
  auto& message = messages_->opening;
  std::string& rest = messages_->opening_rest;
  const auto mode = static_cast<trunkline::wire::Open::Mode>(request.mode);
  const std::string_view from_peer = request.from->id.bytes();
  const std::string_view to_peer = request.to_peer.empty() ? std::string_view() : request.to_peer.bytes();
  if (!rest.empty() && message.to_peer() == to_peer && message.from_peer() == from_peer && message.mode() == mode &&
      message.wants_answer() == wants_answer && message.to_service() == request.to_service &&
      message.from_service() == request.from->service && message.name() == request.name &&
      message.user_string() == request.user_string)
    return rest;
  message.set_mode(mode);
  message.set_from_peer(from_peer.data(), from_peer.size());
  message.set_from_service(request.from->service);
  message.set_to_peer(to_peer.data(), to_peer.size());
  message.set_to_service(request.to_service);
  message.set_name(request.name);
  message.set_user_string(request.user_string);
  message.set_wants_answer(wants_answer);
  message.SerializeToString(&rest);
  return rest;
}

void NativeMachine::accept(TrunkCircuit& base, std::shared_ptr<const PeerName> local) {
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (circuit.names.use_count() == 1) { // nobody else has them yet
    std::const_pointer_cast<CircuitNames>(circuit.names)->local = local;
  } else {
    circuit.names = name(local, circuit.names->remote, circuit.id, circuit.names->name, circuit.names->user_string);
  }
  circuit.answered = true;
  if (circuit.ended || !circuit.answer_wanted) return;
  auto& message = messages_->accept;
  message.Clear();
  message.set_circuit(circuit.id);
  message.set_peer(local->id.bytes().data(), RandomId::bytes_count);
  message.set_service(local->service);
  put_control(FrameType::accept, message);
}

void NativeMachine::refuse(TrunkCircuit& base, error reason, std::string text, std::string existing) {
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (!circuit.ended) {
    ++counters_.circuits_refused;
    send_refuse(circuit.id, reason, text, existing);
    end_circuit(circuit, End(reason, std::move(text)));
  }
  release(circuit);
}

void NativeMachine::send_refuse(CircuitId id, error reason, const std::string& text, const std::string& existing) {
  auto& message = messages_->refuse;
  message.Clear();
  message.set_circuit(id);
  message.set_reason(static_cast<std::uint32_t>(reason));
  message.set_text(cut(text, options_.limits.reason_bytes_max));
  message.set_existing_url(cut(existing, control_bytes_max / 4));
  put_control(FrameType::refuse, message);
}

void NativeMachine::left_backlog(TrunkCircuit& circuit) { leave_backlog(static_cast<NativeCircuit&>(circuit)); }

void NativeMachine::leave_backlog(NativeCircuit& circuit) {
  if (circuit.in_backlog) --backlog_count_;
  circuit.in_backlog = false;
}

void NativeMachine::finish(TrunkCircuit& base) {
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (circuit.ended || circuit.sending != NativeCircuit::Sending::open) return;
  circuit.finished_here = true;
  circuit.sending = NativeCircuit::Sending::finish_queued;
  if (circuit.outgoing.empty()) end_sending(circuit);
}

void NativeMachine::close(TrunkCircuit& base, End reason) {
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (circuit.ended || circuit.closed_here) return;
  circuit.finished_here = true;
  circuit.closed_here = true;
  if (!reason.clean()) {
    circuit.end =
        std::make_unique<End>(std::move(reason)); // our CLOSE carries it, and what is tried from now on fails with it
  }
  forget_chunk(circuit);
  drop_unread(circuit);
  drop_assembly(circuit);
  circuit.sending = NativeCircuit::Sending::close_queued;
  circuit.stalled_since = now_; // the answer, too, has a deadline
  circuit.stalled.unlink();
  stalled_.push_back(circuit);
  if (circuit.outgoing.empty()) end_sending(circuit);
}

void NativeMachine::reset(TrunkCircuit& base, End reason) {
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (circuit.ended) return;
  if (reason.clean()) reason = End(error::circuit_reset);
  send_reset(circuit.id, reason);
  drop_unread(circuit);
  end_circuit(circuit, std::move(reason));
}

void NativeMachine::release(TrunkCircuit& base) {
  auto& circuit = static_cast<NativeCircuit&>(base);
  if (std::exchange(circuit.released, true)) return;
  circuit.waits = nullptr;
  leave_backlog(circuit);
  drop_unread(circuit);
  if (circuit.ended) {
    --counters_.circuits_held;
    return bury(circuit);
  }
  if (circuit.sending == NativeCircuit::Sending::close_sent) return end_circuit(circuit, End());
  if (circuit.closed_here) return;
  if (circuit.finished_here) {
    close(circuit, End());
  } else {
    reset(circuit, End(error::circuit_abandoned));
  }
}

/// The one place where a circuit leaves the wire.
void NativeMachine::end_circuit(NativeCircuit& circuit, End reason) {
  if (std::exchange(circuit.ended, true)) return;
  if (!reason.clean()) circuit.end = std::make_unique<End>(std::move(reason));
  if (circuit.id != 0) circuits_.erase(circuit.id);
  if (found_last_ == &circuit) found_last_ = nullptr;
  forget_chunk(circuit);
  drop_assembly(circuit);
  circuit.waiting.unlink();
  drop_outgoing(circuit);
  circuit.stalled.unlink();
  emit(TrunkEvent::Kind::ended, &circuit);
  if (circuit.released) bury(circuit);
  else ++counters_.circuits_held;
  goodbye_when_drained();
}

/// Both directions finished, and both sides know that everything was taken: over without another word.
void NativeMachine::end_when_done(NativeCircuit& circuit) {
  if (!circuit.finish_acknowledged || !circuit.finish_taken_sent) return;
  if (circuit.sending == NativeCircuit::Sending::finish_sent) {
    end_circuit(circuit, End());
  } else if (circuit.sending == NativeCircuit::Sending::close_sent) { // the far side was over before our close came
    end_circuit(circuit, circuit.end ? *circuit.end : End());
  }
}

void NativeMachine::end_all(const End& reason) {
  std::vector<CircuitId> ids; // in order: what is told to the outside must not depend on a hash
  ids.reserve(circuits_.size());
  for (const auto& [id, circuit] : circuits_) ids.push_back(id);
  std::ranges::sort(ids);
  for (const CircuitId id : ids)
    if (NativeCircuit* circuit = find(id)) end_circuit(*circuit, reason);
}

void NativeMachine::bury(NativeCircuit& circuit) {
  if (!circuit.opened_here) {
    --opened_there_count_;
    opened_there_strings_ -= circuit.strings;
  }
  circuit.of_trunk.unlink();
  buried_.emplace_back(&circuit);
}

void NativeMachine::collect_events(std::vector<TrunkEvent>& into) {
  into.clear();
  into.swap(events_);
  std::erase_if(buried_before_, [this](const auto& circuit) {
    if (circuit->holds != 0) return false;
    if (!names_opened_.empty()) names_opened_.erase(circuit->id);
    return true;
  });
  std::ranges::move(buried_, std::back_inserter(buried_before_));
  buried_.clear();
}

// Peers.

void NativeMachine::circuits_of(const PeerId& local, std::vector<TrunkCircuit*>& into) {
  into.clear();
  for (NativeCircuit& circuit : all_)
    if (!circuit.ended && !circuit.released && circuit.names->local && circuit.names->local->id == local)
      into.push_back(&circuit);
}

void NativeMachine::set_metadata(const PeerName& local, const Metadata& metadata) {
  if (state_ != State::running) return;
  trunkline::wire::PeerMetadata message;
  message.set_peer(local.id.bytes().data(), RandomId::bytes_count);
  for (const auto& [key, value] : metadata) {
    auto* item = message.add_items();
    item->set_key(key);
    item->set_value(value);
  }
  if (message.ByteSizeLong() > control_bytes_max || metadata.size() > Args::items_max)
    return; // LocalPeer refuses it by name
  put_control(FrameType::peer_metadata, message);
}

const Metadata* NativeMachine::remote_metadata(const PeerId& peer) const {
  const auto found = remote_metadata_.find(peer);
  return found == remote_metadata_.end() ? nullptr : &found->second;
}

void NativeMachine::end_peer(const PeerName& local, const End& reason) {
  if (state_ != State::running) return;
  trunkline::wire::PeerEnded message;
  message.set_peer(local.id.bytes().data(), RandomId::bytes_count);
  message.set_reason(static_cast<std::uint32_t>(wire_reason(reason)));
  message.set_text(cut(reason.text, options_.limits.reason_bytes_max));
  put_control(FrameType::peer_ended, message);
}

// The end of the trunk.

std::string NativeMachine::from() const {
  return options_.far_end.empty() ? std::string() : ", from " + options_.far_end;
}

void NativeMachine::drain(Instant deadline, bool serve_late) {
  if (state_ != State::running) return;
  drain_deadline_ = std::min(drain_deadline_, deadline);
  serve_late_ = serve_late && (!draining_here_ || serve_late_);
  draining_here_ = true;
  send_drain();
  goodbye_when_drained();
}

void NativeMachine::send_drain() {
  if (std::exchange(drain_sent_, true)) return;
  put_control(FrameType::drain, trunkline::wire::Drain());
}

/// Waits for the far side's DRAIN as well: until then an OPEN of it may be under way.
void NativeMachine::goodbye_when_drained() {
  if (state_ != State::running || !draining_here_ || !draining_there_ || !circuits_.empty()) return;
  say_goodbye(error::none, {});
  emit_closed(End());
}

void NativeMachine::close(End reason) {
  if (state_ != State::running) return;
  const error code = wire_reason(reason);
  say_goodbye(code, reason.text);
  end_all(reason.clean() ? End(error::trunk_lost, "the trunk was closed") : reason);
  emit_closed(std::move(reason));
}

void NativeMachine::violate(error reason, std::string text) {
  if (state_ != State::running) return;
  text += from();
  say_goodbye(reason, text);
  const End cause(reason, std::move(text));
  end_all(End(error::trunk_lost, cause.to_string()));
  emit_closed(cause);
}

/// In band: everything that is already in the output goes before it.
void NativeMachine::say_goodbye(error reason, const std::string& text) {
  state_ = State::goodbye_said;
  goodbye_deadline_ = Instant::max(); // from the next time that somebody says what time it is
  trunkline::wire::Goodbye message;
  message.set_reason(static_cast<std::uint32_t>(reason));
  message.set_text(cut(text, options_.limits.reason_bytes_max));
  put_in_band(FrameType::goodbye, message);
}

void NativeMachine::emit_closed(End reason) {
  emit(TrunkEvent::Kind::closed).end = std::make_unique<End>(std::move(reason));
}

void NativeMachine::disconnected(End cause) {
  abandoned_ = Payload(); // no read is under way any more
  if (state_ == State::over) return;
  const bool told = std::exchange(state_, State::over) == State::goodbye_said;
  pending_.clear();
  if (told) return;
  if (cause.clean()) cause = End(error::trunk_lost, "the far side closed the connection");
  const bool own = cause.code == error::connect_failed || cause.code == error::dialled_self; // says more than "lost"
  End reason = own ? cause : End(error::trunk_lost, cause.to_string());
  end_all(reason);
  abandoned_ = Payload();
  emit_closed(std::move(reason));
}

bool NativeMachine::over() const { return state_ == State::over; }

// Time.

/// Nothing of ours is on its way. Whoever only takes what a slow link brings must say something now and then, or is
/// taken for dead by a far side whose own pings stand in line behind all that.
bool NativeMachine::says_little() const { return connected_ && remote_ && !writing_ && !ping_unwritten_; }

bool NativeMachine::wants_ping() const {
  const auto interval = options_.limits.keepalive_interval;
  return (connected_ && !ping_sent_ && now_ >= heard_at_ + interval) ||
         (says_little() && now_ >= writing_since_ + interval);
}

Instant NativeMachine::deadline() const {
  if (state_ == State::over) return Instant::max();
  if (state_ == State::goodbye_said) {
    const Instant due = pending_.bytes > 0 || writing_ ? goodbye_write_by_ : goodbye_deadline_;
    return due == Instant::max() ? now_ : due;
  }
  const Limits& limits = options_.limits;
  Instant first = drain_deadline_;
  if (!stalled_.empty()) first = std::min(first, stalled_.front().stalled_since + limits.stall_deadline);
  first = std::min(first, stall_check_at_);
  if (trunk_stalled_since_ != Instant::max()) first = std::min(first, trunk_stalled_since_ + limits.stall_deadline);
  if (!connected_) return first;
  if (!remote_) first = std::min(first, connected_at_ + limits.handshake_deadline);
  if (says_little()) first = std::min(first, writing_since_ + limits.keepalive_interval);
  if (!ping_sent_) {
    first = std::min(first, heard_at_ + limits.keepalive_interval);
  } else if (!ping_unwritten_) {
    first = std::min(first, std::max(heard_at_ + 2 * limits.keepalive_interval, ping_at_ + limits.keepalive_interval));
  }
  if (writing_) first = std::min(first, writing_since_ + limits.write_deadline);
  if (pong_due_ && !may_pong()) first = std::min(first, pong_at_);
  return first;
}

void NativeMachine::tick(Instant now) {
  now_ = std::max(now_, now);
  if (state_ == State::over) return;
  const Limits& limits = options_.limits;
  if (state_ == State::goodbye_said) {
    // Its clock starts when everything before it is written; until then the write's deadline counts.
    if (pending_.bytes > 0 || writing_) {
      if (goodbye_write_by_ == Instant::max()) goodbye_write_by_ = now_ + limits.write_deadline;
      if (now_ >= goodbye_write_by_) state_ = State::over;
      return;
    }
    if (goodbye_deadline_ == Instant::max()) goodbye_deadline_ = now_ + limits.goodbye_deadline;
    if (now_ >= goodbye_deadline_) state_ = State::over;
    return;
  }
  if (connected_ && !remote_ && now_ >= connected_at_ + limits.handshake_deadline)
    return violate(error::handshake_timeout,
                   fmt::format("no hello within handshake_deadline {} ms", limits.handshake_deadline.count()));
  const Instant dead_at = std::max(heard_at_ + 2 * limits.keepalive_interval, ping_at_ + limits.keepalive_interval);
  if (connected_ && ping_sent_ && !ping_unwritten_ &&
      now_ >= dead_at) // this process may have slept: nobody is dead who was not asked
    return violate(error::keepalive_timeout,
                   fmt::format("nothing heard for twice keepalive_interval {} ms", limits.keepalive_interval.count()));
  if (writing_ && now_ >= writing_since_ + limits.write_deadline)
    return violate(error::write_timeout,
                   fmt::format("output not written within write_deadline {} ms", limits.write_deadline.count()));
  if (wants_ping()) {
    send_ping();
    free_spare_nodes(); // a quiet trunk holds no memory for a busy one
  }
  while (!stalled_.empty() && now_ >= stalled_.front().stalled_since + limits.stall_deadline)
    reset(stalled_.front(), End(error::stalled, fmt::format("no credit or answer within stall_deadline {} ms",
                                                            limits.stall_deadline.count())));
  if (trunk_stalled_since_ != Instant::max() && now_ >= trunk_stalled_since_ + limits.stall_deadline) {
    trunk_stalled_since_ = Instant::max();
    while (!blocked_.empty())
      reset(blocked_.front(), End(error::stalled, fmt::format("no credit for the trunk within stall_deadline {} ms",
                                                              limits.stall_deadline.count())));
  }
  if (now_ >= stall_check_at_) check_stalled_readers();
  if (now_ >= drain_deadline_) {
    drain_deadline_ = Instant::max();
    std::vector<CircuitId> ids;
    for (const auto& [id, circuit] : circuits_) ids.push_back(id);
    std::ranges::sort(ids);
    for (const CircuitId id : ids)
      if (NativeCircuit* circuit = find(id)) reset(*circuit, End(error::draining, "the drain deadline has passed"));
    if (state_ == State::running) {
      say_goodbye(error::none, "drained");
      emit_closed(End());
    }
  }
}

std::size_t NativeMachine::credit_bytes(const TrunkCircuit& base) const {
  const auto& circuit = static_cast<const NativeCircuit&>(base);
  if (circuit.ended || circuit.finished_here) return 0;
  return static_cast<std::size_t>(std::max<std::int64_t>(0, circuit.send_credit - circuit.outgoing_cost));
}

std::size_t NativeMachine::memory_bytes() const { return unread_ + pool_missing_ + abandoned_.size(); }

} // namespace trunkline

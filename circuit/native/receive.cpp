// Frames in. Whatever arrives, the worst it does is to break this trunk with a reason.
#include "circuit/native/machine.hpp"

#include "circuit/native/messages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace trunkline {

using wire::FrameType;
using wire::Open;
using wire::Parsed;

namespace {

constexpr std::size_t carry_bytes_max = wire::data_head_bytes_max + control_bytes_max;
constexpr std::int64_t circuit_credit_max = (std::int64_t{1} << 31) - 1;
constexpr std::int64_t trunk_credit_max = std::int64_t{1} << 40;
constexpr std::size_t read_space_bytes_min = 16 * 1024; // smaller chunks are copied sooner than read on their own
constexpr std::uint64_t credit_tiny = 1024; // smaller grants count as control frames
constexpr std::size_t open_rest_bytes_max = 1024; // of an open, kept to know the next one by

/// Printable ASCII as it is, everything else as \xNN: what a far side sent may end up in a log or a page.
std::string escaped(std::string_view text, std::size_t bytes_max) {
  std::string result;
  for (const char c : text.substr(0, bytes_max)) {
    if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&') {
      result += c;
    } else {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  if (text.size() > bytes_max) result += "...";
  return result;
}

std::string in_words(std::string_view seen) {
  if (seen.size() >= 2 && seen[0] == 0x16 && seen[1] == 0x03)
    return "a TLS client hello; this port speaks plain trunkline";
  for (const std::string_view verb : {"GET ", "POST", "HEAD", "PUT ", "PRI ", "HTTP", "OPTI", "CONN", "DELE"})
    if (seen.starts_with(verb)) return "an HTTP request or answer";
  if (seen.starts_with("SSH-")) return "an SSH banner";
  return "\"" + escaped(seen, 8) + "\"";
}

/// Bytes that a peer's metadata occupies, about: its strings, and a node of the map for each item.
std::size_t memory_of(const Metadata& metadata) {
  constexpr std::size_t per_item = 128;
  std::size_t bytes = 0;
  for (const auto& [key, value] : metadata) bytes += key.size() + value.size() + per_item;
  return bytes;
}

std::uint8_t flags_allowed(FrameType type) {
  if (type != FrameType::data) return 0;
  return wire::flag_metadata | wire::flag_first_of_more | wire::flag_continues | wire::flag_last;
}

bool flags_sound(std::uint8_t flags) {
  const bool continues = flags & wire::flag_continues;
  if (continues) return (flags & (wire::flag_metadata | wire::flag_first_of_more)) == 0;
  return (flags & wire::flag_last) == 0;
}

} // namespace

void NativeMachine::feed(std::span<const std::byte> bytes, Instant now) {
  now_ = std::max(now_, now);
  read_space_given_ = false;
  abandoned_ = Payload();
  heard_at_ = now_;
  ping_sent_ = false;
  counters_.bytes_received += bytes.size();
  if (preface_seen_ < wire::preface.size()) check_preface(bytes);
  while (!bytes.empty() && state_ == State::running) {
    if (answers_bytes_ > options_.limits.trunk_memory_bytes_max / 2)
      return violate(error::too_many_control_frames,
                     fmt::format("{} bytes of answers are not read, more than half of trunk_memory_bytes_max {}",
                                 answers_bytes_, options_.limits.trunk_memory_bytes_max));
    if (chunk_left_ > 0) {
      read_chunk(bytes);
    } else if (skip_left_ > 0) {
      const std::size_t size = std::min(skip_left_, bytes.size());
      skip_left_ -= size;
      bytes = bytes.subspan(size);
    } else if (carry_.empty()) {
      const std::size_t consumed = read_frame(bytes);
      if (consumed == 0) {
        carry_.assign(bytes.begin(), bytes.end());
        return;
      }
      bytes = bytes.subspan(std::min(consumed, bytes.size()));
    } else {
      // The head was incomplete, so what completes it ends within the bytes added now.
      const std::size_t before = carry_.size();
      const std::size_t added = std::min(bytes.size(), carry_bytes_max - before);
      carry_.insert(carry_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(added));
      std::vector<std::byte> carried = std::move(carry_);
      const std::size_t consumed = read_frame(carried);
      if (consumed == 0) {
        carry_ = std::move(carried);
        bytes = bytes.subspan(added);
      } else {
        bytes = bytes.subspan(consumed - before);
        carried.clear();
        if (carried.capacity() <= 1024) carry_ = std::move(carried); // a small one is worth keeping
      }
    }
  }
}

void NativeMachine::check_preface(std::span<const std::byte>& bytes) {
  const std::size_t size = std::min(bytes.size(), wire::preface.size() - preface_seen_);
  if (std::memcmp(bytes.data(), wire::preface.data() + preface_seen_, size) == 0) {
    preface_seen_ += size;
    bytes = bytes.subspan(size);
    return;
  }
  std::string seen(reinterpret_cast<const char*>(wire::preface.data()), preface_seen_);
  seen.append(reinterpret_cast<const char*>(bytes.data()), size);
  pending_.clear(); // no answer to somebody unknown
  state_ = State::over;
  const auto generation = static_cast<char>(wire::preface.back());
  const bool other_generation = seen.size() == wire::preface.size() &&
                                std::memcmp(seen.data(), wire::preface.data(), wire::preface.size() - 1) == 0;
  const End cause =
      other_generation
          ? End(error::version_mismatch, fmt::format("here wire generation {} is spoken, there {}{}", +generation,
                                                     static_cast<unsigned char>(seen.back()), from()))
          : End(error::not_trunkline, fmt::format("expected a trunkline preface, saw {}{}", in_words(seen), from()));
  end_all(End(error::trunk_lost, cause.to_string()));
  emit_closed(cause);
}

/// Reads one frame, or the head of a data frame, from the beginning of `bytes`. Returns how many bytes that took, 0
/// when they are too few.
std::size_t NativeMachine::read_frame(std::span<const std::byte> bytes) {
  if (bytes.size() < wire::header_bytes) {
    // The type can be judged before the rest: nothing here waits for bytes that cannot matter.
    return 0;
  }
  const auto at = [&](std::size_t i) { return std::to_integer<std::size_t>(bytes[i]); };
  const std::size_t length = at(0) | at(1) << 8 | at(2) << 16;
  const auto type = static_cast<FrameType>(bytes[3]);
  const auto flags = std::to_integer<std::uint8_t>(bytes[4]);
  const auto type_number = std::to_integer<unsigned>(bytes[3]);

  const bool known = type >= FrameType::data && type <= FrameType::goodbye;
  const std::size_t length_max = type == FrameType::data || !known ? frame_bytes_max : control_bytes_max;
  if (length > length_max) {
    violate(error::frame_too_large,
            fmt::format("frame of {} bytes exceeds {} {}", length,
                        length_max == frame_bytes_max ? "frame_bytes_max" : "control_bytes_max", length_max));
    return bytes.size();
  }
  if (!remote_ && type != FrameType::hello) {
    violate(error::protocol_error, fmt::format("expected a hello first, saw frame type 0x{:02x}", type_number));
    return bytes.size();
  }
  if (!known) {
    if (type_number & wire::optional_type_bit) {
      ++counters_.unknown_frames;
      if (unknown_frames_.count(now_, options_.limits.unknown_frames_per_minute_max, std::chrono::minutes(1))) {
        skip_left_ = length;
        return wire::header_bytes;
      }
      violate(error::too_many_control_frames,
              fmt::format("more than unknown_frames_per_minute_max {} optional frames of unknown type",
                          options_.limits.unknown_frames_per_minute_max));
    } else {
      violate(error::protocol_error, fmt::format("frame of unknown mandatory type 0x{:02x}", type_number));
    }
    return bytes.size();
  }
  if ((flags & ~flags_allowed(type)) != 0 || (type == FrameType::data && !flags_sound(flags))) {
    violate(error::protocol_error,
            fmt::format("flags 0x{:02x} are not valid on frame type 0x{:02x}", flags, type_number));
    return bytes.size();
  }
  const auto body = bytes.subspan(wire::header_bytes, std::min(length, bytes.size() - wire::header_bytes));
  if (type != FrameType::data) {
    if (body.size() < length) return 0;
    ++counters_.frames_received;
    on_control(type, body);
    return wire::header_bytes + length;
  }
  wire::DataHead head;
  std::size_t consumed = 0;
  const char* why = "";
  switch (wire::get_data_head(body, length, flags, head, consumed, why)) {
    case Parsed::incomplete:
      if (bytes.size() < carry_bytes_max) return 0;
      why = "head of a data frame beyond control_bytes_max";
      [[fallthrough]];
    case Parsed::malformed: violate(error::protocol_error, fmt::format("malformed {}", why)); return bytes.size();
    case Parsed::complete: break;
  }
  ++counters_.frames_received;
  start_data(head);
  return wire::header_bytes + consumed;
}

// Data.

void NativeMachine::start_data(const wire::DataHead& head) {
  const bool continues = head.flags & wire::flag_continues;
  const std::size_t cost = head.payload_bytes + head.metadata.size() + (continues ? 0 : fragment_credit_overhead);
  if (head.payload_bytes > chunk_bytes_max)
    return violate(error::frame_too_large, fmt::format("data frame with {} payload bytes exceeds chunk_bytes_max {}",
                                                       head.payload_bytes, chunk_bytes_max));
  if (head.metadata.size() > control_bytes_max)
    return violate(error::frame_too_large, fmt::format("fragment metadata of {} bytes exceeds control_bytes_max {}",
                                                       head.metadata.size(), control_bytes_max));
  NativeCircuit* circuit = nullptr;
  switch (find_for(FrameType::data, head.circuit, circuit)) {
    case Known::broken: return;
    case Known::forgotten:
      if (charge(nullptr, cost)) discard_chunk(head.payload_bytes, cost);
      return;
    case Known::live: break;
  }
  if (!charge(circuit, cost)) return;
  const bool inside = circuit->assembly != nullptr;
  if (circuit->finished_there) {
    discard_chunk(head.payload_bytes, cost);
    return reset(*circuit, End(error::protocol_violation_on_circuit, "data after finish"));
  }
  if (circuit->closed_here) return discard_chunk(head.payload_bytes, cost);
  if (continues != inside)
    return violate(error::protocol_error,
                   fmt::format("circuit {}: {}", circuit->id,
                               continues ? "a continuation without a beginning" : "a fragment begins inside another"));
  const bool empty = head.payload_bytes == 0 && head.metadata.empty() && head.op == 0 && head.part == 0;
  circuit->empty_frames = empty && !continues ? circuit->empty_frames + 1 : 0;
  if (circuit->empty_frames > options_.limits.empty_frames_max) {
    discard_chunk(head.payload_bytes, cost);
    return reset(*circuit, End(error::protocol_violation_on_circuit,
                               fmt::format("more than empty_frames_max {} empty fragments in a row",
                                           options_.limits.empty_frames_max)));
  }
  if (continues) {
    start_continuation(*circuit, head);
  } else {
    start_fragment(*circuit, head, cost);
  }
  if (chunk_left_ == 0 && state_ == State::running && chunk_circuit_) end_chunk();
}

void NativeMachine::start_fragment(NativeCircuit& circuit, const wire::DataHead& head, std::size_t cost) {
  const bool more = head.flags & wire::flag_first_of_more;
  if (more && head.total > fragment_bytes_max_) {
    discard_chunk(head.payload_bytes, cost);
    return reset(circuit,
                 End(error::fragment_too_large, fmt::format("fragment of {} bytes exceeds fragment_bytes_max {}",
                                                            head.total, fragment_bytes_max_)));
  }
  if (more && (head.payload_bytes == 0 || head.total <= head.payload_bytes))
    return violate(error::protocol_error, fmt::format("circuit {}: first of more with {} of {} bytes", circuit.id,
                                                      head.payload_bytes, head.total));
  FragmentNode* node = make_node();
  node->cost = cost;
  node->fragment.op = head.op;
  node->fragment.part = head.part;
  if (!head.metadata.empty() && !wire::get_metadata(head.metadata, node->fragment)) {
    free_node(node);
    return violate(error::protocol_error, fmt::format("circuit {}: malformed fragment metadata", circuit.id));
  }
  unread_ += cost;
  chunk_circuit_ = &circuit;
  chunk_left_ = chunk_bytes_ = head.payload_bytes;
  if (!more) {
    chunk_node_ = node;
    node->fragment.payload = Payload::uninitialized(head.payload_bytes);
    chunk_into_ = node->fragment.payload.writable().data();
    return;
  }
  circuit.assembly = std::make_unique<Assembly>();
  Assembly& assembly = *circuit.assembly;
  assembly.circuit = &circuit;
  assembly.node = node;
  assembly.total = static_cast<std::size_t>(head.total);
  assembly.arrived = head.payload_bytes;
  chunk_is_last_ = false;
  if (reserving_.empty() && reserve(circuit)) {
    chunk_into_ = node->fragment.payload.writable().data();
  } else {
    reserving_.push_back(assembly);
    hold_chunk(assembly, head.payload_bytes);
  }
}

void NativeMachine::start_continuation(NativeCircuit& circuit, const wire::DataHead& head) {
  Assembly& assembly = *circuit.assembly;
  const bool last = head.flags & wire::flag_last;
  const std::size_t left = assembly.total - assembly.arrived;
  if (head.payload_bytes == 0 || head.payload_bytes > left || last != (head.payload_bytes == left))
    return violate(error::protocol_error, fmt::format("circuit {}: continuation of {} bytes{} where {} are missing",
                                                      circuit.id, head.payload_bytes, last ? ", the last," : "", left));
  const std::size_t arrived_before = assembly.arrived;
  assembly.arrived += head.payload_bytes;
  assembly.node->cost += head.payload_bytes;
  unread_ += head.payload_bytes;
  if (assembly.reserved > assembly.node->trunk_extra) { // now charged as arrived instead
    const std::size_t moved = std::min(head.payload_bytes, assembly.reserved - assembly.node->trunk_extra);
    assembly.reserved -= moved;
    pool_reserved_ -= moved;
  }
  chunk_circuit_ = &circuit;
  chunk_left_ = chunk_bytes_ = head.payload_bytes;
  chunk_is_last_ = last;
  if (assembly.granted) {
    pool_missing_ -= head.payload_bytes;
    chunk_into_ = assembly.node->fragment.payload.writable().data() + arrived_before;
  } else {
    hold_chunk(assembly, head.payload_bytes);
  }
  serve_reservations();
}

/// Room behind what is held: small chunks cost no more than their bytes.
void NativeMachine::hold_chunk(Assembly& assembly, std::size_t size) {
  const std::size_t before = assembly.held.size();
  assembly.held.resize(before + size);
  chunk_into_ = assembly.held.data() + before;
}

/// For nobody: the bytes are skipped and their credit goes back to the trunk.
void NativeMachine::discard_chunk(std::size_t payload_bytes, std::size_t cost) {
  chunk_left_ = payload_bytes;
  chunk_into_ = nullptr;
  chunk_circuit_ = nullptr;
  chunk_node_ = nullptr;
  consumed(nullptr, cost);
}

void NativeMachine::read_chunk(std::span<const std::byte>& bytes) {
  const std::size_t size = std::min(chunk_left_, bytes.size());
  if (chunk_into_) {
    if (chunk_into_ != bytes.data()) std::memcpy(chunk_into_, bytes.data(), size);
    chunk_into_ += size;
  }
  chunk_left_ -= size;
  bytes = bytes.subspan(size);
  if (chunk_left_ == 0 && chunk_circuit_) end_chunk();
}

void NativeMachine::end_chunk() {
  NativeCircuit& circuit = *std::exchange(chunk_circuit_, nullptr);
  chunk_into_ = nullptr;
  if (chunk_node_) return deliver(circuit, std::exchange(chunk_node_, nullptr));
  if (!chunk_is_last_) return;
  const std::unique_ptr<Assembly> assembly = std::move(circuit.assembly);
  FragmentNode* node = assembly->node;
  if (!assembly->granted) { // all of it came within the window before the pool had room
    assembly->reserving.unlink();
    node->fragment.payload = Payload::uninitialized(assembly->total);
    std::memcpy(node->fragment.payload.writable().data(), assembly->held.data(), assembly->total);
  }
  deliver(circuit, node);
  serve_reservations();
}

std::span<std::byte> NativeMachine::read_space() {
  if (!chunk_into_ || chunk_bytes_ < read_space_bytes_min) return {};
  if (!chunk_node_ && !chunk_circuit_->assembly->granted) return {}; // what is held moves when the pool gives
  read_space_given_ = true;
  return {chunk_into_, chunk_left_};
}

/// The circuit ends while a frame of it is being read: the rest of the frame is skipped.
void NativeMachine::forget_chunk(NativeCircuit& circuit) {
  if (chunk_circuit_ != &circuit) return;
  chunk_circuit_ = nullptr;
  chunk_into_ = nullptr;
  if (read_space_given_) abandoned_ = std::move((chunk_node_ ? chunk_node_ : circuit.assembly->node)->fragment.payload);
  if (chunk_node_) {
    unread_ -= chunk_node_->cost;
    consumed(nullptr, chunk_node_->cost);
    free_node(std::exchange(chunk_node_, nullptr));
  }
}

void NativeMachine::deliver(NativeCircuit& circuit, FragmentNode* node) {
  ++circuit.counters.fragments_received;
  circuit.unread += static_cast<std::int64_t>(node->cost);
  circuit.counters.bytes_received += node->fragment.payload.size();
  node->fragment.stamp(nullptr, circuit.counters.fragments_received);
  const bool is_error = !node->fragment.err.empty();
  FragmentQueue& queue = is_error ? circuit.errors : circuit.reads;
  const bool was_empty = queue.empty();
  queue.push(node);
  if (!was_empty) return;
  if (!circuit.readable && !circuit.error_readable) circuit.consumed_at = now_;
  (is_error ? circuit.error_readable : circuit.readable) = true;
  emit(is_error ? TrunkEvent::Kind::error_readable : TrunkEvent::Kind::readable, &circuit);
}

// Control.

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

/// Into messages_->open; its circuit is returned. Most opens differ from the one before in their circuit only.
std::optional<CircuitId> NativeMachine::parse_open(std::span<const std::byte> body) {
  Messages& messages = *messages_;
  CircuitId id = 0;
  std::string_view rest;
  const bool is_usual = wire::get_circuit(body, id, rest);
  if (is_usual && !rest.empty() && rest == messages.open_rest) return id;
  if (!parse(messages.open, body)) return std::nullopt;
  // Only what protobuf would write the same: another circuit within the rest would be the one that counts.
  const bool is_kept = is_usual && rest.size() <= open_rest_bytes_max && Open::Mode_IsValid(messages.open.mode()) &&
                       messages.open.ByteSizeLong() == body.size();
  messages.open_rest = is_kept ? rest : std::string_view();
  return messages.open.circuit();
}

bool NativeMachine::count_control_frame() {
  if (control_frames_.count(now_, options_.limits.control_frames_per_second_max, std::chrono::seconds(1))) return true;
  violate(error::too_many_control_frames,
          fmt::format("more than control_frames_per_second_max {}", options_.limits.control_frames_per_second_max));
  return false;
}

/// Whom a frame is for. A number that was never opened breaks the trunk; one that is over is counted.
NativeMachine::Known NativeMachine::find_for(FrameType type, CircuitId id, NativeCircuit*& circuit) {
  circuit = find(id);
  if (circuit) return Known::live;
  if (was_opened(id)) {
    ++counters_.frames_for_forgotten_circuits;
    return Known::forgotten;
  }
  violate(error::protocol_error,
          fmt::format("frame type 0x{:02x} for circuit {}, which was never opened", static_cast<unsigned>(type), id));
  return Known::broken;
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
    case FrameType::drain:
      if (trunkline::wire::Drain drain; !parse(drain, body) || !count_control_frame()) return;
      if (!std::exchange(draining_there_, true)) {
        send_drain(); // tells it that no OPEN of ours is under way any more
        emit(TrunkEvent::Kind::draining);
      }
      return goodbye_when_drained();
    case FrameType::goodbye: return on_goodbye(body);
  }
}

void NativeMachine::on_hello(std::span<const std::byte> body) {
  trunkline::wire::Hello hello;
  if (!parse(hello, body)) return;
  if (remote_) return violate(error::protocol_error, "a second hello");
  const auto id = NodeId::from_bytes(hello.node_id());
  if (!id || id->empty())
    return violate(error::protocol_error, fmt::format("node id of {} bytes in hello, expected 16 that are not all zero",
                                                      hello.node_id().size()));
  if (hello.version_min() > 1 || hello.version_max() < 1)
    return violate(error::version_mismatch, fmt::format("here versions 1 to 1 are spoken, there {} to {}",
                                                        hello.version_min(), hello.version_max()));
  if (hello.mandatory_features_size() > 0)
    return violate(error::mandatory_feature_unknown,
                   fmt::format("the far side demands \"{}\"", escaped(hello.mandatory_features(0), 128)));
  if (*id == options_.node_id && !id->empty()) return violate(error::dialled_self, "the far side is this node itself");
  remote_.emplace();
  remote_->id = *id;
  remote_->name = escaped(hello.node_name(), options_.limits.name_bytes_max);
  for (const std::string& address : hello.addresses()) remote_->addresses.push_back(address);
  if (hello.fragment_bytes_max() > 0)
    fragment_bytes_max_theirs_ =
        static_cast<std::size_t>(std::min<std::uint64_t>(hello.fragment_bytes_max(), 1u << 30));
  emit(TrunkEvent::Kind::hello);
}

void NativeMachine::on_open(std::span<const std::byte> body) {
  const std::optional<CircuitId> opened = parse_open(body);
  if (!opened) return;
  const CircuitId id = *opened;
  const auto& message = messages_->open;
  if (id != next_there_)
    return violate(error::protocol_error, fmt::format("open of circuit {}, expected {}", id, next_there_));
  const auto from_peer = PeerId::from_bytes(message.from_peer());
  const auto to_peer = message.to_peer().empty() ? PeerId() : PeerId::from_bytes(message.to_peer());
  if (!from_peer || !to_peer || !Open::Mode_IsValid(message.mode()))
    return violate(error::protocol_error, fmt::format("open of circuit {} with a malformed peer id or mode", id));
  if (draining_there_) return violate(error::protocol_error, fmt::format("open of circuit {} after drain", id));
  next_there_ += 2;
  ++peers_may_end_;
  const Limits& limits = options_.limits;
  const auto refuse_at_once = [&](error reason, const std::string& text) {
    ++counters_.circuits_refused;
    send_refuse(id, reason, text, {});
  };
  if (message.name().size() > limits.name_bytes_max || message.from_service().size() > limits.name_bytes_max ||
      message.user_string().size() > limits.user_string_bytes_max)
    return refuse_at_once(
        error::protocol_violation_on_circuit,
        fmt::format("name of {} bytes or user string of {} exceeds name_bytes_max {} or "
                    "user_string_bytes_max {}",
                    std::max(message.name().size(), message.from_service().size()), message.user_string().size(),
                    limits.name_bytes_max, limits.user_string_bytes_max));
  if (message.to_service().size() > limits.name_bytes_max)
    return refuse_at_once(error::no_service,
                          fmt::format("no service \"{}\": its name has {} bytes, name_bytes_max is {}",
                                      escaped(message.to_service(), limits.name_bytes_max / 2),
                                      message.to_service().size(), limits.name_bytes_max));
  if (draining_here_ && !serve_late_) return refuse_at_once(error::draining, "this node takes no new circuits");
  if (opened_there_count_ >= limits.circuits_max)
    return refuse_at_once(error::circuit_limit_reached, fmt::format("circuits_max {} reached", limits.circuits_max));
  if (backlog_count_ >= limits.open_backlog_max)
    return refuse_at_once(error::open_backlog_full,
                          fmt::format("open_backlog_max {} reached", limits.open_backlog_max));
  const auto strings =
      static_cast<std::uint32_t>(message.name().size() + message.from_service().size() + message.user_string().size());
  if (opened_there_strings_ + strings > limits.circuit_strings_bytes_max)
    return refuse_at_once(error::circuit_limit_reached,
                          fmt::format("circuit_strings_bytes_max {} reached", limits.circuit_strings_bytes_max));

  auto request = std::make_unique<OpenRequest>();
  request->mode = static_cast<OpenMode>(message.mode());
  request->from = remote_peer(*from_peer, message.from_service());
  request->to_peer = *to_peer;
  request->to_service = message.to_service();
  request->name = message.name();
  request->user_string = message.user_string();
  request->wants_answer = message.wants_answer();
  NativeCircuit& circuit = add(id, false, name(nullptr, request->from, id, request->name, request->user_string));
  circuit.answer_wanted = request->wants_answer;
  circuit.in_backlog = true;
  ++backlog_count_;
  ++opened_there_count_;
  circuit.strings = static_cast<std::uint16_t>(strings); // their limits fit
  opened_there_strings_ += strings;
  emit(TrunkEvent::Kind::opened, &circuit).open = std::move(request);
}

void NativeMachine::on_accept(std::span<const std::byte> body) {
  auto& message = messages_->accept;
  if (!parse(message, body)) return;
  NativeCircuit* circuit = nullptr;
  if (find_for(FrameType::accept, message.circuit(), circuit) != Known::live) return;
  const auto peer = PeerId::from_bytes(message.peer());
  if (message.service().size() > options_.limits.name_bytes_max)
    return violate(error::protocol_error, fmt::format("accept of circuit {} by a service with a name of {} bytes",
                                                      circuit->id, message.service().size()));
  if (!circuit->opened_here || circuit->answered || !peer)
    return violate(error::protocol_error, fmt::format("accept of circuit {}, which waits for none", message.circuit()));
  circuit->answered = true;
  if (circuit->names->remote->id != *peer || circuit->names->remote->service != message.service()) {
    names_opened_[circuit->id] = circuit->names; // whoever refers into them may go on
    circuit->names = name(circuit->names->local, remote_peer(*peer, message.service()), circuit->id,
                          circuit->names->name, circuit->names->user_string);
  }
  emit(TrunkEvent::Kind::answered, circuit);
}

void NativeMachine::on_refuse(std::span<const std::byte> body) {
  auto& message = messages_->refuse;
  if (!parse(message, body)) return;
  NativeCircuit* circuit = nullptr;
  if (find_for(FrameType::refuse, message.circuit(), circuit) != Known::live) return;
  if (!circuit->opened_here)
    return violate(error::protocol_error, fmt::format("refuse of circuit {} by its opener", message.circuit()));
  End reason(message.reason() ? static_cast<error>(message.reason()) : error::access_denied,
             message.text().substr(0, options_.limits.reason_bytes_max));
  reason.existing_url = message.existing_url().substr(0, control_bytes_max / 4);
  end_circuit(*circuit, std::move(reason));
}

void NativeMachine::on_credit(std::span<const std::byte> body) {
  auto& message = messages_->credit;
  if (!parse(message, body)) return;
  const std::uint64_t bytes = message.bytes();
  if (bytes == 0) return violate(error::flow_control_violated, "credit of 0 bytes");
  if (bytes < credit_tiny && !count_control_frame()) return;
  if (message.circuit() == 0) {
    if (bytes > static_cast<std::uint64_t>(trunk_credit_max - std::max<std::int64_t>(0, trunk_send_credit_)))
      return violate(error::flow_control_violated, fmt::format("credit of {} bytes overflows the trunk's", bytes));
    trunk_send_credit_ += static_cast<std::int64_t>(bytes);
    trunk_stalled_since_ = blocked_.empty() ? Instant::max() : now_;
    const NativeCircuit* const first = blocked_.empty() ? nullptr : &blocked_.front();
    promise_more();
    unblock();
    passed_by_ = first && !blocked_.empty() && &blocked_.front() == first ? passed_by_ + 1 : 0;
    return;
  }
  NativeCircuit* circuit = nullptr;
  if (find_for(FrameType::credit, message.circuit(), circuit) != Known::live) return;
  if (bytes > static_cast<std::uint64_t>(circuit_credit_max - std::max<std::int64_t>(0, circuit->send_credit)))
    return violate(error::flow_control_violated,
                   fmt::format("credit of {} bytes overflows circuit {}", bytes, circuit->id));
  circuit->send_credit += static_cast<std::int32_t>(bytes);
  if (!circuit->closed_here || !circuit->outgoing.empty()) circuit->stalled.unlink();
  promise_more();
  update_sendable(*circuit);
  unblock();
  block_uncovered();
  if (circuit->wants_credit) wake_sender(*circuit);
}

void NativeMachine::on_finish(std::span<const std::byte> body) {
  auto& message = messages_->finish;
  if (!parse_short(message, body)) return;
  NativeCircuit* circuit = nullptr;
  if (find_for(FrameType::finish, message.circuit(), circuit) != Known::live) return;
  if (circuit->finished_there || circuit->assembly)
    return reset(*circuit, End(error::protocol_violation_on_circuit,
                               circuit->assembly ? "finish inside a fragment" : "a second finish"));
  circuit->finished_there = true;
  emit(TrunkEvent::Kind::readable, circuit);
  emit(TrunkEvent::Kind::error_readable, circuit);
  acknowledge_finish(*circuit);
}

/// Once, when everything before the far side's finish was taken.
void NativeMachine::acknowledge_finish(NativeCircuit& circuit) {
  if (!circuit.finished_there || circuit.finish_taken_sent || circuit.ended || circuit.closed_here) return;
  if (!circuit.reads.empty() || !circuit.errors.empty()) return;
  circuit.finish_taken_sent = true;
  put_control(FrameType::finish_acknowledged, circuit.id);
  end_when_done(circuit);
}

void NativeMachine::on_finish_acknowledged(std::span<const std::byte> body) {
  auto& message = messages_->finish_acknowledged;
  if (!parse_short(message, body)) return;
  NativeCircuit* circuit = nullptr;
  if (find_for(FrameType::finish_acknowledged, message.circuit(), circuit) != Known::live) return;
  if (circuit->sending < NativeCircuit::Sending::finish_sent || circuit->finish_acknowledged)
    return violate(error::protocol_error, fmt::format("circuit {}: an unsent finish is acknowledged", circuit->id));
  circuit->finish_acknowledged = true;
  emit(TrunkEvent::Kind::finished, circuit);
  end_when_done(*circuit);
}

void NativeMachine::on_close(std::span<const std::byte> body) {
  auto& message = messages_->close;
  if (!parse_short(message, body)) return;
  NativeCircuit* circuit = nullptr;
  if (find_for(FrameType::close, message.circuit(), circuit) != Known::live) return;
  if (circuit->assembly) return reset(*circuit, End(error::protocol_violation_on_circuit, "close inside a fragment"));
  circuit->finished_there = true;
  End reason;
  if (message.reason() != 0)
    reason = End(static_cast<error>(message.reason()), message.text().substr(0, options_.limits.reason_bytes_max));
  if (circuit->sending == NativeCircuit::Sending::close_sent) { // each is the answer to the other
    if (circuit->end) reason = *circuit->end;
  } else {
    put_control(FrameType::close_received, circuit->id);
  }
  end_circuit(*circuit, std::move(reason));
}

void NativeMachine::on_close_received(std::span<const std::byte> body) {
  auto& message = messages_->close_received;
  if (!parse_short(message, body)) return;
  NativeCircuit* circuit = nullptr;
  if (find_for(FrameType::close_received, message.circuit(), circuit) != Known::live) return;
  if (circuit->sending != NativeCircuit::Sending::close_sent)
    return violate(error::protocol_error, fmt::format("circuit {}: an unsent close is answered", circuit->id));
  end_circuit(*circuit, circuit->end ? *circuit->end : End());
}

void NativeMachine::on_reset(std::span<const std::byte> body) {
  auto& message = messages_->reset;
  if (!parse(message, body)) return;
  NativeCircuit* circuit = nullptr;
  const Known known = find_for(FrameType::reset, message.circuit(), circuit);
  if (known == Known::broken) return;
  // An open that is cancelled at once costs us more than it costs them; ending what lived is nobody's fault.
  if (circuit && !circuit->opened_here && now_ - circuit->opened_at < std::chrono::seconds(1)) {
    const double rate = options_.limits.cancelled_opens_per_second_max;
    const double seconds = std::chrono::duration<double>(now_ - cancelled_opens_at_).count();
    cancelled_opens_at_ = now_;
    cancelled_opens_tokens_ = std::min(5 * rate, cancelled_opens_tokens_ + seconds * rate);
    if (cancelled_opens_tokens_ < 1)
      return violate(error::too_many_control_frames,
                     fmt::format("more than cancelled_opens_per_second_max {} circuits opened and reset",
                                 options_.limits.cancelled_opens_per_second_max));
    cancelled_opens_tokens_ -= 1;
  }
  if (known != Known::live) return;
  end_circuit(*circuit, End(message.reason() ? static_cast<error>(message.reason()) : error::circuit_reset,
                            message.text().substr(0, options_.limits.reason_bytes_max)));
}

void NativeMachine::on_peer_metadata(std::span<const std::byte> body) {
  trunkline::wire::PeerMetadata message;
  if (!count_control_frame() || !parse(message, body)) return;
  const auto peer = PeerId::from_bytes(message.peer());
  if (!peer) return violate(error::protocol_error, "metadata of a malformed peer id");
  Metadata metadata;
  std::size_t bytes = 0;
  for (const auto& item : message.items()) {
    bytes += item.key().size() + item.value().size();
    metadata[item.key()] = item.value();
  }
  if (bytes > options_.limits.metadata_bytes_max || metadata.size() > Args::items_max)
    return violate(error::protocol_error,
                   fmt::format("metadata of {} bytes in {} items exceeds metadata_bytes_max {} or {} items", bytes,
                               metadata.size(), options_.limits.metadata_bytes_max, Args::items_max));
  if (!remote_metadata_.contains(*peer) && remote_metadata_.size() >= options_.limits.remote_peers_max)
    return violate(error::too_many_control_frames,
                   fmt::format("metadata of more than remote_peers_max {} peers", options_.limits.remote_peers_max));
  Metadata& kept = remote_metadata_[*peer];
  remote_metadata_bytes_ += memory_of(metadata) - memory_of(kept);
  kept = std::move(metadata);
  if (kept.empty()) remote_metadata_.erase(*peer);
  if (remote_metadata_bytes_ > options_.limits.remote_metadata_bytes_max)
    return violate(error::too_many_control_frames,
                   fmt::format("metadata of {} peers exceeds remote_metadata_bytes_max {}", remote_metadata_.size(),
                               options_.limits.remote_metadata_bytes_max));
  emit(TrunkEvent::Kind::metadata).peer = *peer;
}

void NativeMachine::on_peer_ended(std::span<const std::byte> body) {
  trunkline::wire::PeerEnded message;
  // Each peer that ends had a circuit here, so there is nothing wrong with as many at once as there were opens.
  if (peers_may_end_ > 0) {
    --peers_may_end_;
  } else if (!count_control_frame()) {
    return;
  }
  if (!parse(message, body)) return;
  const auto peer = PeerId::from_bytes(message.peer());
  if (!peer) return violate(error::protocol_error, "the end of a malformed peer id");
  if (const auto found = remote_metadata_.find(*peer); found != remote_metadata_.end()) {
    remote_metadata_bytes_ -= memory_of(found->second);
    remote_metadata_.erase(found);
  }
  TrunkEvent& event = emit(TrunkEvent::Kind::peer_ended);
  event.peer = *peer;
  event.end = std::make_unique<End>(static_cast<error>(message.reason()),
                                    message.text().substr(0, options_.limits.reason_bytes_max));
}

void NativeMachine::on_ping(std::span<const std::byte> body) {
  auto& message = messages_->ping;
  if (!parse(message, body)) return;
  const Limits& limits = options_.limits;
  if (!pings_.count(now_, limits.pings_per_second_max, std::chrono::seconds(1)))
    return violate(error::too_many_control_frames,
                   fmt::format("more than pings_per_second_max {}", limits.pings_per_second_max));
  if (pong_due_) ++counters_.pings_coalesced;
  const bool was_due = pong_due_.has_value();
  pong_due_ = message.number();
  if (!was_due && !pongs_.count(now_, limits.pings_answered_per_second_max, std::chrono::seconds(1)))
    pong_at_ = now_ + std::chrono::seconds(1);
}

void NativeMachine::on_pong(std::span<const std::byte> body) {
  auto& message = messages_->pong;
  if (!parse(message, body) || !count_control_frame()) return;
  if (!std::exchange(ping_timed_, false) || message.number() != ping_number_) return;
  counters_.round_trip = now_ - ping_at_;
  round_trip_ = std::max<std::chrono::nanoseconds>(std::chrono::microseconds(50), counters_.round_trip);
}

void NativeMachine::on_goodbye(std::span<const std::byte> body) {
  trunkline::wire::Goodbye message;
  if (!parse(message, body)) return;
  const auto reason = static_cast<error>(message.reason());
  const End cause =
      reason == error::none ? End() : End(reason, escaped(message.text(), options_.limits.reason_bytes_max));
  state_ = State::over;
  pending_.clear();
  const bool broken = reason >= error::protocol_error && reason < error::fragment_too_large;
  if (reason == error::none) {
    end_all(End(error::draining, "the far side has drained"));
  } else {
    end_all(broken ? End(error::trunk_lost, "the far side says: " + cause.to_string()) : cause);
  }
  emit_closed(cause);
}

} // namespace trunkline

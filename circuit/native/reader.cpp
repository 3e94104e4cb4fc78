// The reading loop. Between two bytes the reader is in one of four states: within the preface, within the head of a
// frame, within the payload of a data frame, or within an optional frame that it skips. Only heads are ever copied to
// be put together: a head ends at most `carry_bytes_max` after it begins, and payload is never carried, so that a far
// side that sends byte by byte costs us a bounded buffer, and one that sends large payloads costs no copy beyond the
// one into the fragment. With `read_space` that one goes, too: the session reads from the socket into the fragment.
//
// A data frame is charged to the credit of its circuit and of the trunk before anything of it is kept. A frame for a
// circuit that is over, or is closed here, may have been under way when that happened: it is charged, skipped, and its
// credit goes back. A circuit may end while a frame of it is half read, for whatever reason; `forget` makes the rest of
// that frame one to skip. Everything that no honest far side sends ends the trunk.
#include "circuit/native/reader.hpp"

#include "circuit/invariant.hpp"
#include "fragment/quote.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace trunkline {

using wire::FrameType;
using wire::Parsed;

namespace {

constexpr std::size_t carry_bytes_max = wire::data_head_bytes_max + control_bytes_max;
constexpr std::size_t carry_bytes_kept = 1024; // a small buffer is worth keeping
constexpr std::size_t read_space_bytes_min = 16 * 1024; // smaller chunks are copied sooner than read on their own

std::string in_words(std::string_view seen) {
  if (seen.size() >= 2 && seen[0] == 0x16 && seen[1] == 0x03)
    return "a TLS client hello; this port speaks plain trunkline";
  for (const std::string_view verb : {"GET ", "POST", "HEAD", "PUT ", "PRI ", "HTTP", "OPTI", "CONN", "DELE"})
    if (seen.starts_with(verb)) return "an HTTP request or answer";
  if (seen.starts_with("SSH-")) return "an SSH banner";
  return "\"" + escape_markup(seen, 8) + "\"";
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

Reader::Reader(Whole& whole, const Around& around) : whole_(whole), around_(around) {}

Reader::~Reader() {
  if (chunk_node_) around_.nodes.free(chunk_node_);
}

void Reader::feed(std::span<const std::byte> bytes) {
  read_space_given_ = false;
  abandoned_ = Payload();
  if (preface_seen_ < wire::preface.size()) read_preface(bytes);
  while (!bytes.empty() && around_.farewell.running()) {
    if (around_.writer.answers_bytes() > whole_.limits.trunk_memory_bytes_max / 2)
      return whole_.violate(error::too_many_control_frames,
                            fmt::format("{} bytes of answers are not read, more than half of trunk_memory_bytes_max {}",
                                        around_.writer.answers_bytes(), whole_.limits.trunk_memory_bytes_max));
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
        if (carried.capacity() <= carry_bytes_kept) carry_ = std::move(carried);
      }
    }
  }
}

void Reader::read_preface(std::span<const std::byte>& bytes) {
  const std::size_t size = std::min(bytes.size(), wire::preface.size() - preface_seen_);
  if (std::memcmp(bytes.data(), wire::preface.data() + preface_seen_, size) == 0) {
    preface_seen_ += size;
    bytes = bytes.subspan(size);
    return;
  }
  std::string seen(reinterpret_cast<const char*>(wire::preface.data()), preface_seen_);
  seen.append(reinterpret_cast<const char*>(bytes.data()), size);
  const auto generation = static_cast<char>(wire::preface.back());
  const bool other_generation = seen.size() == wire::preface.size() &&
                                std::memcmp(seen.data(), wire::preface.data(), wire::preface.size() - 1) == 0;
  whole_.refuse_connection(
      other_generation
          ? End(error::version_mismatch, fmt::format("here wire generation {} is spoken, there {}", +generation,
                                                     static_cast<unsigned char>(seen.back())))
          : End(error::not_trunkline, fmt::format("expected a trunkline preface, saw {}", in_words(seen))));
}

/// Reads one frame, or the head of a data frame, from the beginning of `bytes`. Returns how many bytes that took; 0
/// when they are too few, also for one that a longer beginning would show to be wrong: it is judged once its header is
/// there.
std::size_t Reader::read_frame(std::span<const std::byte> bytes) {
  if (bytes.size() < wire::header_bytes) return 0;
  const auto at = [&](std::size_t i) { return std::to_integer<std::size_t>(bytes[i]); };
  const std::size_t length = at(0) | at(1) << 8 | at(2) << 16;
  const auto type = static_cast<FrameType>(bytes[3]);
  const auto flags = std::to_integer<std::uint8_t>(bytes[4]);
  const auto type_number = std::to_integer<unsigned>(bytes[3]);

  const bool known = type >= FrameType::data && type <= FrameType::goodbye;
  const std::size_t length_max = type == FrameType::data || !known ? frame_bytes_max : control_bytes_max;
  if (length > length_max) {
    whole_.violate(error::frame_too_large,
                   fmt::format("frame of {} bytes exceeds {} {}", length,
                               length_max == frame_bytes_max ? "frame_bytes_max" : "control_bytes_max", length_max));
    return bytes.size();
  }
  if (!around_.far_peers.introduced() && type != FrameType::hello) {
    whole_.violate(error::protocol_error, fmt::format("expected a hello first, saw frame type 0x{:02x}", type_number));
    return bytes.size();
  }
  if (!known) {
    if (type_number & wire::optional_type_bit) {
      ++whole_.counters.unknown_frames;
      if (around_.flood_guard.count_unknown_frame()) {
        skip_left_ = length;
        return wire::header_bytes;
      }
    } else {
      whole_.violate(error::protocol_error, fmt::format("frame of unknown mandatory type 0x{:02x}", type_number));
    }
    return bytes.size();
  }
  if ((flags & ~flags_allowed(type)) != 0 || (type == FrameType::data && !flags_sound(flags))) {
    whole_.violate(error::protocol_error,
                   fmt::format("flags 0x{:02x} are not valid on frame type 0x{:02x}", flags, type_number));
    return bytes.size();
  }
  const auto body = bytes.subspan(wire::header_bytes, std::min(length, bytes.size() - wire::header_bytes));
  if (type != FrameType::data) {
    if (body.size() < length) return 0;
    ++whole_.counters.frames_received;
    whole_.on_control(type, body);
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
    case Parsed::malformed:
      whole_.violate(error::protocol_error, fmt::format("malformed {}", why));
      return bytes.size();
    case Parsed::complete: break;
  }
  ++whole_.counters.frames_received;
  start_data(head);
  return wire::header_bytes + consumed;
}

// Data.

void Reader::start_data(const wire::DataHead& head) {
  const bool continues = head.flags & wire::flag_continues;
  const std::size_t cost = head.payload_bytes + head.metadata.size() + (continues ? 0 : fragment_credit_overhead);
  if (head.payload_bytes > chunk_bytes_max)
    return whole_.violate(error::frame_too_large,
                          fmt::format("data frame with {} payload bytes exceeds chunk_bytes_max {}", head.payload_bytes,
                                      chunk_bytes_max));
  if (head.metadata.size() > control_bytes_max)
    return whole_.violate(error::frame_too_large,
                          fmt::format("fragment metadata of {} bytes exceeds control_bytes_max {}",
                                      head.metadata.size(), control_bytes_max));
  NativeCircuit* circuit = nullptr;
  switch (around_.circuits.find_for(FrameType::data, head.circuit, circuit)) {
    case Circuits::Known::broken: return;
    case Circuits::Known::forgotten:
      if (around_.window.charge(nullptr, cost)) discard_chunk(head.payload_bytes, cost);
      return;
    case Circuits::Known::live: break;
  }
  if (!around_.window.charge(circuit, cost)) return;
  const bool inside = circuit->receiving.assembly != nullptr;
  if (circuit->finished_there()) {
    discard_chunk(head.payload_bytes, cost);
    return whole_.reset_provoked(*circuit, End(error::protocol_violation_on_circuit, "data after finish"));
  }
  if (circuit->closed_here()) return discard_chunk(head.payload_bytes, cost);
  if (continues != inside) {
    whole_.violate(error::protocol_error,
                   fmt::format("circuit {}: {}", circuit->id,
                               continues ? "a continuation without a beginning" : "a fragment begins inside another"));
    return around_.window.skip(cost);
  }
  const bool empty = head.payload_bytes == 0 && head.metadata.empty() && head.op == 0 && head.part == 0;
  circuit->receiving.empty_frames = empty && !continues ? circuit->receiving.empty_frames + 1 : 0;
  if (circuit->receiving.empty_frames > whole_.limits.empty_frames_max) {
    discard_chunk(head.payload_bytes, cost);
    return whole_.reset_provoked(*circuit, End(error::protocol_violation_on_circuit,
                                               fmt::format("more than empty_frames_max {} empty fragments in a row",
                                                           whole_.limits.empty_frames_max)));
  }
  if (continues) {
    start_continuation(*circuit, head);
  } else {
    start_fragment(*circuit, head, cost);
  }
  if (chunk_left_ == 0 && chunk_circuit_ && around_.farewell.running()) end_chunk();
}

void Reader::start_fragment(NativeCircuit& circuit, const wire::DataHead& head, std::size_t cost) {
  const bool more = head.flags & wire::flag_first_of_more;
  if (more && head.total > whole_.limits.fragment_bytes_max) {
    discard_chunk(head.payload_bytes, cost);
    return whole_.reset_provoked(
        circuit, End(error::fragment_too_large, fmt::format("fragment of {} bytes exceeds fragment_bytes_max {}",
                                                            head.total, whole_.limits.fragment_bytes_max)));
  }
  if (more && (head.payload_bytes == 0 || head.total <= head.payload_bytes)) {
    whole_.violate(error::protocol_error, fmt::format("circuit {}: first of more with {} of {} bytes", circuit.id,
                                                      head.payload_bytes, head.total));
    return around_.window.skip(cost);
  }
  FragmentNode* node = around_.nodes.make();
  node->cost = cost;
  node->fragment.op = head.op;
  node->fragment.part = head.part;
  if (!head.metadata.empty() && !wire::get_metadata(head.metadata, node->fragment, whole_.now)) {
    around_.nodes.free(node);
    whole_.violate(error::protocol_error, fmt::format("circuit {}: malformed fragment metadata", circuit.id));
    return around_.window.skip(cost);
  }
  around_.window.keep(cost);
  start_chunk(&circuit, head.payload_bytes);
  chunk_is_last_ = false;
  if (more) {
    around_.window.begin_assembly(circuit, node, static_cast<std::size_t>(head.total), head.payload_bytes);
  } else {
    chunk_node_ = node;
    node->fragment.payload = Payload::uninitialized(head.payload_bytes);
  }
}

void Reader::start_continuation(NativeCircuit& circuit, const wire::DataHead& head) {
  const Assembly& assembly = *circuit.receiving.assembly;
  const bool last = head.flags & wire::flag_last;
  const std::size_t left = assembly.total - assembly.arrived;
  if (head.payload_bytes == 0 || head.payload_bytes > left || last != (head.payload_bytes == left)) {
    whole_.violate(error::protocol_error, fmt::format("circuit {}: continuation of {} bytes{} where {} are missing",
                                                      circuit.id, head.payload_bytes, last ? ", the last," : "", left));
    return around_.window.skip(head.payload_bytes);
  }
  start_chunk(&circuit, head.payload_bytes);
  chunk_is_last_ = last;
  around_.window.continue_assembly(circuit, head.payload_bytes);
}

void Reader::start_chunk(NativeCircuit* circuit, std::size_t bytes) noexcept {
  chunk_circuit_ = circuit;
  chunk_bytes_ = bytes;
  chunk_left_ = bytes + static_cast<std::size_t>(circuit ? 0 : off_by_one("reader"));
}

/// A frame for no circuit: its bytes are skipped, and their credit goes back to the trunk.
void Reader::discard_chunk(std::size_t payload_bytes, std::size_t cost) {
  start_chunk(nullptr, payload_bytes);
  chunk_node_ = nullptr;
  around_.window.skip(cost);
}

/// Where the next byte of the chunk belongs; null when it is dropped.
std::byte* Reader::chunk_into() const noexcept {
  if (!chunk_circuit_) return nullptr;
  if (!chunk_node_) return chunk_circuit_->receiving.assembly->last(chunk_left_);
  return chunk_node_->fragment.payload.writable().data() + (chunk_bytes_ - chunk_left_);
}

void Reader::read_chunk(std::span<const std::byte>& bytes) {
  const std::size_t size = std::min(chunk_left_, bytes.size());
  std::byte* const into = chunk_into();
  if (into && into != bytes.data()) std::memcpy(into, bytes.data(), size); // not when it was read right there
  chunk_left_ -= size;
  bytes = bytes.subspan(size);
  if (chunk_left_ == 0 && chunk_circuit_) end_chunk();
}

void Reader::end_chunk() {
  NativeCircuit& circuit = *std::exchange(chunk_circuit_, nullptr);
  if (chunk_node_) return deliver(circuit, std::exchange(chunk_node_, nullptr));
  if (chunk_is_last_) deliver(circuit, around_.window.end_assembly(circuit));
}

std::span<std::byte> Reader::read_space() {
  if (!chunk_circuit_ || chunk_left_ == 0 || chunk_bytes_ < read_space_bytes_min) return {};
  if (!chunk_node_ && !chunk_circuit_->receiving.assembly->granted) return {}; // what is held moves when the pool gives
  read_space_given_ = true;
  return {chunk_into(), chunk_left_};
}

void Reader::forget_chunk(NativeCircuit& circuit) {
  chunk_circuit_ = nullptr;
  if (read_space_given_)
    abandoned_ = std::move((chunk_node_ ? chunk_node_ : circuit.receiving.assembly->node)->fragment.payload);
  if (!chunk_node_) return;
  FragmentNode* const node = std::exchange(chunk_node_, nullptr);
  around_.window.give_up(node->cost);
  around_.nodes.free(node);
}

void Reader::deliver(NativeCircuit& circuit, FragmentNode* node) {
  ++circuit.counters.fragments_received;
  circuit.counters.bytes_received += node->fragment.payload.size();
  node->fragment.stamp(nullptr, circuit.counters.fragments_received);
  const bool is_error = !node->fragment.err.empty();
  FragmentQueue& queue = is_error ? circuit.receiving.errors : circuit.receiving.reads;
  const bool was_empty = queue.empty();
  const bool all_empty = circuit.receiving.reads.empty() && circuit.receiving.errors.empty();
  queue.push(node);
  around_.window.note_delivered(circuit, *node, all_empty);
  if (is_error) around_.window.note_error(circuit, *node);
  if (!was_empty || circuit.held) return;
  whole_.emit(is_error ? TrunkEvent::Kind::error_readable : TrunkEvent::Kind::readable, &circuit);
}

void Reader::check() const {
  invariant(chunk_left_ <= chunk_bytes_ && chunk_bytes_ <= chunk_bytes_max,
            "reader: chunk_left <= chunk <= its maximum");
  invariant(carry_.size() < carry_bytes_max, "reader: carried bytes < carry_bytes_max");
  invariant((chunk_left_ > 0) + (skip_left_ > 0) + !carry_.empty() <= 1,
            "reader: of head, chunk and frame to skip at most one is incomplete");
  invariant(!chunk_node_ || chunk_circuit_, "reader: a fragment that is being read has a circuit");
  invariant(!chunk_circuit_ || chunk_node_ || chunk_circuit_->receiving.assembly,
            "reader: a chunk belongs to a fragment");
}

} // namespace trunkline

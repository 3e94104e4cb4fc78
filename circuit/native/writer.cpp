#include "circuit/native/writer.hpp"

#include "circuit/invariant.hpp"
#include "proto/trunk.pb.h"

#include <optional>

namespace trunkline {

using wire::FrameType;

namespace {

constexpr std::size_t kept_bytes_max = 16 * 1024; // an idle output keeps no more memory

void append_frame(Output& into, FrameType type, const google::protobuf::MessageLite& message, std::size_t length) {
  std::byte* body = wire::put_header(into.control.prepare(wire::header_bytes + length), length, type, 0);
  message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(body));
  into.control.commit(wire::header_bytes + length);
}

} // namespace

struct Writer::Said {
  wire::Open open; // the last one, without its circuit; `open_rest` is how it is written
  std::string open_rest;
  std::string open_timed; // scratch
  wire::Accept accept;
  wire::Refuse refuse;
  wire::Credit credit;
  wire::Close close;
  wire::Reset reset;
  wire::Ping ping;
  wire::Pong pong;
};

Writer::Writer(const Limits& limits, const Instant& now)
    : limits_(limits), now_(now), said_(std::make_unique<Said>()) {}

Writer::~Writer() = default;

error Writer::reason_of(const End& reason) noexcept {
  if (reason.clean()) return error::none;
  if (reason.code.category() != trunkline_category()) return error::handler_failed;
  return static_cast<error>(reason.code.value());
}

std::string Writer::cut(std::string text) const {
  if (text.size() > limits_.reason_bytes_max) text.resize(limits_.reason_bytes_max);
  return text;
}

void Writer::put_preface() {
  const auto* magic = reinterpret_cast<const std::byte*>(wire::preface.data());
  pending_.control.append({magic, wire::preface.size()});
  pending_.bytes += wire::preface.size();
}

void Writer::put_introduction_first(const google::protobuf::MessageLite& hello) {
  ByteBuffer waiting;
  std::swap(waiting, pending_.control);
  put_preface();
  put_control(FrameType::hello, hello);
  pending_.control.append(waiting);
}

void Writer::put_control(FrameType type, const google::protobuf::MessageLite& message) {
  if (!takes_control_) return;
  const std::size_t length = message.ByteSizeLong();
  append_frame(pending_, type, message, length);
  count_control(type, wire::header_bytes + length);
}

void Writer::put_control(FrameType type, CircuitId circuit, std::string_view rest) {
  if (!takes_control_) return;
  std::byte* const start = pending_.control.prepare(wire::circuit_frame_bytes_max + rest.size());
  const auto added = static_cast<std::size_t>(wire::put_circuit_frame(start, type, circuit, rest) - start);
  pending_.control.commit(added);
  count_control(type, added);
}

void Writer::count_control(FrameType type, std::size_t bytes) noexcept {
  pending_.bytes += bytes + static_cast<std::size_t>(off_by_one("writer"));
  const bool is_answer = type != FrameType::open && type != FrameType::peer_metadata && type != FrameType::peer_ended;
  if (is_answer) answers_bytes_ += bytes;
}

void Writer::put_open(CircuitId id, const OpenRequest& request, bool wants_answer) {
  // Cached: an application that opens many circuits usually says nearly the same each time.
  wire::Open& message = said_->open;
  std::string& rest = said_->open_rest;
  const auto mode = static_cast<wire::Open::Mode>(request.mode);
  const std::string_view from_peer = request.from->id.bytes();
  const std::string_view to_peer = request.to_peer.empty() ? std::string_view() : request.to_peer.bytes();
  if (rest.empty() || message.to_peer() != to_peer || message.from_peer() != from_peer || message.mode() != mode ||
      message.wants_answer() != wants_answer || message.to_service() != request.to_service ||
      message.from_service() != request.from->service || message.name() != request.name ||
      message.user_string() != request.user_string) {
    message.set_mode(mode);
    message.set_from_peer(from_peer.data(), from_peer.size());
    message.set_from_service(request.from->service);
    message.set_to_peer(to_peer.data(), to_peer.size());
    message.set_to_service(request.to_service);
    message.set_name(request.name);
    message.set_user_string(request.user_string);
    message.set_wants_answer(wants_answer);
    message.SerializeToString(&rest);
  }
  if (request.deadline == Instant::max()) return put_control(FrameType::open, id, rest);
  // Behind the cached fields: it is another one each time.
  std::byte bytes[1 + wire::varint_bytes_max] = {wire::open_remaining_ms_tag};
  const std::byte* const end = wire::put_varint(bytes + 1, wire::remaining_ms(request.deadline, now_));
  said_->open_timed = rest;
  said_->open_timed.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(end - bytes));
  put_control(FrameType::open, id, said_->open_timed);
}

void Writer::put_accept(CircuitId id, const PeerName& peer) {
  wire::Accept& message = said_->accept;
  message.set_circuit(id);
  message.set_peer(peer.id.bytes().data(), RandomId::bytes_count);
  message.set_service(peer.service);
  put_control(FrameType::accept, message);
}

void Writer::put_refuse(CircuitId id, error reason, const std::string& text, const std::string& existing) {
  wire::Refuse& message = said_->refuse;
  message.set_circuit(id);
  message.set_reason(static_cast<std::uint32_t>(reason));
  message.set_text(cut(text));
  message.set_existing_url(existing.substr(0, control_bytes_max / 4));
  put_control(FrameType::refuse, message);
}

void Writer::put_reset(const NativeCircuit& circuit, const End& reason) {
  wire::Reset& message = said_->reset;
  message.set_circuit(circuit.id);
  message.set_reason(static_cast<std::uint32_t>(reason_of(reason)));
  message.set_text(cut(reason.text));
  const std::size_t answers_before = answers_bytes_;
  put_control(FrameType::reset, message);
  if (circuit.opened_here) answers_bytes_ = answers_before; // nothing that the far side said has caused it
}

void Writer::put_credit(CircuitId id, std::uint64_t bytes, std::uint64_t growth, CircuitId completes) {
  wire::Credit& message = said_->credit;
  message.set_circuit(id);
  message.set_bytes(bytes);
  message.set_growth(growth);
  message.set_completes(completes);
  put_control(FrameType::credit, message);
}

void Writer::put_peer_ended(const PeerId& peer, const End& reason) {
  wire::PeerEnded message;
  message.set_peer(peer.bytes().data(), RandomId::bytes_count);
  message.set_reason(static_cast<std::uint32_t>(reason_of(reason)));
  message.set_text(cut(reason.text));
  put_control(FrameType::peer_ended, message);
}

void Writer::put_ping(std::uint64_t number) {
  wire::Ping& message = said_->ping;
  message.set_number(number);
  put_control(FrameType::ping, message);
}

void Writer::put_pong(std::uint64_t number) {
  wire::Pong& message = said_->pong;
  message.set_number(number);
  put_control(FrameType::pong, message);
}

void Writer::put_finish(const NativeCircuit& circuit) {
  put_in_band(FrameType::finish, circuit.id, !circuit.opened_here);
}

void Writer::put_close(const NativeCircuit& circuit) {
  if (!circuit.end) return put_in_band(FrameType::close, circuit.id, !circuit.opened_here);
  wire::Close& message = said_->close;
  message.set_circuit(circuit.id);
  message.set_reason(static_cast<std::uint32_t>(reason_of(*circuit.end)));
  message.set_text(cut(circuit.end->text));
  put_in_band(FrameType::close, message, !circuit.opened_here);
}

void Writer::put_goodbye(error reason, const std::string& text) {
  takes_control_ = false;
  wire::Goodbye message;
  message.set_reason(static_cast<std::uint32_t>(reason));
  message.set_text(cut(text));
  put_in_band(FrameType::goodbye, message, false);
}

void Writer::put_in_band(FrameType type, const google::protobuf::MessageLite& message, bool is_answer) {
  const std::size_t length = message.ByteSizeLong();
  if (is_answer) answers_bytes_ += wire::header_bytes + length;
  std::byte* const start = pending_.small.prepare(wire::header_bytes + length);
  std::byte* body = wire::put_header(start, length, type, 0);
  message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(body));
  pending_.commit_small(wire::header_bytes + length);
}

void Writer::put_in_band(FrameType type, CircuitId circuit, bool is_answer) {
  std::byte* const start = pending_.small.prepare(wire::circuit_frame_bytes_max);
  const auto added = static_cast<std::size_t>(wire::put_circuit_frame(start, type, circuit, {}) - start);
  if (is_answer) answers_bytes_ += added;
  pending_.commit_small(added);
}

void Writer::collect(Output& into) {
  std::swap(into, pending_);
  answers_bytes_ = 0;
  if (!into.empty()) return;
  if (into.small.capacity() > kept_bytes_max) into = Output();
  if (pending_.small.capacity() > kept_bytes_max) pending_ = Output();
}

void Writer::stop() noexcept {
  takes_control_ = false;
  pending_.clear();
  answers_bytes_ = 0;
}

void Writer::check(bool full) const {
  invariant(answers_bytes_ <= pending_.bytes, "writer: answers_bytes <= bytes");
  pending_.check(full && pending_.pieces.size() <= 64);
}

} // namespace trunkline

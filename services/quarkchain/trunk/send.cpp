// Frames out: one queue for the whole connection, in the order of the sends. Small payloads are copied once, large ones
// are written from where they lie.
#include "services/quarkchain/trunk/cluster_machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t gather_bytes_min = 8 * 1024; // payloads from here on are not copied
constexpr std::size_t portion_bytes = 32 * 1024; // what the connection is handed is whole portions
constexpr std::size_t spare_portions_max = 32;
constexpr std::size_t kept_bytes_max = 64 * 1024; // an output that waits for nothing keeps no more memory

/// The branch that a fragment of the control circuit carries as its subject.
std::uint32_t branch_of(const Fragment& fragment, bool may_have_one) {
  if (fragment.subject.empty()) return 0;
  std::uint32_t branch = 0;
  const char* const end = fragment.subject.data() + fragment.subject.size();
  const auto parsed = std::from_chars(fragment.subject.data(), end, branch);
  if (!may_have_one || parsed.ec != std::errc() || parsed.ptr != end)
    throw std::invalid_argument("a subject does not cross a connection of the cluster framing");
  return branch;
}

} // namespace

std::size_t ClusterMachine::send_bytes_max(const TrunkCircuit& circuit) const noexcept {
  return &circuit == control_ ? options_.limits.output_bytes_max : options_.limits.peer_output_bytes_max;
}

std::string ClusterMachine::why_not(const Fragment& fragment) const {
  const std::size_t max = options_.limits.command_bytes_max;
  if (fragment.payload.size() <= max) return {};
  return fmt::format("fragment of {} bytes exceeds fragment_bytes_max {}", fragment.payload.size(), max);
}

SendOutcome ClusterMachine::send(TrunkCircuit& base, Fragment& fragment) {
  auto& circuit = static_cast<Circuit&>(base);
  const bool control = &circuit == control_;
  if (circuit.ended || circuit.finished_here() || state_ != State::running) return SendOutcome::closed;
  if (fragment.payload.size() > options_.limits.command_bytes_max) return SendOutcome::closed;
  if (fragment.op < 0 || fragment.op > 0xFF || !fragment.err.empty() || !fragment.args.empty())
    throw std::invalid_argument(
        fmt::format("op {} with {} args and an err of {} bytes does not cross a connection of the cluster framing",
                    fragment.op, fragment.args.size(), fragment.err.size()));
  FrameHeader header;
  header.branch = control ? branch_of(fragment, options_.framing == Framing::cluster) : circuit.route.branch;
  if (!control && !fragment.subject.empty()) branch_of(fragment, false);

  // Who comes anew goes behind those who wait already; there is enough in the output then that somebody will take it.
  const std::size_t max = send_bytes_max(circuit);
  const bool queues = !control && !waiting_.empty() && !circuit.waiting.is_linked() && output_bytes_ > max / 2;
  if (output_bytes_ >= max || queues) {
    if (!circuit.waiting.is_linked()) waiting_.push_back(circuit);
    return SendOutcome::no_credit;
  }
  circuit.waiting.unlink();
  header.length = static_cast<std::uint32_t>(fragment.payload.size());
  header.cluster_peer_id = circuit.route.cluster_peer_id;
  header.opcode = static_cast<std::uint8_t>(fragment.op);
  header.rpc_id = static_cast<std::uint64_t>(fragment.part);
  ++circuit.counters.fragments_sent;
  circuit.counters.bytes_sent += header.length;
  put_frame(header, fragment.payload);
  fragment.clear();
  return SendOutcome::queued;
}

void ClusterMachine::put_frame(const FrameHeader& header, Payload& payload) {
  Output* output = &output_end();
  const bool copied = payload.size() < gather_bytes_min;
  const std::size_t head_bytes = frame_header_bytes(options_.framing);
  const std::size_t bytes = head_bytes + (copied ? payload.size() : 0);
  put_frame_header(output->small.prepare(bytes + Payload::inline_bytes_max), options_.framing, header);
  if (copied && payload.size() <= Payload::inline_bytes_max) {
    payload.copy_inline(output->small.prepare(bytes + Payload::inline_bytes_max) + head_bytes);
  } else if (copied) {
    std::memcpy(output->small.prepare(bytes) + head_bytes, payload.data(), payload.size());
  }
  const auto offset = static_cast<std::uint32_t>(output->small.size());
  output->small.commit(bytes);
  if (!output->pieces.empty() && output->pieces.back().large < 0) {
    output->pieces.back().size += static_cast<std::uint32_t>(bytes);
  } else {
    output->pieces.push_back({-1, offset, static_cast<std::uint32_t>(bytes)});
  }
  output->bytes += bytes;
  output_bytes_ += bytes;
  if (copied) return;

  const std::size_t total = payload.size();
  for (std::size_t at = 0; at < total;) {
    output = &output_end();
    const std::size_t size = std::min(total - at, portion_bytes);
    output->large.push_back(size == total ? std::move(payload) : payload.slice(at, size));
    output->pieces.push_back(
        {static_cast<std::int32_t>(output->large.size() - 1), 0, static_cast<std::uint32_t>(size)});
    output->bytes += size;
    output_bytes_ += size;
    at += size;
  }
}

/// The portion that is being filled.
Output& ClusterMachine::output_end() {
  if (pending_.empty() || pending_.back().bytes >= portion_bytes) {
    if (spare_outputs_.empty()) {
      pending_.emplace_back();
    } else {
      pending_.push_back(std::move(spare_outputs_.back()));
      spare_outputs_.pop_back();
    }
  }
  return pending_.back();
}

void ClusterMachine::collect_output(Output& into, std::size_t bytes_max, Instant now) {
  now_ = std::max(now_, now);
  into.clear();
  if (state_ == State::over || pending_.empty()) return;
  std::swap(into, pending_.front()); // its memory is used again
  while (pending_.size() > 1 && into.bytes + pending_[1].bytes <= bytes_max) {
    append(into, pending_[1]);
    if (spare_outputs_.size() < spare_portions_max) spare_outputs_.push_back(std::move(pending_[1]));
    pending_.erase(pending_.begin() + 1);
  }
  if (pending_.size() > 1) pending_.pop_front();
  if (into.empty()) return;
  output_bytes_ -= into.bytes;
  writing_ = true;
  writing_since_ = now_;
  counters_.bytes_sent += into.bytes;
  wake_senders();
}

/// Moves one portion behind another.
void ClusterMachine::append(Output& into, Output& portion) {
  const auto small = static_cast<std::uint32_t>(into.small.size());
  const auto large = static_cast<std::int32_t>(into.large.size());
  into.small.append(portion.small);
  for (Payload& payload : portion.large) into.large.push_back(std::move(payload));
  for (Output::Piece piece : portion.pieces) {
    if (piece.large < 0) {
      piece.offset += small;
    } else {
      piece.large += large;
    }
    into.pieces.push_back(piece);
  }
  into.bytes += portion.bytes;
  portion.clear();
}

void ClusterMachine::written(Instant now) {
  now_ = std::max(now_, now);
  writing_ = false;
  if (output_bytes_ > 0) return;
  spare_outputs_.clear();
  if (!pending_.empty() && pending_.front().small.capacity() > kept_bytes_max) pending_.clear();
}

/// Who waits keeps its place until it has sent, so that one with much to say comes last the next time.
void ClusterMachine::wake_senders() {
  for (Circuit& circuit : waiting_)
    if (output_bytes_ <= send_bytes_max(circuit) / 2) emit(TrunkEvent::Kind::writable, &circuit);
}

} // namespace trunkline::quarkchain

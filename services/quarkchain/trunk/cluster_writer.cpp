#include "services/quarkchain/trunk/cluster_writer.hpp"

#include "fragment/deadline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t portion_bytes = 32 * 1024; // what the connection is handed is whole portions
constexpr std::size_t spare_portions_max = 32;
constexpr std::size_t kept_bytes_max = 64 * 1024; // an output that waits for nothing keeps no more memory

} // namespace

/// A circuit that comes anew goes behind those that wait already: there is enough in the output then that the
/// connection will take some of it and wake them.
bool ClusterWriter::may_send_much(ClusterCircuit& circuit) {
  const std::size_t max = bytes_max(circuit);
  const bool queues =
      !circuit.route.is_control() && !waiting_.empty() && !circuit.waiting.is_linked() && bytes_ > max / 2;
  if (bytes_ >= max || queues) {
    if (!circuit.waiting.is_linked()) waiting_.push_back(circuit);
    return false;
  }
  circuit.waiting.unlink();
  return true;
}

void ClusterWriter::put_frame(const FrameHeader& header, Payload& payload) {
  const Framing framing = whole_.options.framing;
  Output& head = end();
  const bool copied = payload.size() < Output::gather_bytes_min;
  const std::size_t head_bytes = frame_header_bytes(framing);
  const std::size_t bytes = head_bytes + (copied ? payload.size() : 0);
  std::byte* const at = head.small.prepare(bytes + Payload::inline_bytes_max);
  put_frame_header(at, framing, header);
  if (copied && payload.size() <= Payload::inline_bytes_max) {
    payload.copy_inline(at + head_bytes);
  } else if (copied) {
    std::memcpy(at + head_bytes, payload.data(), payload.size());
  }
  head.commit_small(bytes);
  bytes_ += bytes + static_cast<std::size_t>(off_by_one("cluster writer"));
  if (copied) return;

  const std::size_t total = payload.size();
  for (std::size_t offset = 0; offset < total;) {
    const std::size_t size = std::min(total - offset, portion_bytes);
    end().add_large(size == total ? std::move(payload) : payload.slice(offset, size));
    bytes_ += size;
    offset += size;
  }
}

/// The portion that is being filled.
Output& ClusterWriter::end() {
  if (portions_.empty() || portions_.back().bytes >= portion_bytes) {
    if (spares_.empty()) {
      portions_.emplace_back();
    } else {
      portions_.push_back(std::move(spares_.back()));
      spares_.pop_back();
    }
  }
  return portions_.back();
}

void ClusterWriter::collect(Output& into, std::size_t bytes_max) {
  if (portions_.empty()) return;
  std::swap(into, portions_.front()); // its memory is used again
  while (portions_.size() > 1 && into.bytes + portions_[1].bytes <= bytes_max) {
    into.append(portions_[1]);
    if (spares_.size() < spare_portions_max) spares_.push_back(std::move(portions_[1]));
    portions_.erase(portions_.begin() + 1);
  }
  if (portions_.size() > 1) portions_.pop_front();
  if (into.empty()) return;
  bytes_ -= into.bytes;
  writing_ = true;
  writing_since_ = whole_.now;
  whole_.counters.bytes_sent += into.bytes;
  wake_senders();
}

void ClusterWriter::written() {
  writing_ = false;
  if (bytes_ > 0) return;
  spares_.clear();
  if (!portions_.empty() && portions_.front().small.capacity() > kept_bytes_max) portions_.clear();
}

void ClusterWriter::clear() {
  portions_.clear();
  bytes_ = 0;
}

/// A waiting sender keeps its place until it has sent, then goes to the back: one with much to say comes last the next
/// time.
void ClusterWriter::wake_senders() {
  for (ClusterCircuit& circuit : waiting_)
    if (bytes_ <= bytes_max(circuit) / 2) whole_.emit(TrunkEvent::Kind::writable, &circuit);
}

Instant ClusterWriter::deadline() const noexcept {
  return writing_ ? after(writing_since_, whole_.options.limits.write_deadline) : Instant::max();
}

End ClusterWriter::tick() const {
  if (whole_.now < deadline()) return End();
  return End(error::write_timeout, fmt::format("output not written within write_deadline {} ms",
                                               whole_.options.limits.write_deadline.count()));
}

void ClusterWriter::check(bool full) const {
  if (!full && portions_.size() > 16) return;
  std::size_t bytes = 0;
  for (const Output& portion : portions_) {
    bytes += portion.bytes;
    portion.check(full);
  }
  invariant(bytes == bytes_, "cluster writer: bytes == the sum of the portions'");
}

} // namespace trunkline::quarkchain

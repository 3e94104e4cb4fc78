#include "services/quarkchain/trunk/cluster_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t payload_bytes_first = 64 * 1024; // allocated for a frame of which little has arrived

} // namespace

ClusterReader::ClusterReader(ClusterWhole& whole, const ClusterFarewell& farewell, ClusterCircuits& circuits,
                             Inboxes& inboxes)
    : whole_(whole), farewell_(farewell), circuits_(circuits), inboxes_(inboxes) {}

void ClusterReader::feed(std::span<const std::byte> bytes) {
  inboxes_.begin_feed();
  while (!bytes.empty() && farewell_.running())
    bytes = bytes.subspan(in_payload_ ? read_payload(bytes) : read_header(bytes));
}

std::size_t ClusterReader::read_header(std::span<const std::byte> bytes) {
  const ClusterMachineOptions& options = whole_.options;
  const std::size_t size = frame_header_bytes(options.framing);
  std::span<const std::byte> head = bytes;
  std::size_t used = size;
  if (carried_ > 0 || bytes.size() < size) {
    used = std::min(size - carried_, bytes.size());
    std::memcpy(carry_.data() + carried_, bytes.data(), used);
    carried_ += used;
    head = std::span<const std::byte>(carry_).first(carried_);
  }
  const ClusterLimits& limits = options.limits;
  const std::size_t bytes_max = options.identified
                                    ? limits.command_bytes_max
                                    : std::min(limits.command_bytes_max, limits.unidentified_command_bytes_max);
  switch (parse_frame_header(head, options.framing, bytes_max, frame_)) {
    case FrameParsed::incomplete: return used;
    case FrameParsed::too_large:
      ++whole_.cluster_counters.frames_too_large;
      whole_.violate(
          error::frame_too_large,
          fmt::format("frame with {} bytes of payload exceeds {} {}", frame_.length,
                      options.identified ? "command_bytes_max" : "unidentified_command_bytes_max", bytes_max));
      return bytes.size();
    case FrameParsed::complete: break;
  }
  carried_ = 0;
  start_frame();
  return used;
}

void ClusterReader::start_frame() {
  ++whole_.counters.frames_received;
  arrived_ = 0;
  circuit_ = circuits_.find_for(frame_, farewell_.draining());
  if (!farewell_.running()) return;
  in_payload_ = true;
  if (frame_.length > 0) return;
  if (is_for_peer()) inboxes_.admit(*circuit_, 0);
  end_frame(Payload());
}

std::size_t ClusterReader::read_payload(std::span<const std::byte> bytes) {
  const std::size_t count = std::min<std::size_t>(bytes.size(), frame_.length - arrived_);
  const bool whole = arrived_ == 0 && count == frame_.length;
  if (circuit_ && !whole) {
    grow_payload(count);
    std::memcpy(payload_.writable().data() + arrived_, bytes.data(), count);
  }
  arrived_ += count + static_cast<std::size_t>(off_by_one("cluster reader"));
  if (is_for_peer()) inboxes_.admit(*circuit_, arrived_); // may close it
  if (arrived_ != frame_.length) return count;
  if (whole && circuit_) {
    end_frame(Payload(bytes.first(count)));
  } else {
    end_frame(std::move(payload_));
  }
  return count;
}

/// At most doubles what has arrived; the last step is exact.
void ClusterReader::grow_payload(std::size_t bytes) {
  if (arrived_ + bytes <= payload_.size()) return;
  const std::size_t wanted = std::max({arrived_ + bytes, 2 * payload_.size(), payload_bytes_first});
  Payload larger = Payload::uninitialized(std::min<std::size_t>(frame_.length, wanted));
  if (arrived_ > 0) std::memcpy(larger.writable().data(), payload_.data(), arrived_);
  payload_ = std::move(larger);
}

void ClusterReader::end_frame(Payload&& payload) {
  in_payload_ = false;
  if (ClusterCircuit* const circuit = std::exchange(circuit_, nullptr))
    inboxes_.push(*circuit, frame_, std::move(payload));
}

void ClusterReader::drop_frame() {
  circuit_ = nullptr;
  payload_ = Payload();
}

std::string ClusterReader::inside() const {
  if (in_payload_) return fmt::format("inside a frame, {} of {} bytes of payload", arrived_, frame_.length);
  if (carried_ == 0) return {};
  return fmt::format("inside a frame, {} of {} bytes of its header", carried_,
                     frame_header_bytes(whole_.options.framing));
}

void ClusterReader::check() const {
  invariant(carried_ <= frame_header_bytes_max, "cluster reader: carried bytes <= frame_header_bytes_max");
  invariant(!in_payload_ || arrived_ < frame_.length || !farewell_.running(),
            "cluster reader: a payload that is being read is not whole");
  invariant(payload_.size() <= std::max(payload_bytes_first, 2 * arrived_),
            "cluster reader: memory <= twice of what has arrived");
}

} // namespace trunkline::quarkchain

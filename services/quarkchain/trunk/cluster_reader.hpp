// Bytes into frames. Memory is taken as bytes arrive, never as they are claimed.
#pragma once

#include "services/quarkchain/protocol/frame.hpp"
#include "services/quarkchain/trunk/cluster_circuits.hpp"
#include "services/quarkchain/trunk/cluster_farewell.hpp"
#include "services/quarkchain/trunk/cluster_whole.hpp"
#include "services/quarkchain/trunk/inboxes.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace trunkline::quarkchain {

class ClusterReader {
 public:
  ClusterReader(ClusterWhole& whole, const ClusterFarewell& farewell, ClusterCircuits& circuits, Inboxes& inboxes);

  /// Takes bytes, split anywhere; all are consumed. Stops at what ends the connection.
  void feed(std::span<const std::byte> bytes);
  /// The circuit ends, maybe while a frame of it is arriving: the rest of the frame is skipped.
  void forget(const ClusterCircuit& circuit) {
    if (circuit_ == &circuit) drop_frame();
  }
  /// The rest of the frame that is arriving, if any, is skipped.
  void drop_frame();
  /// "inside a frame, 3 of 100 bytes of payload"; empty between two frames.
  std::string inside() const;
  std::size_t memory_bytes() const noexcept { return payload_.size(); }

  /// arrived <= the frame's length, and memory <= twice of it.
  void check() const;

 private:
  std::size_t read_header(std::span<const std::byte> bytes);
  void start_frame();
  std::size_t read_payload(std::span<const std::byte> bytes);
  void grow_payload(std::size_t bytes);
  void end_frame(Payload&& payload);
  bool is_for_peer() const noexcept { return circuit_ && circuit_ != circuits_.control(); }

  ClusterWhole& whole_;
  const ClusterFarewell& farewell_;
  ClusterCircuits& circuits_;
  Inboxes& inboxes_;
  std::array<std::byte, frame_header_bytes_max> carry_;
  std::size_t carried_ = 0; // bytes of a header that has not arrived whole
  FrameHeader frame_;
  bool in_payload_ = false;
  ClusterCircuit* circuit_ = nullptr; // whom the frame is for; null: it is dropped
  Payload payload_;                   // allocated for it
  std::size_t arrived_ = 0;           // bytes of the payload
};

} // namespace trunkline::quarkchain

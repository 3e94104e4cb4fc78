// Cuts bytes into frames. The heads of frames and whole control frames are read from where they arrive, or from a copy
// when they arrive in parts; the payload of a data frame goes straight to where its fragment is put together.
#pragma once

#include "circuit/native/circuit.hpp"
#include "circuit/native/circuits.hpp"
#include "circuit/native/far_peers.hpp"
#include "circuit/native/farewell.hpp"
#include "circuit/native/flood_guard.hpp"
#include "circuit/native/frame.hpp"
#include "circuit/native/node_pool.hpp"
#include "circuit/native/whole.hpp"
#include "circuit/native/window.hpp"
#include "circuit/native/writer.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace trunkline {

class Reader {
 public:
  /// The parts that a frame may concern before its circuit is known.
  struct Around {
    const Writer& writer;
    const Farewell& farewell;
    const FarPeers& far_peers;
    FloodGuard& flood_guard;
    Circuits& circuits;
    Window& window;
    NodePool& nodes;
  };

  Reader(Whole& whole, const Around& around);
  ~Reader();

  /// Takes bytes, split anywhere; all are consumed. Stops at what ends the trunk.
  void feed(std::span<const std::byte> bytes);
  /// See Machine::read_space.
  std::span<std::byte> read_space();
  /// No read is under way any more: memory that was given for one is freed.
  void drop_read_space() noexcept { abandoned_ = Payload(); }
  /// The circuit ends, maybe while a frame of it is being read: the rest of the frame is skipped.
  void forget(NativeCircuit& circuit) {
    if (chunk_circuit_ == &circuit) forget_chunk(circuit);
  }

  std::size_t memory_bytes() const noexcept { return abandoned_.size(); }

  /// chunk_left <= chunk, and of a head, a chunk and a frame to skip, at most one is incomplete.
  void check() const;

 private:
  void read_preface(std::span<const std::byte>& bytes);
  std::size_t read_frame(std::span<const std::byte> bytes);
  void start_data(const wire::DataHead& head);
  void start_fragment(NativeCircuit& circuit, const wire::DataHead& head, std::size_t cost);
  void start_continuation(NativeCircuit& circuit, const wire::DataHead& head);
  void start_chunk(NativeCircuit* circuit, std::size_t bytes) noexcept;
  void discard_chunk(std::size_t payload_bytes, std::size_t cost);
  void read_chunk(std::span<const std::byte>& bytes);
  void end_chunk();
  void deliver(NativeCircuit& circuit, FragmentNode* node);
  std::byte* chunk_into() const noexcept;
  void forget_chunk(NativeCircuit& circuit);

  Whole& whole_;
  const Around around_;
  std::size_t preface_seen_ = 0;
  std::vector<std::byte> carry_; // the beginning of a frame head that has not arrived whole
  std::size_t skip_left_ = 0; // bytes of an unknown optional frame
  // The data frame that is being read.
  std::size_t chunk_bytes_ = 0; // of its payload
  std::size_t chunk_left_ = 0;
  NativeCircuit* chunk_circuit_ = nullptr; // null: the chunk is dropped
  FragmentNode* chunk_node_ = nullptr;     // a fragment of one frame; null: part of the circuit's assembly
  bool chunk_is_last_ = false;
  bool read_space_given_ = false; // since the last feed
  Payload abandoned_; // memory given as read_space whose fragment has gone
};

} // namespace trunkline

// Writes frames into the output. Control frames go first, in a buffer of their own; data, and what must stay behind it,
// follow in the order in which they are put.
#pragma once

#include "circuit/native/circuit.hpp"
#include "circuit/native/frame.hpp"
#include "circuit/output.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace google::protobuf {
class MessageLite;
}

namespace trunkline {

class Writer {
 public:
  /// `now` is read when something is written that depends on the time.
  Writer(const Limits& limits, const Instant& now);
  ~Writer();

  std::size_t bytes() const noexcept { return pending_.bytes; }
  /// Bytes of uncollected control frames that the far side has caused: a far side may ask without reading.
  std::size_t answers_bytes() const noexcept { return answers_bytes_; }
  /// Output up to here takes a lone circuit's fragments at once.
  std::size_t direct_bytes_max() const noexcept { return direct_bytes_max_; }
  void set_direct_bytes_max(std::size_t bytes) noexcept { direct_bytes_max_ = bytes; }

  void put_preface();
  /// The preface and our Hello, before everything that waits to be written already.
  void put_introduction_first(const google::protobuf::MessageLite& hello);
  /// Control frames; dropped after the goodbye.
  void put_control(wire::FrameType type, const google::protobuf::MessageLite& message);
  /// `rest` are the fields behind the circuit.
  void put_control(wire::FrameType type, CircuitId circuit, std::string_view rest = {});
  /// With a deadline of Instant::max() it has none.
  void put_open(CircuitId id, const OpenRequest& request, bool wants_answer);
  void put_accept(CircuitId id, const PeerName& peer);
  void put_refuse(CircuitId id, error reason, const std::string& text, const std::string& existing);
  void put_reset(const NativeCircuit& circuit, const End& reason);
  /// `growth` and `completes` are as proto/trunk.proto has them.
  void put_credit(CircuitId id, std::uint64_t bytes, std::uint64_t growth = 0, CircuitId completes = 0);
  void put_peer_ended(const PeerId& peer, const End& reason);
  void put_ping(std::uint64_t number);
  void put_pong(std::uint64_t number);

  /// One frame of the fragment: `size` bytes of its payload from `offset` on. The first frame carries the metadata, of
  /// `metadata` bytes. Moves the payload out when the frame has all of it.
  void put_data(CircuitId id, Fragment& fragment, std::size_t offset, std::size_t size, std::size_t metadata);
  /// The end of our direction, behind all data that is already in the output.
  void put_finish(const NativeCircuit& circuit);
  /// The same, with the reason that the circuit has.
  void put_close(const NativeCircuit& circuit);
  /// The last frame: control frames that are put after it are dropped.
  void put_goodbye(error reason, const std::string& text);

  /// Swaps what is there with `into`, which has to be empty.
  void collect(Output& into);
  /// Nothing more is written: drops what is there, and what is put from now on.
  void stop() noexcept;

  /// The reason as the wire has it: codes of other categories are not sent.
  static error reason_of(const End& reason) noexcept;

  /// answers <= bytes, and the output's own.
  void check(bool full) const;

 private:
  struct Said; // protobuf objects, reused: a fresh one per frame would cost more than the frame

  std::string cut(std::string text) const;
  void count_control(wire::FrameType type, std::size_t bytes) noexcept;
  void put_in_band(wire::FrameType type, const google::protobuf::MessageLite& message, bool is_answer);
  void put_in_band(wire::FrameType type, CircuitId circuit, bool is_answer);

  const Limits& limits_;
  const Instant& now_;
  std::unique_ptr<Said> said_;
  Output pending_;
  std::size_t answers_bytes_ = 0;
  std::size_t direct_bytes_max_ = 64 * 1024;
  bool takes_control_ = true; // until the goodbye
  std::vector<std::byte> metadata_; // scratch
};

inline void Writer::put_data(CircuitId id, Fragment& fragment, std::size_t offset, std::size_t size,
                             std::size_t metadata) {
  const std::size_t payload = fragment.payload.size();
  wire::DataHead head;
  head.circuit = id;
  head.op = fragment.op;
  head.part = fragment.part;
  head.total = payload;
  head.payload_bytes = size;
  if (offset > 0) {
    head.flags = wire::flag_continues;
    if (offset + size == payload) head.flags |= wire::flag_last;
  } else if (size < payload) {
    head.flags = wire::flag_first_of_more;
  }
  if (metadata != 0) {
    metadata_.clear();
    wire::put_metadata(metadata_, fragment, now_);
    head.flags |= wire::flag_metadata;
    head.metadata = metadata_;
  }
  const bool copied = size < Output::gather_bytes_min;
  const std::size_t room =
      wire::data_head_bytes_max + metadata + (copied ? std::max(size, Payload::inline_bytes_max) : 0);
  std::byte* const start = pending_.small.prepare(room);
  std::byte* at = wire::put_data_head(start, head);
  if (copied) {
    if (payload <= Payload::inline_bytes_max) {
      fragment.payload.copy_inline(at);
    } else {
      std::memcpy(at, fragment.payload.data() + offset, size);
    }
    at += size;
  }
  pending_.commit_small(static_cast<std::size_t>(at - start));
  if (copied) return;
  pending_.add_large(size == payload ? std::move(fragment.payload) : fragment.payload.slice(offset, size));
}

} // namespace trunkline

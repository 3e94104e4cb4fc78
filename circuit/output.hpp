// The bytes that a machine has ready to be written, in order. Small ones are copied into one buffer, large ones are
// written from where they lie.
#pragma once

#include "fragment/byte_buffer.hpp"
#include "fragment/payload.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace trunkline {

/// The holder of an Output keeps its bytes alive; hand the same one to the next `collect_output`, so that its memory is
/// used again.
class Output {
 public:
  static constexpr std::size_t gather_bytes_min = 8 * 1024; // payloads from here on are not copied

  struct Piece {
    std::int32_t large; // an index into `large`; negative: a part of `small`
    std::uint32_t offset;
    std::uint32_t size;
  };

  bool empty() const noexcept { return bytes == 0; }

  /// Counts bytes that were written to the end of `small`.
  void commit_small(std::size_t count) {
    if (pieces.empty() || pieces.back().large >= 0) add_small_piece();
    pieces.back().size += static_cast<std::uint32_t>(count); // small parts follow one another: one piece
    small.commit(count);
    bytes += count;
  }
  /// Counts bytes that were written to the end of `control`.
  void commit_control(std::size_t count) noexcept {
    control.commit(count);
    bytes += count;
  }
  /// Adds a payload that is not copied.
  void add_large(Payload payload);
  /// Moves all of `other`, which has no control frames, behind this; `other` is empty then.
  void append(Output& other);

  void clear() noexcept;
  /// Views of all pieces; valid until the output changes or moves.
  void gather(std::vector<std::span<const std::byte>>& into) const;

  /// bytes == control + pieces. Looks at each piece when `full`.
  void check(bool full) const;

  /// An empty one, where `small` ends now.
  void add_small_piece();

  ByteBuffer control; // control frames; written before everything else
  ByteBuffer small; // headers and small payloads, one after another
  std::vector<Payload> large; // payloads that are written from where they lie
  std::vector<Piece> pieces;
  std::size_t bytes = 0;
};

} // namespace trunkline

#include "circuit/output.hpp"

#include "circuit/invariant.hpp"

#include <utility>

namespace trunkline {

void Output::add_large(Payload payload) {
  const std::size_t size = payload.size();
  pieces.push_back({static_cast<std::int32_t>(large.size()), 0, static_cast<std::uint32_t>(size)});
  large.push_back(std::move(payload));
  bytes += size;
}

void Output::add_small_piece() { pieces.push_back({-1, static_cast<std::uint32_t>(small.size()), 0}); }

void Output::append(Output& other) {
  const auto small_before = static_cast<std::uint32_t>(small.size());
  const auto large_before = static_cast<std::int32_t>(large.size());
  small.append(other.small);
  for (Payload& payload : other.large) large.push_back(std::move(payload));
  for (Piece piece : other.pieces) {
    if (piece.large < 0) {
      piece.offset += small_before;
    } else {
      piece.large += large_before;
    }
    pieces.push_back(piece);
  }
  bytes += other.bytes;
  other.clear();
}

void Output::clear() noexcept {
  control.clear();
  small.clear();
  large.clear();
  pieces.clear();
  bytes = 0;
}

void Output::gather(std::vector<std::span<const std::byte>>& into) const {
  into.clear();
  if (!control.empty()) into.emplace_back(control);
  for (const Piece& piece : pieces) {
    const std::byte* data = piece.large < 0 ? small.data() : large[static_cast<std::size_t>(piece.large)].data();
    into.emplace_back(data + piece.offset, piece.size);
  }
}

void Output::check(bool full) const {
  if (large.empty()) invariant(bytes == control.size() + small.size(), "output: bytes == control + small");
  if (!full) return;
  std::size_t of_pieces = 0;
  for (const Piece& piece : pieces) of_pieces += piece.size;
  invariant(bytes == control.size() + of_pieces, "output: bytes == control + the sum of the pieces");
}

} // namespace trunkline

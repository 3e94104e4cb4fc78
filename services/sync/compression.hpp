// zstd for the data of one file's circuit: each fragment alone, and none any more once it has not paid.
#pragma once

#include "fragment/payload.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

namespace trunkline::sync {

class Compressor {
 public:
  Compressor();
  ~Compressor();
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  /// The bytes smaller by a sixteenth at least; nothing when they are not, and after losses_max of such in a row never
  /// again.
  std::optional<Payload> compress(std::span<const std::byte> bytes);

  static constexpr std::size_t bytes_min = 128; // fewer are not worth it
  static constexpr int losses_max = 4;

 private:
  struct State;

  std::unique_ptr<State> state_; // none before the first use
  int losses_ = 0;
};

/// Takes back what a Compressor made. Nothing when it is none of that, or would become more than `bytes_max`: no more
/// memory than that is used in any case.
std::optional<Payload> decompress(std::span<const std::byte> bytes, std::size_t bytes_max);

} // namespace trunkline::sync

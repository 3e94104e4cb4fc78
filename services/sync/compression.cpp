#include "services/sync/compression.hpp"

#include <zstd.h>

#include <utility>

namespace trunkline::sync {
namespace {

constexpr int level = 3;

} // namespace

struct Compressor::State {
  ZSTD_CCtx* context = ZSTD_createCCtx();

  ~State() { ZSTD_freeCCtx(context); }
};

Compressor::Compressor() = default;
Compressor::~Compressor() = default;

std::optional<Payload> Compressor::compress(std::span<const std::byte> bytes) {
  if (bytes.size() < bytes_min || losses_ >= losses_max) return std::nullopt;
  if (!state_) state_ = std::make_unique<State>();
  // With no more room than would pay, zstd stops by itself.
  Payload packed = Payload::uninitialized(bytes.size() - bytes.size() / 16);
  const std::span<std::byte> into = packed.writable();
  const std::size_t size =
      ZSTD_compressCCtx(state_->context, into.data(), into.size(), bytes.data(), bytes.size(), level);
  if (ZSTD_isError(size)) {
    ++losses_;
    return std::nullopt;
  }
  losses_ = 0;
  return packed.slice(0, size);
}

std::optional<Payload> decompress(std::span<const std::byte> bytes, std::size_t bytes_max) {
  const unsigned long long size = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR || size > bytes_max) return std::nullopt;
  Payload payload = Payload::uninitialized(static_cast<std::size_t>(size));
  const std::span<std::byte> into = payload.writable();
  const std::size_t count = ZSTD_decompress(into.data(), into.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(count) || count != size) return std::nullopt;
  return payload;
}

} // namespace trunkline::sync

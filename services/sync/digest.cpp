#include "services/sync/digest.hpp"

#include "services/sync/xxh3.hpp"

#include <algorithm>
#include <new>

namespace trunkline::sync {

struct Digester::State {
  XXH3_state_t* xxh = XXH3_createState();

  ~State() { XXH3_freeState(xxh); }
};

bool Digest::from_bytes(std::string_view bytes, Digest& into) noexcept {
  if (bytes.size() != bytes_count) return false;
  std::copy(bytes.begin(), bytes.end(), into.bytes_.begin());
  return true;
}

Digester::Digester(std::uint64_t seed) : state_(std::make_unique<State>()) {
  if (!state_->xxh) throw std::bad_alloc();
  XXH3_128bits_reset_withSeed(state_->xxh, seed);
}

Digester::~Digester() = default;

void Digester::add(std::span<const std::byte> bytes) { XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size()); }

Digest Digester::take() const {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_->xxh));
  Digest digest;
  static_assert(sizeof canonical.digest == Digest::bytes_count);
  std::copy_n(canonical.digest, Digest::bytes_count, digest.bytes_.begin());
  return digest;
}

} // namespace trunkline::sync

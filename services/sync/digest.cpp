#include "services/sync/digest.hpp"

#include "services/sync/xxh3.hpp"

#include <algorithm>
#include <new>

namespace trunkline::sync {

namespace {

Digest from_hash(const XXH128_hash_t& hash) noexcept {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  static_assert(sizeof canonical.digest == Digest::bytes_count);
  Digest digest;
  Digest::from_bytes({reinterpret_cast<const char*>(canonical.digest), sizeof canonical.digest}, digest);
  return digest;
}

} // namespace

struct Digester::State {
  XXH3_state_t* xxh = XXH3_createState();

  ~State() { XXH3_freeState(xxh); }
};

bool Digest::from_bytes(std::string_view bytes, Digest& into) noexcept {
  if (bytes.size() != bytes_count) return false;
  std::copy(bytes.begin(), bytes.end(), into.bytes_.begin());
  return true;
}

Digest Digest::of(std::span<const std::byte> bytes, std::uint64_t seed) noexcept {
  return from_hash(XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed));
}

Digester::Digester(std::uint64_t seed) : state_(std::make_unique<State>()) {
  if (!state_->xxh) throw std::bad_alloc();
  XXH3_128bits_reset_withSeed(state_->xxh, seed);
}

Digester::~Digester() = default;

void Digester::add(std::span<const std::byte> bytes) { XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size()); }

Digest Digester::take() const { return from_hash(XXH3_128bits_digest(state_->xxh)); }

} // namespace trunkline::sync

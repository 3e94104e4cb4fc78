#include "services/quarkchain/chain/keccak_many.hpp"

#include "services/quarkchain/chain/keccak.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>

namespace trunkline::quarkchain {
namespace {

#if defined(__x86_64__)

constexpr std::size_t lanes_count = 4;
constexpr std::size_t words_count = 25;
constexpr std::size_t block_bytes = 136; // of 256 bits of hash
constexpr std::size_t block_words = block_bytes / 8;
static_assert(std::endian::native == std::endian::little);

/// The states of four texts: each word of all four, one next to the other.
struct States {
  alignas(32) std::uint64_t words[words_count][lanes_count] = {};
};

using Lanes __attribute__((vector_size(8 * lanes_count))) = std::uint64_t;

constexpr std::uint64_t round_constants[] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};

// Lanes go by reference: by value they would need a calling convention that not every processor has.
template <int Bits> [[gnu::always_inline]] inline void rotate(Lanes& to, const Lanes& from) {
  to = (from << Bits) | (from >> (64 - Bits));
}

/// Keccak-f[1600] in all lanes. It is compiled anew for each set of instructions that calls it.
[[gnu::always_inline]] inline void permute(States& states) {
  Lanes a[words_count], b[words_count], c[5], d;
  std::memcpy(a, states.words, sizeof a);
  for (const std::uint64_t constant : round_constants) {
    for (int x = 0; x < 5; ++x) c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    for (int x = 0; x < 5; ++x) {
      rotate<1>(d, c[(x + 1) % 5]);
      d ^= c[(x + 4) % 5];
      for (int y = 0; y < 25; y += 5) a[x + y] ^= d;
    }
    b[0] = a[0];
    rotate<44>(b[1], a[6]);
    rotate<43>(b[2], a[12]);
    rotate<21>(b[3], a[18]);
    rotate<14>(b[4], a[24]);
    rotate<28>(b[5], a[3]);
    rotate<20>(b[6], a[9]);
    rotate<3>(b[7], a[10]);
    rotate<45>(b[8], a[16]);
    rotate<61>(b[9], a[22]);
    rotate<1>(b[10], a[1]);
    rotate<6>(b[11], a[7]);
    rotate<25>(b[12], a[13]);
    rotate<8>(b[13], a[19]);
    rotate<18>(b[14], a[20]);
    rotate<27>(b[15], a[4]);
    rotate<36>(b[16], a[5]);
    rotate<10>(b[17], a[11]);
    rotate<15>(b[18], a[17]);
    rotate<56>(b[19], a[23]);
    rotate<62>(b[20], a[2]);
    rotate<55>(b[21], a[8]);
    rotate<39>(b[22], a[14]);
    rotate<41>(b[23], a[15]);
    rotate<2>(b[24], a[21]);
    for (int y = 0; y < 25; y += 5)
      for (int x = 0; x < 5; ++x) a[y + x] = b[y + x] ^ (~b[y + (x + 1) % 5] & b[y + (x + 2) % 5]);
    a[0] ^= constant;
  }
  std::memcpy(states.words, a, sizeof a);
}

[[gnu::target("avx2")]] void permute_avx2(States& states) { permute(states); }
[[gnu::target("avx512f,avx512vl")]] void permute_avx512(States& states) { permute(states); }

using Permute = void (*)(States&);

/// Null where four at once would be slower than one after the other.
Permute permute_of_this_processor() {
  if (__builtin_cpu_supports("avx512vl")) return &permute_avx512;
  return __builtin_cpu_supports("avx2") ? &permute_avx2 : nullptr;
}

std::size_t blocks_of(std::string_view text) { return text.size() / block_bytes + 1; }

void absorb(States& states, std::size_t lane, const char* block) {
  for (std::size_t i = 0; i < block_words; ++i) {
    std::uint64_t word;
    std::memcpy(&word, block + 8 * i, sizeof word);
    states.words[i][lane] ^= word;
  }
}

/// Block `index` of a text, the last one with its padding.
void absorb(States& states, std::size_t lane, std::string_view text, std::size_t index) {
  text.remove_prefix(index * block_bytes);
  if (text.size() >= block_bytes) return absorb(states, lane, text.data());
  std::array<char, block_bytes> last{};
  std::copy(text.begin(), text.end(), last.begin());
  last[text.size()] = 1;
  last.back() = static_cast<char>(last.back() | '\x80');
  absorb(states, lane, last.data());
}

/// `which`: at most as many as there are lanes. A text that is shorter than another one is done earlier.
void hash_lanes(Permute permute, std::span<const std::string_view> texts, std::span<const std::size_t> which,
                std::vector<Hash256>& hashes) {
  States states;
  std::size_t blocks = 0;
  for (const std::size_t text : which) blocks = std::max(blocks, blocks_of(texts[text]));
  for (std::size_t block = 0; block < blocks; ++block) {
    for (std::size_t lane = 0; lane < which.size(); ++lane)
      if (block < blocks_of(texts[which[lane]])) absorb(states, lane, texts[which[lane]], block);
    permute(states);
    for (std::size_t lane = 0; lane < which.size(); ++lane)
      if (block + 1 == blocks_of(texts[which[lane]]))
        for (std::size_t i = 0; i < Hash256::size / 8; ++i)
          std::memcpy(hashes[which[lane]].bytes.data() + 8 * i, &states.words[i][lane], 8);
  }
}

void hash_each(std::span<const std::string_view> texts, std::vector<Hash256>& hashes) {
  static const Permute permute = permute_of_this_processor();
  std::vector<std::size_t> order(texts.size()); // texts of as many blocks stand together
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (permute) std::ranges::sort(order, {}, [&](std::size_t text) { return blocks_of(texts[text]); });
  std::span<const std::size_t> left = order;
  while (permute && left.size() > 1) {
    const auto next = left.first(std::min(lanes_count, left.size()));
    hash_lanes(permute, texts, next, hashes);
    left = left.subspan(next.size());
  }
  for (const std::size_t text : left) hashes[text] = keccak256(bytes_of(texts[text]));
}

#else

void hash_each(std::span<const std::string_view> texts, std::vector<Hash256>& hashes) {
  for (std::size_t i = 0; i < texts.size(); ++i) hashes[i] = keccak256(bytes_of(texts[i]));
}

#endif

} // namespace

std::vector<Hash256> keccak256_of_each(std::span<const std::string_view> texts) {
  std::vector<Hash256> hashes(texts.size());
  hash_each(texts, hashes);
  return hashes;
}

} // namespace trunkline::quarkchain

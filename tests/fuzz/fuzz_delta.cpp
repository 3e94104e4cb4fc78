// A delta of two files that the input describes: what the finder says puts the second together from the first, in
// whatever pieces it comes, aside and in place; and sums that nobody made, and pieces that nobody found, do no harm.

#include "services/sync/delta_finder.hpp"
#include "services/sync/piece_check.hpp"
#include "tests/fuzz/input.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace {

using namespace trunkline;
using namespace trunkline::sync;

using Bytes = std::vector<std::byte>;

void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

/// A file of runs: some bytes again and again, or a run of the other file.
Bytes runs(test::FuzzInput& input, const Bytes& other, std::size_t bytes_max) {
  Bytes bytes;
  for (std::size_t count = input.below(12); count > 0 && bytes.size() < bytes_max; --count) {
    if (input.byte() % 2 == 0 && !other.empty()) {
      const std::size_t at = input.below(other.size());
      const std::size_t size = std::min(other.size() - at, input.below(3000));
      bytes.insert(bytes.end(), other.begin() + static_cast<std::ptrdiff_t>(at),
                   other.begin() + static_cast<std::ptrdiff_t>(at + size));
    } else {
      std::uint32_t state = input.byte();
      const std::uint32_t step = input.byte() % 4;
      for (std::size_t size = input.below(3000); size > 0; --size) {
        state = state * (step == 0 ? 1 : 1664525) + step;
        bytes.push_back(static_cast<std::byte>(state >> 24));
      }
    }
  }
  return bytes;
}

void play(test::FuzzInput& input) {
  const bool in_place = input.byte() % 2 == 0;
  const bool lies = input.byte() % 8 == 0;
  const std::size_t kind = input.byte();
  const SumSizes sizes{std::size_t{512} << kind % 3, 8 - kind / 3 % 3}; // shorter sums may be found to be equal
  const std::size_t part = 1 + input.below(5000);
  const Bytes basis = runs(input, {}, 20'000);
  const Bytes file = runs(input, basis, 20'000);

  BlockSummer summer(sizes, 7);
  summer.add(basis);
  BlockSums sums = summer.take();
  if (lies)
    for (BlockSum& sum : sums.sums) sum.strong += input.byte() % 2;
  const std::uint64_t basis_bytes = sums.bytes();
  expect(basis_bytes <= basis.size(), "more blocks than the file has");
  DeltaFinder finder(std::make_shared<BlockSums>(std::move(sums)), in_place);
  PieceCheck check(file.size(), basis_bytes, in_place);
  Bytes below = basis;
  Bytes made;
  const auto take = [&] {
    while (const std::optional<DeltaPiece> piece = finder.next()) {
      finder.check();
      expect(piece->size > 0 && piece->to == made.size(), "a piece that does not begin where the last one ended");
      Bytes bytes(piece->bytes.begin(), piece->bytes.end());
      if (piece->is_copy) {
        expect(check.wrong_with_copy(piece->to, piece->from, piece->size).empty(), "a copy that is refused");
        const auto begin = below.begin() + static_cast<std::ptrdiff_t>(piece->from);
        bytes.assign(begin, begin + static_cast<std::ptrdiff_t>(piece->size));
      } else {
        expect(check.wrong_with_data(piece->to, piece->size).empty(), "data that is refused");
      }
      if (below.size() < made.size() + bytes.size()) below.resize(made.size() + bytes.size());
      if (in_place) std::copy(bytes.begin(), bytes.end(), below.begin() + static_cast<std::ptrdiff_t>(made.size()));
      made.insert(made.end(), bytes.begin(), bytes.end());
    }
  };
  for (std::size_t at = 0; at < file.size();) {
    const std::span<std::byte> space = finder.space();
    expect(!space.empty(), "no space for the next bytes");
    const std::size_t count = std::min({space.size(), part, file.size() - at});
    std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(at), count, space.begin());
    finder.filled(count);
    at += count;
    take();
  }
  finder.end();
  take();
  expect(made.size() == file.size(), "not as long as the file");
  if (!lies) expect(made == file, "not the file");

  // Numbers that nobody found: what passes the check fits.
  PieceCheck hostile(input.below(3000), input.below(3000), in_place);
  while (input.more()) {
    const auto number = [&] {
      const std::uint64_t value = input.below(4000);
      return input.byte() % 8 == 0 ? ~value : value;
    };
    const std::uint64_t before = hostile.end();
    const std::uint64_t to = number();
    const std::uint64_t from = number();
    const std::uint64_t size = number();
    const bool copies = input.byte() % 2 == 0;
    const bool passes = (copies ? hostile.wrong_with_copy(to, from, size) : hostile.wrong_with_data(to, size)).empty();
    expect(hostile.end() == (passes ? to + size : before) && hostile.end() <= hostile.file_bytes() &&
               hostile.end() >= before,
           "a piece that does not fit");
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::FuzzInput input(std::span<const std::uint8_t>(data, size));
  play(input);
  return 0;
}

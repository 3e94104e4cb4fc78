// The finder of deltas beside the file that it was given: whatever the basis, the block size and the pieces in which
// the file comes, what it says puts the file together again.
#include "services/sync/block_sums.hpp"
#include "services/sync/compression.hpp"
#include "services/sync/delta_finder.hpp"
#include "services/sync/piece_check.hpp"
#include "tests/support/planted_bug.hpp"
#include "tests/support/seed.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::sync;

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t seed = 0x1234;

Bytes random_bytes(std::mt19937_64& random, std::size_t size) {
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

std::shared_ptr<const BlockSums> sums_of(const Bytes& basis, std::size_t block_bytes, std::size_t strong_bytes = 8) {
  BlockSummer summer({block_bytes, strong_bytes}, seed);
  summer.add(basis);
  return std::make_shared<BlockSums>(summer.take());
}

struct Found {
  Bytes made;
  std::uint64_t literal = 0;
  std::uint64_t matched = 0;
  std::size_t pieces = 0;
};

/// What a far side makes of the pieces that a finder finds in a file which comes in parts of at most `part` bytes.
Found find(const Bytes& basis, std::shared_ptr<const BlockSums> sums, const Bytes& file, std::size_t part,
           bool in_place = false) {
  Found found;
  DeltaFinder finder(std::move(sums), in_place);
  PieceCheck check(file.size(), basis.size(), in_place);
  Bytes below = basis; // in place the file comes over it
  const auto take = [&] {
    while (const std::optional<DeltaPiece> piece = finder.next()) {
      ++found.pieces;
      REQUIRE(piece->to == found.made.size());
      Bytes bytes(piece->bytes.begin(), piece->bytes.end());
      if (piece->is_copy) {
        REQUIRE(check.wrong_with_copy(piece->to, piece->from, piece->size).empty());
        const auto begin = below.begin() + static_cast<std::ptrdiff_t>(piece->from);
        bytes.assign(begin, begin + static_cast<std::ptrdiff_t>(piece->size));
        found.matched += piece->size;
      } else {
        REQUIRE(check.wrong_with_data(piece->to, piece->size).empty());
        found.literal += piece->size;
      }
      REQUIRE(bytes.size() == piece->size);
      if (in_place) {
        if (below.size() < found.made.size() + bytes.size()) below.resize(found.made.size() + bytes.size());
        std::copy(bytes.begin(), bytes.end(), below.begin() + static_cast<std::ptrdiff_t>(found.made.size()));
      }
      found.made.insert(found.made.end(), bytes.begin(), bytes.end());
    }
  };
  for (std::size_t at = 0; at < file.size();) {
    const std::span<std::byte> space = finder.space();
    REQUIRE(!space.empty());
    const std::size_t count = std::min({space.size(), part, file.size() - at});
    std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(at), count, space.begin());
    finder.filled(count);
    at += count;
    take();
  }
  finder.end();
  take();
  return found;
}

/// The basis with some of it changed, moved, left out and put in.
Bytes changed(const Bytes& basis, std::mt19937_64& random) {
  Bytes file = basis;
  for (int edit = 0; edit < 8; ++edit) {
    const std::size_t at = file.empty() ? 0 : random() % file.size();
    const std::size_t size = std::min<std::size_t>(file.size() - at, random() % 3000);
    const auto begin = file.begin() + static_cast<std::ptrdiff_t>(at);
    const auto end = begin + static_cast<std::ptrdiff_t>(size);
    switch (random() % 4) {
      case 0: file.erase(begin, end); break;
      case 1: {
        const Bytes added = random_bytes(random, size);
        file.insert(begin, added.begin(), added.end());
        break;
      }
      case 2: {
        const Bytes moved(begin, end);
        file.insert(file.begin() + static_cast<std::ptrdiff_t>(random() % (file.size() + 1)), moved.begin(),
                    moved.end());
        break;
      }
      default: std::fill(begin, end, std::byte{0}); break;
    }
  }
  return file;
}

} // namespace

TEST_CASE("block sums: a sum that rolls is the sum of the window that it is at") {
  std::mt19937_64 random(test::test_seed());
  const Bytes bytes = random_bytes(random, 5000);
  for (const std::size_t size : {1, 31, 32, 33, 512, 1000}) {
    RollingSum rolling;
    rolling.start(std::span(bytes).first(size));

    for (std::size_t at = 0; at + size < bytes.size(); ++at) {
      rolling.roll(bytes[at], bytes[at + size]);
      RollingSum fresh;
      fresh.start(std::span(bytes).subspan(at + 1, size));
      REQUIRE(rolling.value() == fresh.value());
    }
  }
}

TEST_CASE("block sums: wide vectors come to the same sum as none") {
  std::mt19937_64 random(test::test_seed());
  Bytes bytes = random_bytes(random, 70'000);
  std::fill(bytes.begin() + 1000, bytes.begin() + 40'000, std::byte{255});
  for (const std::size_t size : {0, 1, 31, 32, 33, 64, 511, 512, 8192, 69'000}) {
    const auto window = std::span<const std::byte>(bytes).subspan(random() % 1000, size);
    RollingSum fast;
    RollingSum plain;

    fast.start(window);
    plain.start_plainly(window);

    CHECK(fast.value() == plain.value());
    fast.roll(bytes[0], bytes[1]);
    plain.roll(bytes[0], bytes[1]);
    CHECK(fast.value() == plain.value());
  }
}

TEST_CASE("block sums: they are the same in whatever pieces the file comes, and as they travel") {
  std::mt19937_64 random(test::test_seed());
  const Bytes bytes = random_bytes(random, 10'000);
  BlockSummer summer({512, 3}, seed);

  for (std::span<const std::byte> rest = bytes; !rest.empty();) {
    const std::size_t count = std::min<std::size_t>(rest.size(), random() % 1500);
    summer.add(rest.first(count));
    rest = rest.subspan(count);
  }

  const BlockSums sums = summer.take();
  CHECK(sums.sums.size() == 19);
  CHECK(sums.sums == sums_of(bytes, 512, 3)->sums);
  Bytes wire(19 * 7);
  sums.encode(0, 19, wire);
  BlockSums there;
  there.sizes = {512, 3};
  CHECK(there.append(wire, 19));
  CHECK(there.sums == sums.sums);
  CHECK(!there.append(wire, 19));
  CHECK(!there.append(std::span(wire).first(8), 100));
}

TEST_CASE("block sums: the blocks of a file of any size are few enough, and their sums say enough") {
  for (int bits = 0; bits < 63; ++bits) {
    const std::uint64_t size = std::uint64_t{1} << bits;
    const SumSizes sizes = SumSizes::for_basis(size, size / 3);
    const std::uint64_t blocks = size / sizes.block_bytes;
    CHECK(sizes.valid());
    CHECK((blocks <= BlockSums::blocks_max || sizes.block_bytes == BlockSums::block_bytes_max));
    if (bits > 9)
      CHECK((32 + 8 * sizes.strong_bytes >= static_cast<std::size_t>(bits + std::bit_width(blocks) - 1 + 14) ||
             sizes.strong_bytes == BlockSums::strong_bytes_max));
    CHECK(SumSizes::for_basis(size, size * 2 - 1).strong_bytes >= sizes.strong_bytes);
  }
  CHECK(SumSizes::for_basis(64 << 20, 64 << 20).block_bytes == 8192);
  CHECK(!SumSizes{}.valid());
  CHECK(!SumSizes{1000, 8}.valid());
  CHECK(!SumSizes{std::size_t{1} << 40, 8}.valid());
  CHECK(!SumSizes{1024, 1}.valid());
  CHECK(!SumSizes{1024, 9}.valid());
}

TEST_CASE("block sums: the sums of a file and the blocks that changes touch weigh no more than rsync's") {
  constexpr std::uint64_t file_bytes = 64 << 20;
  constexpr std::uint64_t changes = 10; // of 64 KiB, anywhere
  const SumSizes sizes = SumSizes::for_basis(file_bytes, file_bytes);

  const std::uint64_t sums = file_bytes / sizes.block_bytes * (BlockSums::weak_bytes + sizes.strong_bytes);

  CHECK(sums + changes * (65'536 + sizes.block_bytes) < 819'186); // which is what rsync 3.5.0 puts on the wire
}

TEST_CASE("delta: a block at its own place is not taken for the same because of half a sum") {
  std::mt19937_64 random(test::test_seed());
  const Bytes basis = random_bytes(random, 20'000);
  const Bytes file = random_bytes(random, 20'000);
  auto sums = std::make_shared<BlockSums>(*sums_of(basis, 512, 2));
  const auto strong_of_file = sums_of(file, 512, 2);
  for (std::size_t i = 0; i < sums->sums.size(); ++i) sums->sums[i].strong = strong_of_file->sums[i].strong;

  const Found found = find(basis, sums, file, 1 << 16);

  CHECK((found.made == file));
  CHECK(found.matched == 0);
}

TEST_CASE("delta: what is found puts the file together again") {
  for (int round = 0; round < 60; ++round) {
    std::mt19937_64 random(test::test_seed() + round);
    const Bytes basis = random_bytes(random, random() % 200'000);
    const Bytes file = random() % 8 == 0 ? random_bytes(random, random() % 50'000) : changed(basis, random);
    const std::size_t block_bytes = std::size_t{512} << random() % 4;
    const std::size_t part = 1 + random() % 70'000;
    const bool in_place = random() % 2 == 0;
    CAPTURE(test::test_seed());
    CAPTURE(round);

    const Found found = find(basis, sums_of(basis, block_bytes, 5 + random() % 4), file, part, in_place);

    CHECK((found.made == file));
    CHECK(found.literal + found.matched == file.size());
  }
}

TEST_CASE("delta: a changed byte costs no more than its block, an added one no more than two") {
  std::mt19937_64 random(test::test_seed());
  const Bytes basis = random_bytes(random, 1 << 20);
  Bytes file = basis;
  file[500'000] ^= std::byte{1};
  const auto sums = sums_of(basis, 1024);

  CHECK(find(basis, sums, file, 1 << 16).literal <= 1024);
  file.insert(file.begin() + 3, std::byte{7});
  CHECK(find(basis, sums, file, 1 << 16).literal <= 3 * 1024 + 1);
}

TEST_CASE("delta: a file that has not changed is a few long copies") {
  std::mt19937_64 random(test::test_seed());
  const Bytes basis = random_bytes(random, 20 << 20);

  const Found found = find(basis, sums_of(basis, 4096), basis, 1 << 18);

  CHECK((found.made == basis));
  CHECK(found.literal == 0);
  CHECK(found.pieces <= 4);
}

TEST_CASE("delta: a file of equal blocks costs no more than another one") {
  const Bytes basis(4 << 20, std::byte{0});
  const Bytes file(5 << 20, std::byte{0});

  const Found found = find(basis, sums_of(basis, 512), file, 1 << 18);

  CHECK((found.made == file));
  CHECK(found.literal <= 512);
}

TEST_CASE("delta: sums whose weak halves lie about everything end the search, not the machine") {
  std::mt19937_64 random(test::test_seed());
  const Bytes file = random_bytes(random, 1 << 20);
  BlockSums lies;
  lies.sizes.block_bytes = 1 << 16;
  lies.seed = seed;
  for (std::size_t at = 0; at + lies.sizes.block_bytes < 200'000; ++at) { // a sum for every window of the file's beginning
    RollingSum sum;
    sum.start(std::span(file).subspan(at, 64)); // of some bytes: no cheap way to the whole window
    lies.sums.push_back({sum.value(), random()});
  }
  RollingSum rolling;
  rolling.start(std::span(file).first(lies.sizes.block_bytes));
  for (std::size_t at = 0; at < lies.sums.size(); ++at) {
    lies.sums[at].weak = rolling.value();
    rolling.roll(file[at], file[at + lies.sizes.block_bytes]);
  }

  const Found found = find({}, std::make_shared<BlockSums>(lies), file, 1 << 18);

  CHECK((found.made == file));
}

#ifdef TRUNKLINE_PLANTED_BUGS
TEST_CASE("delta: check() notices a copy that is one byte off") {
  std::mt19937_64 random(test::test_seed());
  const Bytes basis = random_bytes(random, 50'000);
  const auto sums = sums_of(basis, 512);

  const std::string said = test::noticed("delta finder", [&] {
    DeltaFinder finder(sums, false);
    std::copy_n(basis.begin(), 10'000, finder.space().begin());
    finder.filled(10'000);
    while (finder.next()) {}
  });

  CHECK(said == "delta: a copy is made of whole blocks that there are");
}

TEST_CASE("delta: a copy of a block that has been overwritten is noticed by whoever puts the file together") {
  std::mt19937_64 random(test::test_seed());
  const Bytes basis = random_bytes(random, 50'000);
  Bytes file = basis;
  file.insert(file.begin(), std::byte{7});
  const test::PlantedBug bug("delta in place");

  DeltaFinder finder(sums_of(basis, 512), true);
  PieceCheck check(file.size(), basis.size(), true);
  std::copy(file.begin(), file.end(), finder.space().begin());
  finder.filled(file.size());
  finder.end();
  std::size_t refused = 0;
  while (const std::optional<DeltaPiece> piece = finder.next()) {
    const std::string wrong = piece->is_copy ? check.wrong_with_copy(piece->to, piece->from, piece->size)
                                             : check.wrong_with_data(piece->to, piece->size);
    refused += !wrong.empty();
  }

  CHECK(refused > 0);
}
#endif

TEST_CASE("pieces: nothing reaches beyond the file or its basis, whatever the numbers are") {
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  PieceCheck check(1000, 500, false);

  CHECK(check.wrong_with_data(0, 100).empty());
  CHECK(check.wrong_with_data(50, 10) == "of 1000 bytes gets 10 bytes at 50 after 100");
  CHECK(!check.wrong_with_data(most, 2).empty());
  CHECK(!check.wrong_with_data(100, most).empty());
  CHECK(!check.wrong_with_data(101, 900).empty());
  CHECK(check.wrong_with_copy(100, 490, 11) == "copies 11 bytes from 490 of a basis of 500");
  CHECK(!check.wrong_with_copy(100, most, 2).empty());
  CHECK(!check.wrong_with_copy(100, 1, most).empty());
  CHECK(!check.wrong_with_copy(most, 0, 1).empty());
  CHECK(check.wrong_with_copy(100, 490, 10).empty());
  CHECK(check.end() == 110);
}

TEST_CASE("pieces: in place nothing is copied from where the file has been written already") {
  PieceCheck check(1000, 1000, true);

  CHECK(check.wrong_with_copy(0, 100, 100).empty());
  CHECK(!check.wrong_with_copy(100, 99, 100).empty());
  CHECK(check.wrong_with_copy(100, 100, 900).empty());
}

TEST_CASE("compression: what was made smaller comes back, and what does not shrink is left alone for good") {
  std::mt19937_64 random(test::test_seed());
  Bytes text(200'000);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::byte>("some words "[i % 11]);
  const Bytes noise = random_bytes(random, 10'000);
  Compressor compressor;

  const std::optional<Payload> packed = compressor.compress(text);

  REQUIRE(packed);
  CHECK(packed->size() < text.size() / 10);
  const std::optional<Payload> back = decompress(packed->bytes(), text.size());
  REQUIRE(back);
  CHECK(std::equal(text.begin(), text.end(), back->bytes().begin(), back->bytes().end()));
  CHECK(!decompress(packed->bytes(), text.size() - 1));
  CHECK(!decompress(noise, 1 << 20));
  for (int i = 0; i < Compressor::losses_max; ++i) CHECK(!compressor.compress(noise));
  CHECK(!compressor.compress(text));
}

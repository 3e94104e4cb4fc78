// What hostile bytes cost. The allocator of this program counts: the largest single allocation, and what is held at
// once.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

thread_local bool counting = false;
thread_local std::size_t largest = 0;
thread_local std::size_t held = 0;
thread_local std::size_t held_max = 0;

void* allocate(std::size_t size) {
  void* memory = std::malloc(size ? size : 1);
  if (!memory) throw std::bad_alloc();
  if (counting) {
    largest = std::max(largest, size);
    held += ::malloc_usable_size(memory);
    held_max = std::max(held_max, held);
  }
  return memory;
}

void release(void* memory) {
  if (counting && memory) held -= std::min(held, ::malloc_usable_size(memory));
  std::free(memory);
}

} // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }

#include "services/quarkchain/chain/big_endian.hpp"
#include "services/quarkchain/protocol/types.hpp"
#include "tests/services/quarkchain/vectors.hpp"

#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::test;

namespace {

struct Cost {
  std::size_t largest;
  std::size_t held_max;
  bool good;
};

Cost cost_of(const TypeInfo& type, std::span<const std::byte> bytes) {
  DecodeError error;
  largest = held = held_max = 0;
  counting = true;
  const bool good = type.check(bytes, error);
  counting = false;
  return {largest, held_max, good};
}

// An element in memory is up to about 1 kB before any of its own bytes are read, of which a list holds one more than it
// has read; texts of errors and the paths in them are short.
constexpr std::size_t slack_bytes = 4096;

} // namespace

TEST_CASE("memory: a hostile count anywhere allocates no more than twice the bytes that came") {
  std::size_t refused = 0;
  for (const Sample& sample : samples()) {
    const TypeInfo& type = *find_type(sample.type);
    std::vector<std::byte> bytes = sample.bytes;
    for (std::size_t place = 0; place + 4 <= bytes.size(); ++place) {
      put_big(bytes.data() + place, std::uint32_t{0xFFFFFFF0});
      const Cost cost = cost_of(type, bytes);
      std::copy_n(sample.bytes.begin() + static_cast<std::ptrdiff_t>(place), 4,
                  bytes.begin() + static_cast<std::ptrdiff_t>(place));
      refused += !cost.good;
      if (cost.largest > 2 * bytes.size() + slack_bytes)
        FAIL_CHECK(sample.type << ", count at byte " << place << " of " << bytes.size() << ": " << cost.largest
                               << " at once");
      if (cost.held_max > 8 * bytes.size() + 2 * slack_bytes)
        FAIL_CHECK(sample.type << ", count at byte " << place << " of " << bytes.size() << ": " << cost.held_max
                               << " held");
    }
  }
  CHECK(refused > 10'000); // the counts were really hit
}

TEST_CASE("memory: the largest count that could be true costs what its bytes hold and not what it claims") {
  // A million bytes that claim as many of the smallest elements as fit; zeros are valid elements, ones are not.
  for (const char* name :
       {"ConnectToSlavesRequest", "NewTransactionListCommand", "GetLogRequest", "RootBlock", "HashList"}) {
    CAPTURE(name);
    const TypeInfo& type = *find_type(name);
    for (const std::byte fill : {std::byte{0}, std::byte{0xff}}) {
      std::vector<std::byte> bytes(1'000'000, fill);
      const Cost cost = cost_of(type, bytes);
      CHECK(cost.held_max < 32 * bytes.size());
      if (fill != std::byte{0}) CHECK(cost.largest < 2 * bytes.size() + slack_bytes);
    }
  }
}

TEST_CASE("memory: a map of a million zeros keeps none of them") {
  std::vector<std::byte> bytes(2'000'004);
  put_big(bytes.data(), std::uint32_t{1'000'000});

  const Cost cost = cost_of(*find_type("TokenBalanceMap"), bytes);

  CHECK(cost.good);
  CHECK(cost.held_max < slack_bytes);
}

TEST_CASE("memory: the counter counts") {
  largest = 0;
  counting = true;
  std::vector<char>(123'456).swap(*std::make_unique<std::vector<char>>());
  counting = false;
  CHECK(largest == 123'456);
}

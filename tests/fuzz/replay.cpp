// Runs a fuzz target without libFuzzer: every file given, then seeded mutations of them.
//   replay_NAME ROUNDS SEED [FILE...]
// TRUNKLINE_PLANTED_BUG names a bug that is in the library meanwhile; where none was built in the exit code is 77.

#include "circuit/invariant.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes mutated(const Bytes& from, std::mt19937_64& random) {
  Bytes bytes = from;
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (std::size_t changes = 1 + below(8); changes > 0; --changes) {
    switch (below(4)) {
      case 0:
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size() + 1)),
                     static_cast<std::uint8_t>(random()));
        break;
      case 1:
        if (!bytes.empty()) bytes[below(bytes.size())] = static_cast<std::uint8_t>(random());
        break;
      case 2:
        if (!bytes.empty()) bytes[below(bytes.size())] ^= static_cast<std::uint8_t>(1u << below(8));
        break;
      default:
        if (!bytes.empty()) bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size())));
    }
  }
  return bytes;
}

} // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::fprintf(stderr, "usage: %s ROUNDS SEED [FILE...]\n", argv[0]), 1;
  if (const char* const bug = std::getenv("TRUNKLINE_PLANTED_BUG")) {
#ifdef TRUNKLINE_PLANTED_BUGS
    trunkline::planted_bug = bug;
#else
    return std::fprintf(stderr, "there is no %s here\n", bug), 77;
#endif
  }
  const unsigned long rounds = std::strtoul(argv[1], nullptr, 10);
  std::mt19937_64 random(std::strtoull(argv[2], nullptr, 10));
  std::vector<Bytes> corpus(1);
  for (int i = 3; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  for (const Bytes& bytes : corpus) LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  for (unsigned long round = 0; round < rounds; ++round) {
    Bytes& from = corpus[random() % corpus.size()];
    Bytes bytes = mutated(from, random);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    if (bytes.size() < 4096 && random() % 4 == 0) from = std::move(bytes); // drifts away from the corpus
  }
  return 0;
}

// The golden vectors that pyquarkchain made: what tests/services/quarkchain/vectors/README.md describes.
#pragma once

#include "services/quarkchain/chain/json.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::test {

/// A file of tests/services/quarkchain/vectors/, parsed; it stays in memory. Fails the test when there is none.
const quarkchain::Json& vectors(const char* name);

/// What is there; throws when it is missing or of another kind.
const quarkchain::Json& at(const quarkchain::Json& object, std::string_view name);
const std::string& text_at(const quarkchain::Json& object, std::string_view name);
std::uint64_t number_at(const quarkchain::Json& object, std::string_view name);
/// The bytes of a text in hexadecimal. An own allocation of exactly their size: a sanitizer sees a read beyond it.
std::vector<std::byte> bytes_at(const quarkchain::Json& object, std::string_view name);
std::vector<std::byte> bytes_of_hex(std::string_view hex);

/// Equal in everything, the order of members included.
bool same(const quarkchain::Json& a, const quarkchain::Json& b);

/// {type, bytes} of every message and structure of the vectors.
struct Sample {
  std::string type;
  std::vector<std::byte> bytes;
};
const std::vector<Sample>& samples();

} // namespace trunkline::test

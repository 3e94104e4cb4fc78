// The forms in which Ethereum's JSON interfaces write numbers and bytes.
#pragma once

#include "services/quarkchain/chain/bytes.hpp"
#include "services/quarkchain/chain/json.hpp"
#include "services/quarkchain/chain/number.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::quarkchain::engine_json {

/// "0x1f", without leading zeros, with its quotes.
std::string quantity(const BigUint& number);
/// Two digits for each byte, with its quotes.
std::string digits(std::string_view bytes);
template <std::size_t Size> std::string digits(const FixedBytes<Size>& bytes) { return digits(text_of(bytes.bytes)); }
template <std::size_t Size> std::string digits(const FixedUint<Size>& number) { return digits(text_of(number.bytes())); }

// Members of what came back. `what` says of what, for the error. Errors: ExecutorDown, with what was expected and seen.
const Json& member(const Json& of, const char* name, const char* what);
BigUint number(const Json& value, const char* what);
std::uint64_t small_number(const Json& value, const char* what);
std::string bytes(const Json& value, const char* what);
Hash256 hash(const Json& value, const char* what);
const std::vector<Json>& list(const Json& value, const char* what);
/// A text that is printed and compared with what the contract knows.
const std::string& word(const Json& value, const char* what);

} // namespace trunkline::quarkchain::engine_json

// Text as bytes.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace trunkline::test {

/// Refers to the text.
inline std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

} // namespace trunkline::test

// Checks and cuts text that may not be valid UTF-8.
#pragma once

#include <cstddef>
#include <string_view>

namespace trunkline {

/// Returns the size in bytes of the UTF-8 character at the beginning of a text; 0 when the text is empty or begins with
/// no valid character (cut short, overlong, a surrogate, or above U+10FFFF).
std::size_t utf8_bytes(std::string_view text) noexcept;

bool is_utf8(std::string_view text) noexcept;

/// Returns at most `bytes_max` bytes from the beginning of the text, cut between two characters; a view of it.
std::string_view utf8_prefix(std::string_view text, std::size_t bytes_max) noexcept;

} // namespace trunkline

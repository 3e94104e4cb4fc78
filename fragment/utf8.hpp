// Texts that may or may not be UTF-8.
#pragma once

#include <cstddef>
#include <string_view>

namespace trunkline {

/// The bytes of the UTF-8 character at the beginning of a text; 0 when there is none, because the text is empty, or
/// because its first bytes are cut short, overlong, a surrogate, or above U+10FFFF.
std::size_t utf8_bytes(std::string_view text) noexcept;

bool is_utf8(std::string_view text) noexcept;

/// At most `bytes_max` bytes from the beginning, cut between two characters.
std::string_view utf8_prefix(std::string_view text, std::size_t bytes_max) noexcept;

} // namespace trunkline

// Text from far sides and from exceptions, made fit for a log line or an error text.
#pragma once

#include <cstddef>
#include <exception>
#include <string>
#include <string_view>

namespace trunkline {

/// Leaves printable ASCII as it is and shows every other byte as \xNN. Cuts the text after `bytes_max` bytes. A quote
/// and a backslash stay as they are: the result is for people, and cannot be read back.
std::string escape(std::string_view text, std::size_t bytes_max = 1024);

/// The same for what a far side said and may be shown anywhere, in a page too: also shows '"', '\', '<', '>' and '&' as
/// \xNN, and ends in "..." when it was cut.
std::string escape_markup(std::string_view text, std::size_t bytes_max);

/// The escaped text in double quotes, followed by its size when it was cut.
std::string quote(std::string_view text, std::size_t bytes_max = 128);

/// The text of an exception without the error code that Boost appends to it; the words of the code when there is no
/// other text.
std::string text_of(const std::exception& failure);
/// The same for an exception of any type.
std::string words_of(const std::exception_ptr& failure);
/// The full text including the error code, for debugging.
std::string what_of(const std::exception_ptr& failure);

} // namespace trunkline

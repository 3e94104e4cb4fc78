// Escapes text from far sides and from exceptions for log lines and error texts.
#pragma once

#include <cstddef>
#include <exception>
#include <string>
#include <string_view>

namespace trunkline {

/// Keeps printable ASCII and writes every other byte as \xNN. Cuts the text after `bytes_max` bytes. Quotes and
/// backslashes are kept: the result is for people and cannot be parsed back.
std::string escape(std::string_view text, std::size_t bytes_max = 1024);

/// The same for a text that may be shown in a web page: also writes '"', '\', '<', '>' and '&' as \xNN, and appends
/// "..." when it was cut.
std::string escape_markup(std::string_view text, std::size_t bytes_max);

/// The escaped text in double quotes, followed by its size when it was cut.
std::string quote(std::string_view text, std::size_t bytes_max = 128);

/// The text of an exception without the error code that Boost appends to it; the code's own message when there is no
/// other text.
std::string text_of(const std::exception& failure);
/// The same for an exception of any type.
std::string words_of(const std::exception_ptr& failure);
/// The full text including the error code, for debugging.
std::string what_of(const std::exception_ptr& failure);

} // namespace trunkline

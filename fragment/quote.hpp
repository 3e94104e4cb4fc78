// Text from elsewhere, made fit for a log line or an error text.
#pragma once

#include <cstddef>
#include <exception>
#include <string>
#include <string_view>

namespace trunkline {

/// Printable ASCII as it is, every other byte as \xNN; cut after `bytes_max` bytes.
std::string escape(std::string_view text, std::size_t bytes_max = 1024);

/// The escaped text in double quotes, with its size said behind it when it was cut.
std::string quote(std::string_view text, std::size_t bytes_max = 128);

/// What an exception says, without the code and its words that boost puts behind it; the words of the code where there
/// are no better ones.
std::string text_of(const std::exception& failure);
/// The same of whatever was thrown.
std::string words_of(const std::exception_ptr& failure);
/// All of it, the code too: for whoever mends the program.
std::string what_of(const std::exception_ptr& failure);

} // namespace trunkline

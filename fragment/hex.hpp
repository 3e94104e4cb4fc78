// Converts bytes to hexadecimal digits and back.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace trunkline {

/// Appends two digits, in lower case unless `upper`.
void append_hex(std::string& to, unsigned char byte, bool upper = false);

/// Returns two digits per byte, in lower case.
std::string to_hex(std::span<const std::byte> bytes);
std::string to_hex(std::string_view bytes);

/// Returns the value of a digit, of either case; -1 for every other character.
int hex_value(char digit) noexcept;

/// Returns the bytes; nullopt unless the text is an even number of digits, of either case, and nothing else. "0x" is
/// not skipped.
std::optional<std::string> from_hex(std::string_view digits);
/// The same into a given buffer. Returns false unless the digits fill `into` exactly; its content is undefined then.
bool from_hex(std::string_view digits, std::span<std::byte> into) noexcept;

} // namespace trunkline

// Relative paths as they travel: bytes, '/' between components.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace trunkline::sync {

inline constexpr std::size_t name_bytes_max = 255;
inline constexpr std::size_t path_bytes_max = 4095;

/// What is wrong with a path that somebody else gave us, in words ("has a component \"..\""); empty when it can be used
/// below a root. The empty path is the root itself and nothing is wrong with it.
std::string wrong_with_path(std::string_view path);

/// The order of a sorted tree: a directory, then everything in it, then its next sibling. Negative, 0, positive.
/// '/' counts as less than any other byte. Total over all byte strings.
int compare_paths(std::string_view a, std::string_view b) noexcept;

/// True when `path` lies somewhere below `directory`; everything but "" lies below "".
bool is_below(std::string_view path, std::string_view directory) noexcept;
/// All but the last component; empty when there is one only.
std::string_view parent_of(std::string_view path) noexcept;
/// The last component.
std::string_view name_of(std::string_view path) noexcept;
std::string join(std::string_view directory, std::string_view name);

/// For people: control characters, backslashes and what is not UTF-8 become \n, \\ or \xNN, so that a name can neither
/// break a line nor talk to the terminal.
std::string printable(std::string_view text);
/// The same for a sentence in which names are printable already: its backslashes stay single.
std::string printable_sentence(std::string_view text);

} // namespace trunkline::sync

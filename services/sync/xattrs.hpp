// Extended attributes and ACLs of one entry, as they are compared and as they travel.
#pragma once

#include "services/sync/root.hpp"

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace trunkline::sync {

/// Which of them a sync is about. Nobody but root may see or set those outside of "user."; ACLs are apart from them.
struct XattrScope {
  bool acls = false;
  bool others = false;

  bool any() const noexcept { return acls || others; }
  bool holds(std::string_view name) const noexcept;
};

inline constexpr std::size_t xattrs_bytes_max = 64 * 1024; // of one entry

/// Sorted by name: each name, a zero byte, the size of its value in four bytes, little endian, the value. Empty when
/// there are none, or the file system has none; with `too_much` set when they are more than xattrs_bytes_max.
/// An empty name is the directory itself.
std::string read_xattrs(const Directory& directory, const std::string& name, XattrScope scope, bool& too_much);
/// What is wrong with such a text that somebody else gave us; empty: nothing.
std::string wrong_with_xattrs(std::string_view xattrs, XattrScope scope);
/// Makes the attributes of a name those of a text that has nothing wrong: sets what differs and removes what is not in
/// it. False when the file system or the system's rules did not let all of it happen.
bool set_xattrs(Directory& directory, const std::string& name, XattrScope scope, std::string_view xattrs);

} // namespace trunkline::sync

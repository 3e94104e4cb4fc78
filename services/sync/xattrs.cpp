#include "services/sync/xattrs.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace trunkline::sync {
namespace {

constexpr std::string_view acl_prefix = "system.posix_acl_";
constexpr std::size_t name_bytes_max_of_xattr = 255;

struct Xattr {
  std::string_view name;
  std::string_view value;
};

/// The next one, which is taken off the front; nothing when what is there is none.
std::optional<Xattr> next_of(std::string_view& text) {
  const std::size_t end = text.find('\0');
  if (end == std::string_view::npos || end == 0 || end > name_bytes_max_of_xattr || text.size() - end < 5)
    return std::nullopt;
  std::size_t size = 0;
  for (int i = 3; i >= 0; --i)
    size = size << 8 | static_cast<unsigned char>(text[end + 1 + static_cast<std::size_t>(i)]);
  if (text.size() - end - 5 < size) return std::nullopt;
  const Xattr found{text.substr(0, end), text.substr(end + 5, size)};
  text.remove_prefix(end + 5 + size);
  return found;
}

void append(std::string& text, std::string_view name, std::string_view value) {
  text += name;
  text += '\0';
  for (int i = 0; i < 4; ++i) text += static_cast<char>(value.size() >> 8 * i);
  text += value;
}

std::vector<std::string> names_in(const std::string& names, XattrScope scope) {
  std::vector<std::string> found;
  for (std::string_view rest = names; !rest.empty();) {
    const std::string_view name = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (scope.holds(name)) found.emplace_back(name);
  }
  std::sort(found.begin(), found.end());
  return found;
}

} // namespace

bool XattrScope::holds(std::string_view name) const noexcept {
  if (name.starts_with(acl_prefix)) return acls;
  if (!others || name.starts_with("system.") || name == "security.selinux") return false;
  return name.starts_with("user.") || ::geteuid() == 0;
}

std::string read_xattrs(const Directory& directory, const std::string& name, XattrScope scope, bool& too_much) {
  too_much = false;
  std::string text;
  for (const std::string& xattr : names_in(directory.xattr_names(name), scope)) {
    const std::optional<std::string> value = directory.xattr(name, xattr);
    if (!value) continue;
    append(text, xattr, *value);
    if (text.size() <= xattrs_bytes_max) continue;
    too_much = true;
    return {};
  }
  return text;
}

std::string wrong_with_xattrs(std::string_view xattrs, XattrScope scope) {
  if (xattrs.size() > xattrs_bytes_max) return "has " + std::to_string(xattrs.size()) + " bytes of extended attributes";
  std::string_view last;
  while (!xattrs.empty()) {
    const std::optional<Xattr> xattr = next_of(xattrs);
    if (!xattr) return "has extended attributes that cannot be read";
    if (!last.empty() && xattr->name <= last) return "has extended attributes that are not sorted";
    if (!scope.holds(xattr->name)) return "has an extended attribute that nobody asked for";
    last = xattr->name;
  }
  return {};
}

bool set_xattrs(Directory& directory, const std::string& name, XattrScope scope, std::string_view xattrs) {
  std::map<std::string, std::string, std::less<>> wanted;
  while (const std::optional<Xattr> xattr = next_of(xattrs)) wanted.emplace(xattr->name, xattr->value);
  bool all = true;
  for (const std::string& present : names_in(directory.xattr_names(name), scope)) {
    const auto found = wanted.find(present);
    if (found == wanted.end()) {
      all = directory.remove_xattr(name, present) && all;
    } else if (directory.xattr(name, present) == found->second) {
      wanted.erase(found);
    }
  }
  for (const auto& [xattr, value] : wanted) all = directory.set_xattr(name, xattr, value) && all;
  return all;
}

} // namespace trunkline::sync

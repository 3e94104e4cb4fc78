#include "services/sync/owners.hpp"

#include "services/sync/path.hpp"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace trunkline::sync {
namespace {

/// A number is a number, also where no name has it.
std::optional<std::uint32_t> number_of(const std::string& text) {
  if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return static_cast<std::uint32_t>(std::stoul(text));
}

std::uint32_t here(std::unordered_map<std::uint32_t, std::uint32_t>& map, std::uint32_t number,
                   std::optional<std::uint32_t> named) {
  if (named) map.insert_or_assign(number, *named);
  const auto found = map.find(number);
  return found == map.end() ? number : found->second;
}

} // namespace

void OwnerNames::name(wire::Entry& entry) {
  if (owners_ && owners_said_.insert(entry.owner()).second)
    if (const passwd* const found = ::getpwuid(entry.owner())) entry.set_owner_name(found->pw_name);
  if (groups_ && groups_said_.insert(entry.group()).second)
    if (const ::group* const found = ::getgrgid(entry.group())) entry.set_group_name(found->gr_name);
}

OwnerMap::OwnerMap(const Options& options)
    : owners_(options.owner || !options.chown_user.empty()), groups_(options.group || !options.chown_group.empty()),
      by_name_(!options.numeric_ids), is_privileged_(::geteuid() == 0) {
  if (!options.chown_user.empty()) {
    all_owner_ = user_of(options.chown_user);
    if (!all_owner_) all_owner_ = number_of(options.chown_user);
    if (!all_owner_) throw std::invalid_argument("user \"" + printable(options.chown_user) + "\" is not known here");
  }
  if (!options.chown_group.empty()) {
    all_group_ = group_of(options.chown_group);
    if (!all_group_) all_group_ = number_of(options.chown_group);
    if (!all_group_) throw std::invalid_argument("group \"" + printable(options.chown_group) + "\" is not known here");
  }
  own_groups_.insert(::getegid());
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(0, ::getgroups(0, nullptr))));
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  for (int i = 0; i < count; ++i) own_groups_.insert(groups[static_cast<std::size_t>(i)]);
}

std::optional<std::uint32_t> OwnerMap::user_of(const std::string& name) {
  const passwd* const found = ::getpwnam(name.c_str());
  return found ? std::optional<std::uint32_t>(found->pw_uid) : std::nullopt;
}

std::optional<std::uint32_t> OwnerMap::group_of(const std::string& name) {
  const ::group* const found = ::getgrnam(name.c_str());
  return found ? std::optional<std::uint32_t>(found->gr_gid) : std::nullopt;
}

bool OwnerMap::may_have(std::uint32_t group) const { return is_privileged_ || own_groups_.contains(group); }

void OwnerMap::localize(const wire::Entry& from, Entry& entry) {
  const auto named = [this](const std::string& name, auto&& look) -> std::optional<std::uint32_t> {
    if (!by_name_ || name.empty()) return std::nullopt;
    return look(name);
  };
  entry.owner = here(owners_here_, from.owner(), named(from.owner_name(), user_of));
  entry.group = here(groups_here_, from.group(), named(from.group_name(), group_of));
  if (all_owner_) entry.owner = *all_owner_;
  if (all_group_) entry.group = *all_group_;
  entry.keeps_owner = owners_ && is_privileged_;
  entry.keeps_group = groups_ && may_have(entry.group);
}

} // namespace trunkline::sync

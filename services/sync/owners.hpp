// Owners and groups on their way: by name where both machines have the name, else by number.
#pragma once

#include "proto/sync.pb.h"
#include "services/sync/entry.hpp"
#include "services/sync/options.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace trunkline::sync {

/// The Giver's side: says each name once, where its number comes first.
class OwnerNames {
 public:
  explicit OwnerNames(const Options& options)
      : owners_(options.owner && !options.numeric_ids), groups_(options.group && !options.numeric_ids) {}

  void name(wire::Entry& entry);

 private:
  const bool owners_;
  const bool groups_;
  std::unordered_set<std::uint32_t> owners_said_;
  std::unordered_set<std::uint32_t> groups_said_;
};

/// The Taker's side: what an entry's owner and group are to be here, and whether they can be that. Without privilege
/// nothing can belong to somebody else, and only to groups that one is in.
class OwnerMap {
 public:
  /// Errors: std::invalid_argument for a name of --chown that nobody has here.
  explicit OwnerMap(const Options& options);

  /// Puts the numbers of this machine into an entry, and says which of them are to be kept.
  void localize(const wire::Entry& from, Entry& entry);

 private:
  static std::optional<std::uint32_t> user_of(const std::string& name);
  static std::optional<std::uint32_t> group_of(const std::string& name);
  bool may_have(std::uint32_t group) const;

  const bool owners_;
  const bool groups_;
  const bool by_name_;
  const bool is_privileged_;
  std::optional<std::uint32_t> all_owner_; // --chown
  std::optional<std::uint32_t> all_group_;
  std::unordered_set<std::uint32_t> own_groups_;
  std::unordered_map<std::uint32_t, std::uint32_t> owners_here_; // by the Giver's number
  std::unordered_map<std::uint32_t, std::uint32_t> groups_here_;
};

} // namespace trunkline::sync

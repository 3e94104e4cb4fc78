// A file of rules: which nodes may use which services.
#pragma once

#include "peer/permission.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

/// Lines of a policy file, each of one kind; '#' begins a comment:
///
///     group ops laptop 3v1kGkQzm2cXl0xRNe4NTA     the group @ops: names of known nodes, and ids
///     allow @ops laptop to sync status             whom, "to", and the names of services
///     allow * to status
///
/// Whom: a node's id, the name of a known node, @GROUP, "*" for every node that has proven to hold a key, "certified"
/// for those that an authority has certified, "anyone" also for those that prove nothing. A service "*" is every one.
/// What no line allows is denied. A node that has a new key is meant by its old id as long as its succession is valid.
/// A value.
class Policy {
 public:
  /// `path` is for the words of rules and errors. Errors: error::unusable_file, with the number of the line.
  static Policy parse(std::string_view text, const std::string& path);
  /// Errors: as `parse`; also when there is no such file, or others may write it.
  static Policy load(const std::string& path);

  /// For NodeOptions::allow.
  Permission operator()(const RemoteIdentity* who, std::string_view service) const;

 private:
  struct Who {
    enum class Kind : std::uint8_t { id, name, proven, certified, anyone } kind = Kind::id;
    NodeId id;
    std::string name;
  };
  struct Rule {
    std::vector<Who> who;
    std::vector<std::string> services; // "*" for all
  };
  static bool is_meant(const Who& rule, const RemoteIdentity* who);

  std::string path_;
  std::vector<Rule> rules_;
};

} // namespace trunkline

// Where a tree lies on its machine, so that two sides can tell whether one tree lies in the other.
#pragma once

#include "proto/sync.pb.h"
#include "services/sync/root.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace trunkline::sync {

/// A directory as the file systems know it, whatever mounts lead there: for it, and for what is mounted below it, a
/// mark for each directory from the top of the file system down. A mark is a digest of the machine's boot, the file
/// system and the path in it: equal on both sides of a sync only for the same directory, and without meaning to anybody
/// else.
class Place {
 public:
  Place() = default; // nothing is known, and nothing lies in it
  explicit Place(const Directory& directory);
  /// What has to be made yet at a path below the directory: it lies in the directory, and nothing lies in it.
  Place(const Directory& directory, std::string_view not_there);

  /// The same directory, or one somewhere below.
  bool lies_in(const Place& outer) const;
  bool is_same(const Place& other) const;

  void to_wire(wire::Place& into) const;
  static Place from_wire(const wire::Place& from);

 private:
  using Chain = std::vector<std::string>;

  void learn(const Directory& directory, std::string_view not_there);
  static bool begins(const Chain& outer, const Chain& inner);

  std::vector<Chain> chains_; // of the directory first
};

/// Errors: Failure::Kind::denied when the source lies in the destination or the destination in the source: one would be
/// copied into itself, the other overwritten by itself.
void check_apart(const Place& source, const Place& destination);

} // namespace trunkline::sync

// The paths of a --files-from: they alone are listed, and the directories that lead to them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace trunkline::sync {

/// What is in a directory that is named is not named by that.
class Selection {
 public:
  /// Errors: std::invalid_argument that names a path that leads out of the tree, or cannot be one.
  explicit Selection(const std::vector<std::string>& paths);

  /// Whether a path is one of them, or leads to one.
  bool holds(std::string_view path) const;
  /// Whether it leads to one; rules do not count there then, as in rsync.
  bool leads(std::string_view path) const;
  /// Those that are named, in no order.
  std::vector<std::string> named() const;
  /// The path is named no longer, and what leads to nothing else leads nowhere.
  void drop(const std::string& path);
  /// The path was found.
  void found(std::string_view path);
  /// Those that were named and not found.
  std::vector<std::string> missing() const;

 private:
  struct Place {
    bool is_named = false;
    bool is_found = false;
    std::size_t leads = 0; // to so many places right below it
  };

  std::unordered_map<std::string, Place> paths_;
};

} // namespace trunkline::sync

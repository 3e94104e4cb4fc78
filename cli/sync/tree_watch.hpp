// Says when something in a tree changes: inotify on all of its directories.
#pragma once

#include <cstddef>
#include <string>

namespace trunkline::cli {

/// Not thread safe. What it says may be too much, never too little: whoever hears of a change looks at the whole tree.
class TreeWatch {
 public:
  /// Errors: std::system_error when the system has no more watches of this kind.
  explicit TreeWatch(std::string path);
  TreeWatch(const TreeWatch&) = delete;
  TreeWatch& operator=(const TreeWatch&) = delete;
  ~TreeWatch();

  /// Watches every directory that is there now, and goes on with those that it watches; before the tree is looked at,
  /// so that nothing that happens meanwhile is missed. False when the system allows no more: then not all of it is
  /// watched.
  bool add_all();
  /// Takes what has happened since the last time; false when nothing has.
  bool take();
  int fd() const noexcept { return fd_; }
  std::size_t directories_count() const noexcept { return count_; }

 private:
  const std::string path_;
  int fd_ = -1;
  std::size_t count_ = 0;
};

} // namespace trunkline::cli

// Files of a tree by size and time, for the one that a new file may have been before it was renamed.
#pragma once

#include "services/sync/entry.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

namespace trunkline::sync {

/// Holds the largest of the files that it is told of: those are worth most, and there are no more than count_max.
class Lookalikes {
 public:
  static constexpr std::size_t count_max = 32 * 1024;

  void add(const Entry& file);
  /// The path of a file of this size and time, one of the same name first; null: there is none.
  const std::string* find(const Entry& file) const;
  std::size_t size() const noexcept { return files_.size(); }

 private:
  struct File {
    std::uint64_t size = 0;
    FileTime mtime;
    std::string path;
  };

  static std::uint64_t key_of(const Entry& file) noexcept;
  void make_room();

  std::unordered_multimap<std::uint64_t, File> files_;
  std::uint64_t bytes_min_ = 0; // smaller ones are not held
};

} // namespace trunkline::sync

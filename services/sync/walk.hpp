// Lists a tree: one entry per call, sorted, so that whoever asks can let others run in between.
#pragma once

#include "services/sync/entry.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/root.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline::sync {

/// What a walk meets besides entries.
struct WalkListener {
  std::function<void(const std::string& path, const std::string& text)> on_error; // could not be read; the walk goes on
  std::function<void(const std::string& path, const std::string& text)>
      on_skipped; // a device, a fifo, a socket; without
                  // it they are listed as `other`
  std::function<void(const std::string& path)> on_temporary; // it has the name of a temporary file, and is not listed
  std::function<void(const std::string& path)> on_excluded;
  std::function<bool(const std::string& path)> on_shut; // a directory may not be read: true when it may now
};

/// A walk through everything below a root, in the order of `compare_paths`; the root itself comes first. Symlinks are
/// listed, not followed. Keeps no directory open. What disappears meanwhile is left out.
class Walk {
 public:
  Walk(std::shared_ptr<Root> root, const Filter& filter, WalkListener listener);
  /// Only the one file or symlink of this name in the root, without the root itself.
  Walk(std::shared_ptr<Root> root, const Filter& filter, WalkListener listener, std::string only);

  /// The next entry; nothing at the end, and nothing yet every names_between_yields names, listed or not, or when the
  /// filter took as long: then others should run. Blocks for a few system calls for each name that it looks at, and for
  /// the listing of one directory.
  std::optional<Entry> next();
  bool ended() const noexcept { return !at_start_ && !pending_ && levels_.empty(); }
  static constexpr std::size_t names_between_yields = 128;
  /// Everything that there is was listed, as far as the walk has come.
  bool complete() const noexcept { return complete_; }

 private:
  struct Level {
    std::string path;
    std::vector<std::string> names; // sorted descending: the next is the last
  };

  void enter(const std::string& path);
  bool opens(const std::string& path, const FileError& failure) const;
  std::optional<Entry> look(const std::string& directory, const std::string& name);

  std::shared_ptr<Root> root_;
  const Filter& filter_;
  WalkListener listener_;
  std::vector<Level> levels_;
  std::optional<std::string> pending_; // the directory that was listed last, to be entered next
  bool at_start_ = true;
  bool complete_ = true;
  std::size_t names_ = 0; // looked at since `next` returned nothing
  std::size_t steps_ = 0; // of the filter, since then
};

/// The name of a temporary file for `name`, at most name_bytes_max long: .NAME.trunkline-XXXXXXXX, the last eight out
/// of a-z2-7.
inline constexpr std::size_t temporary_letters = 8;
std::string temporary_name(std::string_view name, std::uint64_t random);
bool is_temporary_name(std::string_view name) noexcept;

} // namespace trunkline::sync

// Lists a tree: one entry per call, sorted, so that whoever asks can let others run in between.
#pragma once

#include "services/sync/entry.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/report.hpp"
#include "services/sync/root.hpp"
#include "services/sync/selection.hpp"
#include "services/sync/xattrs.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::sync {

/// What a walk meets besides entries.
struct WalkListener {
  std::function<void(const std::string& path, const std::string& text)> on_error; // could not be read; the walk goes on
  std::function<void(const std::string& path, const std::string& text)>
      on_skipped; // a device, a fifo, a socket; without
                  // it they are listed as `other`
  std::function<void(const std::string& path)> on_temporary; // it has the name of a temporary file, and is not listed;
                                                             // before whatever else is in its directory
  std::function<void(const std::string& path)> on_excluded; // or not of the file system, or not selected
  std::function<void(const std::string& path)> on_vanished; // it was deleted between two looks; the walk is complete
  NotKept* not_kept =
      nullptr; // counts there what entries have that a sync does not carry: one more call for each entry
  std::function<bool(const std::string& path)> on_shut; // a directory may not be read: true when it may now
};

/// What of a tree a walk lists.
struct WalkScope {
  bool for_taker = false; // everything that a sync may touch: what is hidden only is listed, too
  bool one_file_system = false;
  std::optional<std::pair<dev_t, ino_t>> left_alone; // a directory that is none of it
  Selection* only = nullptr; // nothing else, and not the top
  bool all_directories = false; // rules leave none out: it may lead to what the other side has been told to send
  XattrScope xattrs; // that entries have with them
  bool specials = false; // are listed as `other` beside on_skipped
  bool all_mode_bits = false; // are kept, and hard links, and owners: then they are not counted as lost
  bool hard_links = false;
};

/// A walk through everything below a root, in the order of `compare_paths`; the root itself comes first. Symlinks are
/// listed, not followed. Keeps no directory open.
/// Errors: Failure::Kind::denied for a file with the rules of a directory that says what is not understood; FileError
/// for the top.
class Walk {
 public:
  Walk(std::shared_ptr<Root> root, const Filter& filter, WalkListener listener, WalkScope scope = {});
  /// Only the one file or symlink of this name in the root, without the root itself.
  Walk(std::shared_ptr<Root> root, const Filter& filter, WalkListener listener, std::string only);

  /// The next entry; nothing at the end, and nothing yet every names_between_yields names, listed or not, or when the
  /// filter took as long: then others should run. Blocks for a few system calls for each name that it looks at, and for
  /// the listing of one directory.
  std::optional<Entry> next();
  bool ended() const noexcept { return !at_start_ && !pending_ && levels_.empty(); }
  static constexpr std::size_t names_between_yields = 128;
  /// Of the entry that was returned last.
  const Status& status() const noexcept { return status_; }
  /// Everything that there is was listed, as far as the walk has come.
  bool complete() const noexcept { return complete_; }

 private:
  struct Level {
    std::string path;
    std::vector<std::string> names; // sorted descending: the next is the last
  };

  void enter(const std::string& path);
  bool is_left_out(const std::string& path, const Status& status) const;
  void enter_rules(const std::string& directory);
  bool opens(const std::string& path, const FileError& failure) const;
  bool is_passed(const std::string& directory, const std::string& name);
  std::optional<Entry> look(const std::string& directory, const std::string& name);
  void count_not_kept(const Directory& parent, const std::string& name, const Status& status) const;
  void add_xattrs(const Directory& parent, const std::string& name, Entry& entry) const;
  void report_error(const std::string& path, const FileError& failure);

  std::shared_ptr<Root> root_;
  const Filter& filter_;
  WalkListener listener_;
  WalkScope scope_;
  DirectoryRules rules_;
  dev_t device_ = 0; // of the top
  std::vector<Level> levels_;
  std::optional<std::string> pending_; // the directory that was listed last, to be entered next
  bool at_start_ = true;
  bool is_mount_ = false; // the entry that was looked at last begins another file system
  bool complete_ = true;
  Status status_;
  std::size_t names_ = 0; // looked at since `next` returned nothing
  std::size_t steps_ = 0; // of the filter, since then
};

/// The name of a temporary file for `name`, at most name_bytes_max long: .NAME.trunkline-XXXXXXXX, the last eight out
/// of a-z2-7.
inline constexpr std::size_t temporary_letters = 8;
std::string temporary_name(std::string_view name, std::uint64_t random);
bool is_temporary_name(std::string_view name) noexcept;
/// Whose temporary name it is; a long name lacks its end.
std::string_view name_of_temporary(std::string_view name) noexcept;

} // namespace trunkline::sync

// The tree of a Taker while it changes.
#pragma once

#include "services/sync/entry.hpp"
#include "services/sync/incoming_file.hpp"
#include "services/sync/report.hpp"
#include "services/sync/root.hpp"
#include "services/sync/xattrs.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace trunkline::sync {

/// What a sync does to the files below a root. Every path has been checked. Each blocks for a few system calls.
/// Errors: FileError.
class Tree {
 public:
  Tree(std::shared_ptr<Root> root, std::function<std::uint64_t()> random)
      : root_(std::move(root)), random_(std::move(random)) {}
  /// From now on entries get the extended attributes and ACLs of this scope, and owner and group where they keep them.
  /// What cannot be kept is counted there, which must outlive the tree.
  void keep_attributes(XattrScope scope, NotKept& not_kept);
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree() { shut_again(); }

  /// From now on what is replaced or removed and is no directory keeps its content under another name: with `suffix`
  /// behind it, below `root` when there is one, else beside it.
  void keep_backups(std::shared_ptr<Root> root, std::string suffix);
  /// What has this name is about to be replaced by a thing of this type. A file replaces a file; anything else goes
  /// before the file comes, as what is deleted goes.
  void make_room(const std::string& path, EntryType type);

  /// Its owner may do everything in it until `finish_directory`. What has this name and is no directory goes first; a
  /// directory that somebody else made meanwhile will do.
  void make_directory(const Entry& entry, bool something_in_the_way);
  /// The same for a directory that is there already.
  void open_directory(const Entry& entry);
  /// The same for one that nobody listed yet, until `finish_directory` or `shut_again`. False: it was open, or is not
  /// ours.
  bool open_shut(const std::string& path);
  /// Gives those their mode back that `open_shut` opened and that were neither finished nor deleted.
  void shut_again() noexcept;
  /// Gives a directory its own mode and time; true when one was another. After everything in it has come to rest.
  bool finish_directory(const Entry& entry);

  /// In place of whatever file or symlink has the name; a directory has to be removed before.
  void make_symlink(const Entry& entry);
  /// A device, a fifo or a socket, likewise. False when it cannot be made without more privilege.
  bool make_special(const Entry& entry);
  /// The file gets the entry's attributes when it is committed.
  void dress(const Entry& entry, IncomingFile& file);
  std::unique_ptr<IncomingFile> receive_file(const std::string& path, Writing writing = Writing::aside);
  /// A second name for a file in `there`, at once in place of what has the name here. Of that a backup is kept, but
  /// for a file where `keeps_files` is false.
  void link_file(const std::string& path, const Directory& there, const std::string& name_there, bool keeps_files);
  /// Mode and time of a file or symlink that is as it should be otherwise.
  void set_attributes(const Entry& entry);
  Fd open_file(const std::string& path, Status& status);

  enum class Removal : std::uint8_t { removed, not_empty, was_gone };
  Removal remove(const std::string& path, EntryType type);
  /// See reap_temporary.
  Reaped reap(const std::string& path);
  /// See adopt_temporary.
  std::optional<Fd> adopt(const std::string& path, std::uint64_t bytes_min);
  /// Removes what was adopted.
  void drop(const std::string& path);

  Root& root() noexcept { return *root_; }
  const std::shared_ptr<Root>& shared_root() const noexcept { return root_; }

 private:
  std::shared_ptr<Directory> parent(const std::string& path);
  void dress(const Entry& entry, Directory& directory, const std::string& its_name);
  bool back_up(const std::string& path, bool stays);
  std::shared_ptr<Directory> backup_directory(const std::string& path);
  void remove_once(const std::string& path, EntryType type);

  std::shared_ptr<Root> root_;
  std::function<std::uint64_t()> random_;
  XattrScope xattr_scope_;
  NotKept* not_kept_ = nullptr;
  bool keeps_backups_ = false;
  std::shared_ptr<Root> backup_root_;
  std::string backup_suffix_;
  std::map<std::string, mode_t> shut_; // what `open_shut` opened, with the mode that they had
};

} // namespace trunkline::sync

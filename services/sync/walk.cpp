#include "services/sync/walk.hpp"

#include "services/sync/path.hpp"

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <utility>

namespace trunkline::sync {
namespace {

constexpr std::string_view temporary_infix = ".trunkline-";
constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz234567";

std::string_view kind_of(mode_t mode) {
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "device";
  if (S_ISFIFO(mode)) return "fifo";
  if (S_ISSOCK(mode)) return "socket";
  return "neither file, directory nor symlink";
}

Entry to_entry(std::string path, const Status& status) {
  Entry entry;
  entry.path = std::move(path);
  entry.mtime = status.mtime;
  entry.owner = status.owner;
  entry.group = status.group;
  if (status.is_symlink()) {
    entry.type = EntryType::symlink;
    return entry;
  }
  entry.mode = status.mode & 07777;
  if (status.is_directory()) {
    entry.type = EntryType::directory;
  } else if (!status.is_file()) {
    entry.type = EntryType::other;
    entry.special_mode = status.mode & S_IFMT;
    if (S_ISCHR(status.mode) || S_ISBLK(status.mode)) entry.device = status.special_device;
  } else {
    entry.size = status.size;
  }
  return entry;
}

} // namespace

std::string temporary_name(std::string_view name, std::uint64_t random) {
  constexpr std::size_t added = 1 + temporary_infix.size() + temporary_letters;
  std::string temporary = ".";
  temporary += name.substr(0, name_bytes_max - added);
  temporary += temporary_infix;
  for (std::size_t i = 0; i < temporary_letters; ++i, random >>= 5) temporary += letters[random & 31];
  return temporary;
}

bool is_temporary_name(std::string_view name) noexcept {
  if (name.size() < 1 + temporary_infix.size() + temporary_letters || name.front() != '.') return false;
  const std::string_view tail = name.substr(name.size() - temporary_letters);
  return name.substr(0, name.size() - temporary_letters).ends_with(temporary_infix) &&
         tail.find_first_not_of(letters) == std::string_view::npos;
}

std::string_view name_of_temporary(std::string_view name) noexcept {
  return name.substr(1, name.size() - temporary_letters - temporary_infix.size() - 1);
}

Walk::Walk(std::shared_ptr<Root> root, const Filter& filter, WalkListener listener, WalkScope scope)
    : root_(std::move(root)), filter_(filter), listener_(std::move(listener)), scope_(scope), rules_(filter) {}

Walk::Walk(std::shared_ptr<Root> root, const Filter& filter, WalkListener listener, std::string only)
    : Walk(std::move(root), filter, std::move(listener)) {
  at_start_ = false;
  Level level;
  level.names.push_back(std::move(only));
  levels_.push_back(std::move(level));
}

std::optional<Entry> Walk::next() {
  if (std::exchange(at_start_, false)) {
    pending_ = "";
    const std::shared_ptr<Directory> top = root_->directory("");
    const Status status = top->own_status();
    device_ = status.device;
    if (listener_.not_kept && !scope_.only) count_not_kept(*top, "", status);
    status_ = status;
    if (!scope_.only) {
      Entry entry = to_entry("", status);
      add_xattrs(*top, "", entry);
      return entry;
    }
  }
  if (pending_) enter(*std::exchange(pending_, std::nullopt));
  for (;;) {
    while (!levels_.empty() && levels_.back().names.empty()) levels_.pop_back();
    if (levels_.empty() || names_ >= names_between_yields || steps_ >= Filter::steps_between_yields) break;
    ++names_;
    Level& level = levels_.back();
    const std::string name = std::move(level.names.back());
    level.names.pop_back();
    std::optional<Entry> entry = look(level.path, name);
    if (!entry) continue;
    if (entry->type == EntryType::directory && !is_mount_) pending_ = entry->path;
    return entry;
  }
  names_ = 0;
  steps_ = 0;
  return std::nullopt;
}

void Walk::enter(const std::string& path) {
  try {
    Level level;
    level.path = path;
    try {
      level.names = root_->directory(path)->names();
    } catch (const FileError& failure) {
      if (!opens(path, failure)) throw;
      level.names = root_->directory(path)->names();
    }
    enter_rules(path);
    std::erase_if(level.names, [&](const std::string& name) { return is_temporary_name(name) && is_passed(path, name); });
    std::sort(level.names.begin(), level.names.end(), std::greater<>());
    levels_.push_back(std::move(level));
  } catch (const FileError& failure) {
    report_error(path, failure);
  }
}

/// What is gone is no gap in the list of what there is, except for the top, which the person asked for.
void Walk::report_error(const std::string& path, const FileError& failure) {
  if (failure.is_gone() && !path.empty()) {
    if (listener_.on_vanished && !is_temporary_name(name_of(path))) listener_.on_vanished(path);
    return;
  }
  complete_ = false;
  if (listener_.on_error) listener_.on_error(path, failure.what());
}

void Walk::count_not_kept(const Directory& parent, const std::string& name, const Status& status) const {
  NotKept& counts = *listener_.not_kept;
  if (status.is_symlink()) return;
  if (!status.is_directory() && !status.is_file()) {
    if (!scope_.specials) ++counts.specials;
    return;
  }
  if (!scope_.hard_links && status.is_file() && status.names_count > 1) ++counts.hard_links;
  if (!scope_.all_mode_bits && (status.mode & 07000)) ++counts.mode_bits;
  if (scope_.xattrs.acls && scope_.xattrs.others) return; // what of them is too much is counted where they are read
  bool has_acl = false;
  bool has_others = false;
  const std::string names = parent.xattr_names(name);
  for (std::string_view rest = names; !rest.empty();) {
    const std::string_view xattr = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(rest.size(), xattr.size() + 1));
    const bool is_acl = xattr.starts_with("system.posix_acl_");
    has_acl = has_acl || is_acl;
    // A label belongs to the machine's policy, which gives every file one.
    has_others = has_others || (!is_acl && xattr != "security.selinux");
  }
  if (!scope_.xattrs.acls) counts.acls += has_acl;
  if (!scope_.xattrs.others) counts.xattrs += has_others;
}

void Walk::add_xattrs(const Directory& parent, const std::string& name, Entry& entry) const {
  if (!scope_.xattrs.any() || entry.type == EntryType::symlink) return;
  bool too_much = false;
  entry.xattrs = read_xattrs(parent, name, scope_.xattrs, too_much);
  if (!too_much) return;
  if (listener_.not_kept) ++listener_.not_kept->xattrs;
  if (listener_.on_skipped)
    listener_.on_skipped(entry.path, "has more than " + std::to_string(xattrs_bytes_max) +
                                         " bytes of extended attributes, which do not come");
}

void Walk::enter_rules(const std::string& directory) {
  if (scope_.for_taker || filter_.files().empty()) return;
  try {
    rules_.enter(directory, [this](const std::string& at, const std::string& name) {
      // One that cannot be read would let through what it hides: nothing of its directory is listed then.
      return read_small_file(*root_, at, name, Filter::file_bytes_max + 1);
    });
  } catch (const std::invalid_argument& refused) {
    throw Failure(Failure::Kind::denied, refused.what());
  }
}

bool Walk::is_left_out(const std::string& path, const Status& status) const {
  const bool is_directory = status.is_directory();
  if (scope_.only && !scope_.only->holds(path)) return true;
  if (is_directory && (scope_.all_directories || (scope_.only && scope_.only->leads(path)))) return false;
  if (is_directory && scope_.left_alone == std::pair(status.device, status.inode)) return true;
  return scope_.for_taker ? filter_.leaves_alone(path, is_directory) : filter_.hides(path, is_directory, rules_);
}

bool Walk::opens(const std::string& path, const FileError& failure) const {
  return failure.error_number() == EACCES && listener_.on_shut && listener_.on_shut(path);
}

/// What has the name of a temporary file is met before everything else in its directory, so that nobody takes for such
/// what a sync makes there later.
bool Walk::is_passed(const std::string& directory, const std::string& name) {
  const std::string path = join(directory, name);
  try {
    const std::optional<Status> status = root_->directory(directory)->status(name);
    if (!status) return true;
    if (status->is_directory()) return false;
    if (scope_.only) scope_.only->found(path);
    steps_ += filter_.steps(path) + rules_.steps(path);
    if (is_left_out(path, *status)) {
      if (listener_.on_excluded) listener_.on_excluded(path);
    } else if (listener_.on_temporary) {
      listener_.on_temporary(path);
    }
    return true;
  } catch (const FileError&) { // which is met once more
    return false;
  }
}

std::optional<Entry> Walk::look(const std::string& directory, const std::string& name) {
  std::string path = join(directory, name);
  try {
    const std::shared_ptr<Directory> parent = root_->directory(directory);
    std::optional<Status> status;
    try {
      status = parent->status(name);
    } catch (const FileError& failure) {
      if (!opens(directory, failure)) throw;
      status = parent->status(name);
    }
    if (status && scope_.only) scope_.only->found(path);
    enter_rules(directory);
    steps_ += filter_.steps(path) + rules_.steps(path);
    if (!status) {
      report_error(path, FileError("look at", path, ENOENT));
      return std::nullopt;
    }
    if (is_left_out(path, *status)) {
      if (listener_.on_excluded) listener_.on_excluded(path);
      return std::nullopt;
    }
    if (const std::string wrong = wrong_with_path(path); !wrong.empty())
      throw FileError("list", path, ENAMETOOLONG, "its path " + wrong);
    if (listener_.not_kept) count_not_kept(*parent, name, *status);
    const bool is_other = !status->is_file() && !status->is_directory() && !status->is_symlink();
    if (is_other && !scope_.specials && listener_.on_skipped) {
      listener_.on_skipped(path, std::string(kind_of(status->mode)));
      return std::nullopt;
    }
    // A mount point comes, as rsync has it; a destination keeps what is mounted in it.
    is_mount_ = scope_.one_file_system && status->is_directory() && status->device != device_;
    if (is_mount_ && listener_.on_excluded) listener_.on_excluded(join(path, "."));
    Entry entry = to_entry(std::move(path), *status);
    if (status->is_symlink()) entry.target = parent->read_link(name);
    add_xattrs(*parent, name, entry);
    status_ = *status;
    return entry;
  } catch (const FileError& failure) {
    report_error(join(directory, name), failure);
    return std::nullopt;
  }
}

} // namespace trunkline::sync

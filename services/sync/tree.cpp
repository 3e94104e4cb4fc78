#include "services/sync/tree.hpp"

#include "services/sync/path.hpp"
#include "services/sync/walk.hpp"

#include <cerrno>

namespace trunkline::sync {
namespace {

constexpr mode_t owner_all = 0700;

std::string name(const std::string& path) { return std::string(name_of(path)); }

} // namespace

std::shared_ptr<Directory> Tree::parent(const std::string& path) { return root_->directory(parent_of(path)); }

void Tree::keep_backups(std::shared_ptr<Root> root, std::string suffix) {
  keeps_backups_ = true;
  backup_root_ = std::move(root);
  backup_suffix_ = std::move(suffix);
}

void Tree::keep_attributes(XattrScope scope, NotKept& not_kept) {
  xattr_scope_ = scope;
  not_kept_ = &not_kept;
}

/// An empty name is the directory itself. Setting an owner takes setuid bits away, and ACLs belong to a mode: the mode
/// comes after this.
void Tree::dress(const Entry& entry, Directory& directory, const std::string& its_name) {
  if (entry.keeps_owner || entry.keeps_group) {
    const auto owner = entry.keeps_owner ? std::optional<uid_t>(entry.owner) : std::nullopt;
    const auto group = entry.keeps_group ? std::optional<gid_t>(entry.group) : std::nullopt;
    if (!directory.set_owner(its_name, owner, group) && not_kept_) ++not_kept_->owners;
  }
  if (!xattr_scope_.any() || entry.type == EntryType::symlink) return;
  if (set_xattrs(directory, its_name, xattr_scope_, entry.xattrs) || !not_kept_) return;
  ++(entry.xattrs.find("system.posix_acl_") == std::string::npos ? not_kept_->xattrs : not_kept_->acls);
}

void Tree::dress(const Entry& entry, IncomingFile& file) {
  file.on_commit(
      [this, &entry](Directory& directory, const std::string& its_name) { dress(entry, directory, its_name); });
}

/// The directory of this path among the backups; made as it is needed.
std::shared_ptr<Directory> Tree::backup_directory(const std::string& path) {
  if (path.empty()) return backup_root_->directory("");
  const std::shared_ptr<Directory> above = backup_directory(std::string(parent_of(path)));
  above->make_directory(name(path), owner_all);
  return backup_root_->directory(path);
}

void Tree::make_room(const std::string& path, EntryType type) {
  if (!keeps_backups_) return;
  const std::optional<Status> status = parent(path)->status(name(path));
  if (status) back_up(path, type != EntryType::file || status->is_file());
}

/// False when nothing was there to be kept. `stays`: the name here stays until something is put in its place, where the
/// file system can do that.
bool Tree::back_up(const std::string& path, bool stays) {
  if (!keeps_backups_) return false;
  const std::shared_ptr<Directory> here = parent(path);
  const std::optional<Status> status = here->status(name(path));
  if (!status || status->is_directory()) return false;
  if (!stays && !backup_root_ && name(path).ends_with(backup_suffix_)) return false; // one of ours, from before
  const std::shared_ptr<Directory> into = backup_root_ ? backup_directory(std::string(parent_of(path))) : here;
  const std::string kept = name(path) + backup_suffix_;
  if (stays && status->is_file()) {
    const std::string temporary = temporary_name(kept, random_());
    if (here->link(name(path), *into, temporary)) {
      into->rename(temporary, kept);
      return true;
    }
  }
  here->move(name(path), *into, kept);
  return true;
}

void Tree::make_directory(const Entry& entry, bool something_in_the_way) {
  const std::shared_ptr<Directory> above = parent(entry.path);
  if (something_in_the_way) {
    try {
      if (!back_up(entry.path, false)) above->remove_file(name(entry.path));
    } catch (const FileError& failure) { // another sync may have made room, or the directory
      if (failure.error_number() != ENOENT && failure.error_number() != EISDIR) throw;
    }
  }
  if (!above->make_directory(name(entry.path), (entry.mode & 0777) | owner_all)) open_directory(entry);
}

void Tree::open_directory(const Entry& entry) {
  if (entry.path.empty()) {
    const std::shared_ptr<Directory> top = root_->directory("");
    const mode_t mode = top->own_status().mode & 07777;
    if ((mode & owner_all) != owner_all) top->set_own_mode(mode | owner_all);
    return;
  }
  const std::shared_ptr<Directory> above = parent(entry.path);
  const std::optional<Status> status = above->status(name(entry.path));
  if (!status || !status->is_directory()) throw FileError("open the directory", entry.path, ENOTDIR);
  const mode_t mode = status->mode & 07777;
  if ((mode & owner_all) != owner_all) above->set_mode(name(entry.path), mode | owner_all);
}

bool Tree::finish_directory(const Entry& entry) {
  const mode_t mode = entry.mode;
  shut_.erase(entry.path);
  const std::shared_ptr<Directory> at = entry.path.empty() ? root_->directory("") : parent(entry.path);
  const std::optional<Status> status = entry.path.empty() ? at->own_status() : at->status(name(entry.path));
  if (!status || !status->is_directory()) throw FileError("open the directory", entry.path, ENOTDIR);
  dress(entry, *at, entry.path.empty() ? std::string() : name(entry.path));
  const bool is_dressed = entry.keeps_owner || entry.keeps_group || xattr_scope_.any(); // which may change the mode
  const bool other_mode = is_dressed || (status->mode & 07777) != mode;
  const bool other_mtime = status->mtime != entry.mtime;
  if (entry.path.empty()) {
    if (other_mode) at->set_own_mode(mode);
    if (other_mtime) at->set_own_mtime(entry.mtime);
  } else {
    if (other_mode) at->set_mode(name(entry.path), mode);
    if (other_mtime) at->set_mtime(name(entry.path), entry.mtime);
  }
  return other_mode || other_mtime;
}

void Tree::make_symlink(const Entry& entry) {
  make_room(entry.path, EntryType::symlink);
  place_symlink(*parent(entry.path), name(entry.path), entry.target, entry.mtime,
                [&](Directory& directory, const std::string& its_name) { dress(entry, directory, its_name); });
}

bool Tree::make_special(const Entry& entry) {
  const std::shared_ptr<Directory> at = parent(entry.path);
  const std::string temporary = temporary_name(name(entry.path), random_());
  try {
    const mode_t type = entry.special_mode & S_IFMT;
    if (!at->make_special(temporary, type | 0600, static_cast<dev_t>(entry.device)))
      throw FileError("create", entry.path, EEXIST);
  } catch (const FileError& failure) {
    if (failure.error_number() != EPERM) throw;
    return false;
  }
  try {
    dress(entry, *at, temporary);
    at->set_mode(temporary, entry.mode);
    at->set_mtime(temporary, entry.mtime);
    make_room(entry.path, EntryType::other);
    at->rename(temporary, name(entry.path));
  } catch (...) {
    try {
      at->remove_file(temporary);
    } catch (const FileError&) {} // it has the name by now, or the disk is gone
    throw;
  }
  return true;
}

std::unique_ptr<IncomingFile> Tree::receive_file(const std::string& path, Writing writing) {
  return std::make_unique<IncomingFile>(parent(path), name(path), random_, writing);
}

void Tree::link_file(const std::string& path, const Directory& there, const std::string& name_there, bool keeps_files) {
  const std::shared_ptr<Directory> here = parent(path);
  const std::string temporary = temporary_name(name(path), random_());
  if (!there.link(name_there, *here, temporary)) throw FileError("link", path, EXDEV);
  const auto tidy = [&] {
    try {
      here->remove_file(temporary);
    } catch (const FileError&) {} // it has the name by now
  };
  try {
    const std::optional<Status> status = here->status(name(path));
    if (keeps_files) {
      make_room(path, EntryType::other);
    } else if (status && !status->is_file()) {
      make_room(path, EntryType::file);
    }
    here->rename(temporary, name(path)); // which does nothing when both are one file already
  } catch (...) {
    tidy();
    throw;
  }
  tidy();
}

void Tree::set_attributes(const Entry& entry) {
  const std::shared_ptr<Directory> above = parent(entry.path);
  dress(entry, *above, name(entry.path));
  if (entry.type != EntryType::symlink) above->set_mode(name(entry.path), entry.mode);
  above->set_mtime(name(entry.path), entry.mtime);
}

Fd Tree::open_file(const std::string& path, Status& status) { return parent(path)->open_file(name(path), status); }

Tree::Removal Tree::remove(const std::string& path, EntryType type) {
  try {
    try {
      remove_once(path, type);
    } catch (const FileError& failure) {
      if (failure.error_number() != EACCES || !open_shut(std::string(parent_of(path)))) throw;
      remove_once(path, type);
    }
  } catch (const FileError& failure) {
    if (failure.error_number() == ENOENT) return Removal::was_gone;
    if (failure.error_number() == ENOTEMPTY || failure.error_number() == EEXIST) return Removal::not_empty;
    throw;
  }
  return Removal::removed;
}

void Tree::remove_once(const std::string& path, EntryType type) {
  const std::shared_ptr<Directory> above = parent(path);
  if (type != EntryType::directory) {
    if (!back_up(path, false)) above->remove_file(name(path));
    return;
  }
  above->remove_directory(name(path));
  shut_.erase(path);
  root_->forget(); // it may be among those kept open
}

bool Tree::open_shut(const std::string& path) {
  try {
    const std::shared_ptr<Directory> at = path.empty() ? root_->directory("") : parent(path);
    const std::optional<Status> status = path.empty() ? at->own_status() : at->status(name(path));
    if (!status || !status->is_directory() || (status->mode & owner_all) == owner_all) return false;
    const mode_t mode = status->mode & 07777;
    if (path.empty()) {
      at->set_own_mode(mode | owner_all);
    } else {
      at->set_mode(name(path), mode | owner_all);
    }
    shut_.emplace(path, mode);
    return true;
  } catch (const FileError&) { // it is not ours: what was refused stays refused
    return false;
  }
}

void Tree::shut_again() noexcept {
  for (auto shut = shut_.rbegin(); shut != shut_.rend(); ++shut) { // what is in a directory before the directory
    try {
      const std::string& path = shut->first;
      if (path.empty()) {
        root_->directory("")->set_own_mode(shut->second);
      } else {
        parent(path)->set_mode(name(path), shut->second);
      }
    } catch (const std::exception&) { // it is gone, or the disk is
    }
  }
  shut_.clear();
}

std::optional<Fd> Tree::adopt(const std::string& path, std::uint64_t bytes_min) {
  return adopt_temporary(*parent(path), name(path), bytes_min);
}

void Tree::drop(const std::string& path) { parent(path)->remove_file(name(path)); }

Reaped Tree::reap(const std::string& path) { return reap_temporary(*parent(path), name(path)); }

} // namespace trunkline::sync

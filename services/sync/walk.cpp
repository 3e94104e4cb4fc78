#include "services/sync/walk.hpp"

#include "services/sync/path.hpp"

#include <algorithm>
#include <cerrno>
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
  if (status.is_symlink()) {
    entry.type = EntryType::symlink;
    return entry;
  }
  entry.mode = status.mode & 07777;
  if (status.is_directory()) {
    entry.type = EntryType::directory;
  } else if (!status.is_file()) {
    entry.type = EntryType::other;
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

Walk::Walk(std::shared_ptr<Root> root, const Filter& filter, WalkListener listener)
    : root_(std::move(root)), filter_(filter), listener_(std::move(listener)) {}

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
    return to_entry("", root_->directory("")->own_status());
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
    if (entry->type == EntryType::directory) pending_ = entry->path;
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
    std::sort(level.names.begin(), level.names.end(), std::greater<>());
    levels_.push_back(std::move(level));
  } catch (const FileError& failure) {
    complete_ = false;
    if (listener_.on_error) listener_.on_error(path, failure.what());
  }
}

bool Walk::opens(const std::string& path, const FileError& failure) const {
  return failure.error_number() == EACCES && listener_.on_shut && listener_.on_shut(path);
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
    steps_ += filter_.steps(path);
    if (!status) return std::nullopt;
    if (filter_.excludes(path, status->is_directory())) {
      if (listener_.on_excluded) listener_.on_excluded(path);
      return std::nullopt;
    }
    if (is_temporary_name(name) && !status->is_directory()) {
      if (listener_.on_temporary) listener_.on_temporary(path);
      return std::nullopt;
    }
    const bool is_other = !status->is_file() && !status->is_directory() && !status->is_symlink();
    if (is_other && listener_.on_skipped) {
      listener_.on_skipped(path, std::string(kind_of(status->mode)));
      return std::nullopt;
    }
    Entry entry = to_entry(std::move(path), *status);
    if (status->is_symlink()) entry.target = parent->read_link(name);
    return entry;
  } catch (const FileError& failure) {
    complete_ = false;
    if (listener_.on_error) listener_.on_error(join(directory, name), failure.what());
    return std::nullopt;
  }
}

} // namespace trunkline::sync

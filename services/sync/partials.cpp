#include "services/sync/partials.hpp"

#include "services/sync/path.hpp"
#include "services/sync/walk.hpp"

#include <optional>
#include <utility>

namespace trunkline::sync {

void Partials::remove(Tree& tree, const std::string& temporary_path) {
  try {
    tree.drop(temporary_path);
  } catch (const FileError&) {} // it was only in the way of tidiness
}

bool Partials::adopt(Tree& tree, const std::string& temporary_path) {
  const std::string_view name = name_of(temporary_path);
  if (name.size() >= name_bytes_max) return false; // the end of the file's name may be missing
  std::optional<Fd> lock;
  Status status;
  try {
    lock = tree.adopt(temporary_path, bytes_min_);
    if (!lock || tree.root().disk().status(lock->number(), status) < 0) return false;
  } catch (const FileError&) {
    return false;
  }
  const std::string path = join(parent_of(temporary_path), name_of_temporary(name));
  const auto found = by_path_.find(path);
  if (found == by_path_.end() && by_path_.size() >= count_max) return false;
  if (found != by_path_.end()) {
    if (found->second.size >= status.size) {
      remove(tree, temporary_path);
      return true;
    }
    remove(tree, found->second.path);
  }
  Partial partial;
  partial.path = temporary_path;
  partial.size = status.size;
  partial.lock = std::move(*lock);
  by_path_.insert_or_assign(path, std::move(partial));
  return true;
}

const std::string* Partials::find(const std::string& path) const {
  const auto found = by_path_.find(path);
  return found == by_path_.end() ? nullptr : &found->second.path;
}

void Partials::drop(Tree& tree, const std::string& path) {
  if (const auto found = by_path_.extract(path)) remove(tree, found.mapped().path);
}

void Partials::drop_all(Tree& tree) {
  for (const auto& [path, partial] : by_path_) {
    remove(tree, partial.path);
    voice_.note(Note::Kind::deleted, partial.path, "a sync that died left it");
  }
  by_path_.clear();
}

} // namespace trunkline::sync

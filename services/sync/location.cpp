#include "services/sync/location.hpp"

#include "services/sync/path.hpp"

#include <cerrno>
#include <utility>

namespace trunkline::sync {
namespace {

constexpr mode_t new_directory_mode = 0777; // as the umask allows

/// "a/b/" as directory "a" and name "b"; "b" as "." and "b".
std::pair<std::string, std::string> split(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

/// The file `name` in a directory, or the error that opening it as a directory gave.
Source only_file(std::shared_ptr<Root> parent, std::string name, const FileError& failure) {
  const std::optional<Status> status = parent->directory("")->status(name);
  if (!status || !(status->is_file() || status->is_symlink())) throw failure;
  return {std::move(parent), std::move(name)};
}

bool may_be_file(const FileError& failure) {
  return failure.error_number() == ENOTDIR || failure.error_number() == ELOOP;
}

} // namespace

Source open_source(const std::shared_ptr<Root>& root, std::string_view path) {
  try {
    return {root->below(path), {}};
  } catch (const FileError& failure) {
    if (!may_be_file(failure) || path.empty()) throw;
    return only_file(root->below(parent_of(path)), std::string(name_of(path)), failure);
  }
}

Source open_source(const std::string& path, std::shared_ptr<Disk> disk) {
  try {
    return {Root::open(path, disk), {}};
  } catch (const FileError& failure) {
    if (!may_be_file(failure)) throw;
    const auto [parent, name] = split(path);
    return only_file(Root::open(parent, std::move(disk)), name, failure);
  }
}

std::shared_ptr<Root> open_destination(const std::shared_ptr<Root>& root, std::string_view path, bool dry_run) {
  try {
    return root->below(path);
  } catch (const FileError& failure) {
    if (failure.error_number() != ENOENT || path.empty()) throw;
  }
  const std::shared_ptr<Directory> parent = root->directory(parent_of(path));
  if (dry_run) return nullptr;
  parent->make_directory(std::string(name_of(path)), new_directory_mode); // or another sync just has
  return root->below(path);
}

std::shared_ptr<Root> open_destination(const std::string& path, bool dry_run, std::shared_ptr<Disk> disk) {
  try {
    return Root::open(path, disk);
  } catch (const FileError& failure) {
    if (failure.error_number() != ENOENT) throw;
  }
  const auto [parent, name] = split(path);
  const std::shared_ptr<Root> above = Root::open(parent, std::move(disk));
  if (dry_run) return nullptr;
  above->directory("")->make_directory(name, new_directory_mode);
  return above->below(name);
}

} // namespace trunkline::sync

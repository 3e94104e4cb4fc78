#include "services/sync/location.hpp"

#include "services/sync/path.hpp"
#include "services/sync/report.hpp"

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
Source only_file(std::shared_ptr<Root> parent, std::string name, const FileError& failure, bool symlink_too) {
  const std::optional<Status> status = parent->directory("")->status(name);
  if (!status || !(status->is_file() || (symlink_too && status->is_symlink()))) throw failure;
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
    // Whoever asks for a path below a root means what is there, and no symlink is followed.
    return only_file(root->below(parent_of(path)), std::string(name_of(path)), failure, false);
  }
}

Source open_source(const std::string& path, std::shared_ptr<Disk> disk) {
  try {
    return {Root::open(path, disk), {}};
  } catch (const FileError& failure) {
    if (!may_be_file(failure)) throw;
    const auto [parent, name] = split(path);
    return only_file(Root::open(parent, std::move(disk)), name, failure, true);
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

std::shared_ptr<Root> open_aside(const std::shared_ptr<Root>& root, std::string_view destination, std::string_view path,
                                 bool make) {
  std::string at(path.starts_with('/') ? std::string_view() : destination);
  for (std::string_view rest = path; !rest.empty();) {
    const std::size_t slash = rest.find('/');
    const std::string_view component = rest.substr(0, slash);
    rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
    if (component.empty() || component == ".") continue;
    if (component != "..") {
      at = join(at, component);
    } else if (at.empty()) {
      throw Failure(Failure::Kind::denied, "\"" + printable(path) + "\" leads out of the root");
    } else {
      at = parent_of(std::string(at));
    }
  }
  try {
    return open_destination(root, at, !make);
  } catch (const FileError& failure) {
    if (make || failure.error_number() != ENOENT) throw;
    return nullptr;
  }
}

std::shared_ptr<Root> open_aside(const std::string& destination, const std::string& path, bool make) {
  try {
    return open_destination(path.starts_with('/') ? path : destination + '/' + path, !make);
  } catch (const FileError& failure) {
    if (make || failure.error_number() != ENOENT) throw;
    return nullptr;
  }
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

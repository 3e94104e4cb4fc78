#include "services/sync/root.hpp"

#include "services/sync/path.hpp"

#include <algorithm>
#include <cerrno>
#include <span>

namespace trunkline::sync {
namespace {

bool is_one_component(std::string_view name) noexcept {
  return !name.empty() && name != "." && name != ".." && name.size() <= name_bytes_max &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

} // namespace

void Directory::fail(std::string_view verb, const std::string& name, int error_number) const {
  throw FileError(verb, join(path_, name), error_number);
}

void Directory::check(std::string_view verb, const std::string& name, long returned) const {
  if (returned < 0) fail(verb, name, static_cast<int>(-returned));
}

std::vector<std::string> Directory::names() const {
  std::vector<std::string> names;
  check("list", {}, disk_->list(fd_.number(), names));
  return names;
}

std::optional<Status> Directory::status(const std::string& name) const {
  if (!is_one_component(name)) fail("look at", name, EINVAL);
  Status status;
  const int returned = disk_->status(fd_.number(), name, status);
  if (returned == -ENOENT) return std::nullopt;
  check("look at", name, returned);
  return status;
}

Status Directory::own_status() const {
  Status status;
  check("look at", {}, disk_->status(fd_.number(), status));
  return status;
}

std::string Directory::read_link(const std::string& name) const {
  if (!is_one_component(name)) fail("read the symlink", name, EINVAL);
  std::string target;
  check("read the symlink", name, disk_->read_link(fd_.number(), name, target));
  return target;
}

std::string Directory::xattr_names(const std::string& name) const {
  std::string names;
  if (!name.empty() && !is_one_component(name)) return {};
  if (disk_->list_xattrs(fd_.number(), name.empty() ? "." : name, names) < 0) return {};
  return names;
}

std::optional<std::string> Directory::xattr(const std::string& name, const std::string& xattr) const {
  std::string value;
  if (!name.empty() && !is_one_component(name)) return std::nullopt;
  if (disk_->xattr(fd_.number(), name.empty() ? "." : name, xattr, value) < 0) return std::nullopt;
  return value;
}

bool Directory::set_xattr(const std::string& name, const std::string& xattr, std::string_view value) {
  if (!name.empty() && !is_one_component(name)) fail("set an attribute of", name, EINVAL);
  return disk_->set_xattr(fd_.number(), name.empty() ? "." : name, xattr, value) >= 0;
}

bool Directory::remove_xattr(const std::string& name, const std::string& xattr) {
  if (!name.empty() && !is_one_component(name)) fail("set an attribute of", name, EINVAL);
  const int returned = disk_->remove_xattr(fd_.number(), name.empty() ? "." : name, xattr);
  return returned >= 0 || returned == -ENODATA;
}

bool Directory::set_owner(const std::string& name, std::optional<uid_t> owner, std::optional<gid_t> group) {
  if (!name.empty() && !is_one_component(name)) fail("set the owner of", name, EINVAL);
  const int returned = disk_->set_owner(fd_.number(), name.empty() ? "." : name, owner.value_or(static_cast<uid_t>(-1)),
                                        group.value_or(static_cast<gid_t>(-1)));
  if (returned == -EPERM || returned == -EINVAL || returned == -EOPNOTSUPP) return false;
  check("set the owner of", name, returned);
  return true;
}

bool Directory::make_special(const std::string& name, mode_t mode, dev_t device) {
  if (!is_one_component(name)) fail("create", name, EINVAL);
  const int returned = disk_->make_special(fd_.number(), name, mode, device);
  if (returned == -EEXIST) return false;
  check("create", name, returned);
  return true;
}

Fd Directory::open_unseen(const std::string& name) const {
  if (!is_one_component(name)) fail("read", name, EINVAL);
  const int opened = disk_->open_file(fd_.number(), name);
  check("read", name, opened);
  return Fd(opened);
}

Fd Directory::open_file(const std::string& name, Status& status) const {
  Fd fd = open_unseen(name);
  check("read", name, disk_->status(fd.number(), status));
  if (!status.is_file()) fail("read", name, not_a_file); // it was one when it was listed
  return fd;
}

std::optional<Fd> Directory::open_to_change(const std::string& name) const {
  if (!is_one_component(name)) fail("write", name, EINVAL);
  const int opened = disk_->open_to_change(fd_.number(), name);
  if (opened == -ENOENT) return std::nullopt;
  check("write", name, opened);
  Fd fd(opened);
  Status status;
  check("write", name, disk_->status(fd.number(), status));
  if (!status.is_file()) fail("write", name, not_a_file);
  return fd;
}

std::optional<Fd> Directory::create_file(const std::string& name, mode_t mode) {
  if (!is_one_component(name)) fail("create", name, EINVAL);
  const int opened = disk_->create_file(fd_.number(), name, mode);
  if (opened == -EEXIST) return std::nullopt;
  check("create", name, opened);
  return Fd(opened);
}

bool Directory::make_directory(const std::string& name, mode_t mode) {
  if (!is_one_component(name)) fail("create the directory", name, EINVAL);
  const int returned = disk_->make_directory(fd_.number(), name, mode);
  if (returned == -EEXIST) return false;
  check("create the directory", name, returned);
  return true;
}

bool Directory::make_symlink(const std::string& name, const std::string& target) {
  if (!is_one_component(name)) fail("create the symlink", name, EINVAL);
  const int returned = disk_->make_symlink(fd_.number(), name, target);
  if (returned == -EEXIST) return false;
  check("create the symlink", name, returned);
  return true;
}

void Directory::rename(const std::string& from, const std::string& to) {
  if (!is_one_component(from) || !is_one_component(to)) fail("replace", to, EINVAL);
  check("replace", to, disk_->rename(fd_.number(), from, to));
}

void Directory::move(const std::string& from, Directory& into, const std::string& to) {
  if (!is_one_component(from) || !is_one_component(to)) fail("replace", to, EINVAL);
  check("move away", from, disk_->move(fd_.number(), from, into.fd_.number(), to));
}

bool Directory::link(const std::string& from, Directory& into, const std::string& to) const {
  if (!is_one_component(from) || !is_one_component(to)) fail("link", to, EINVAL);
  const int returned = disk_->link(fd_.number(), from, into.fd_.number(), to);
  for (const int no : {EEXIST, EPERM, EMLINK, EOPNOTSUPP, EXDEV})
    if (returned == -no) return false;
  check("link", from, returned);
  return true;
}

void Directory::remove_file(const std::string& name) {
  if (!is_one_component(name)) fail("delete", name, EINVAL);
  check("delete", name, disk_->remove_file(fd_.number(), name));
}

void Directory::remove_directory(const std::string& name) {
  if (!is_one_component(name)) fail("delete the directory", name, EINVAL);
  check("delete the directory", name, disk_->remove_directory(fd_.number(), name));
}

void Directory::set_mode(const std::string& name, mode_t mode) {
  if (!is_one_component(name)) fail("set the mode of", name, EINVAL);
  check("set the mode of", name, disk_->set_mode(fd_.number(), name, mode));
}

void Directory::set_mtime(const std::string& name, FileTime mtime) {
  if (!is_one_component(name)) fail("set the time of", name, EINVAL);
  check("set the time of", name, disk_->set_mtime(fd_.number(), name, mtime));
}

void Directory::set_own_mode(mode_t mode) { check("set the mode of", {}, disk_->set_mode(fd_.number(), mode)); }

void Directory::set_own_mtime(FileTime mtime) { check("set the time of", {}, disk_->set_mtime(fd_.number(), mtime)); }

Root::Root(std::shared_ptr<Disk> disk, Fd fd) : disk_(std::move(disk)), fd_(std::move(fd)) {}

std::shared_ptr<Root> Root::open(const std::string& path, std::shared_ptr<Disk> disk) {
  const int opened = disk->open_start(path);
  if (opened < 0) throw FileError("open the directory", path, -opened);
  return std::make_shared<Root>(std::move(disk), Fd(opened));
}

Fd Root::open_below(std::string_view path) {
  const std::string wrong = wrong_with_path(path);
  if (!wrong.empty()) throw FileError("open the directory", path, EINVAL, "its path " + wrong);
  const std::string name = path.empty() ? "." : std::string(path);
  int opened = disk_->open_beneath(fd_.number(), name);
  if (opened == -EMFILE || opened == -ENFILE) { // what is only kept open for speed goes first
    recent_.clear();
    opened = disk_->open_beneath(fd_.number(), name);
  }
  if (opened < 0) throw FileError("open the directory", path, -opened);
  return Fd(opened);
}

std::shared_ptr<Directory> Root::directory(std::string_view path) {
  for (auto found = recent_.begin(); found != recent_.end(); ++found) {
    if ((*found)->path() != path) continue;
    recent_.splice(recent_.begin(), recent_, found);
    return recent_.front();
  }
  auto directory = std::make_shared<Directory>(disk_, open_below(path), std::string(path));
  recent_.push_front(directory);
  if (recent_.size() > recent_max) recent_.pop_back();
  return directory;
}

std::optional<std::string> read_small_file(Root& root, const std::string& directory, const std::string& name,
                                           std::size_t bytes_max) {
  const std::shared_ptr<Directory> at = root.directory(directory);
  const std::optional<Status> found = at->status(name);
  if (!found || !found->is_file()) return std::nullopt;
  Status status;
  const Fd fd = at->open_file(name, status);
  std::string content(std::min<std::uint64_t>(status.size, bytes_max), '\0');
  const ssize_t count = at->disk().read(fd.number(), std::as_writable_bytes(std::span(content)), 0);
  if (count < 0) throw FileError("read", join(directory, name), static_cast<int>(-count));
  content.resize(static_cast<std::size_t>(count));
  return content;
}

std::shared_ptr<Root> Root::below(std::string_view path) { return std::make_shared<Root>(disk_, open_below(path)); }

} // namespace trunkline::sync

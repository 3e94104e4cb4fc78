#include "cli/sync/tree_watch.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

namespace trunkline::cli {
namespace {

constexpr std::uint32_t events = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO |
                                 IN_DELETE_SELF | IN_MOVE_SELF | IN_CLOSE_WRITE | IN_ONLYDIR | IN_DONT_FOLLOW;

} // namespace

TreeWatch::TreeWatch(std::string path) : path_(std::move(path)), fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "cannot watch \"" + path_ + "\"");
}

TreeWatch::~TreeWatch() { ::close(fd_); }

bool TreeWatch::add_all() {
  namespace fs = std::filesystem;
  bool all = true;
  count_ = 0;
  const auto add = [&](const fs::path& directory, std::uint32_t more) {
    // Watching the same directory again is no second watch.
    if (::inotify_add_watch(fd_, directory.c_str(), events & ~more) >= 0) {
      ++count_;
    } else if (errno == ENOSPC || errno == ENOMEM) {
      all = false;
    }
  };
  add(path_, IN_DONT_FOLLOW);
  std::error_code failure;
  fs::recursive_directory_iterator at(path_, fs::directory_options::skip_permission_denied, failure);
  for (; !failure && at != fs::recursive_directory_iterator(); at.increment(failure)) {
    std::error_code ignored;
    if (all && !at->is_symlink(ignored) && at->is_directory(ignored)) add(at->path(), 0);
  }
  return all && !failure;
}

bool TreeWatch::take() {
  char buffer[16 * 1024];
  bool any = false;
  while (::read(fd_, buffer, sizeof buffer) > 0) any = true; // an overflow is an event, too
  return any;
}

} // namespace trunkline::cli

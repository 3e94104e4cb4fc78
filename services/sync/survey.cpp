#include "services/sync/survey.hpp"

#include "async/task_group.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/path.hpp"
#include "services/sync/walk.hpp"

#include <cstddef>
#include <optional>
#include <utility>

namespace trunkline::sync {
namespace {

constexpr std::size_t entries_between_yields = 64;

} // namespace

awaitable<void> Survey::look_around(Tree& tree, std::shared_ptr<void> owner) {
  std::vector<std::string> temporaries;
  WalkListener listener;
  listener.on_error = [this](const std::string& path, const std::string& text) {
    voice_.note(Note::Kind::error, path, text);
  };
  listener.on_temporary = [this, &temporaries](const std::string& path) {
    share_.add(sizeof path + path.size());
    temporaries.push_back(path);
    keep_what_holds(path);
  };
  listener.on_excluded = [this](const std::string& path) { keep_what_holds(path); };
  if (!options_.dry_run) listener.on_shut = [&tree](const std::string& path) { return tree.open_shut(path); };
  WalkScope scope;
  scope.for_taker = true;
  scope.one_file_system = options_.one_file_system;
  scope.xattrs = options_.xattr_scope();
  scope.all_directories = options_.only.has_value();
  if (options_.backup_root) { // wherever it lies, what is kept there is not deleted
    const Status kept = options_.backup_root->directory("")->own_status();
    scope.left_alone.emplace(kept.device, kept.inode);
  }
  // The walk shares the root: its open directories are of use later.
  Walk walk(std::shared_ptr<Root>(std::move(owner), &tree.root()), filter_, std::move(listener), scope);
  while (!walk.ended()) {
    std::optional<Entry> entry = walk.next();
    ++voice_.progress().worked;
    if (entry) {
      share_.add(bytes_of(*entry));
      have_.push_back(std::move(*entry));
    } else {
      co_await let_others_run();
    }
  }
  complete_ = walk.complete();
  if (options_.dry_run) co_return;
  std::size_t count = 0;
  for (const std::string& path : temporaries) {
    reap(tree, path);
    if (++count % entries_between_yields == 0) co_await voice_.breath();
  }
}

void Survey::reap(Tree& tree, const std::string& path) {
  if (!options_.whole_file && partials_.adopt(tree, path)) return;
  auto reaped = Reaped::in_use;
  try {
    reaped = tree.reap(path);
  } catch (const FileError&) {} // it was only in the way of tidiness
  if (reaped == Reaped::removed) {
    voice_.note(Note::Kind::deleted, path, "a sync that died left it");
  } else if (reaped == Reaped::not_ours) {
    voice_.note(Note::Kind::skipped, path, has_temporary_name);
  }
}

void Survey::keep_what_holds(std::string_view path) {
  if (!options_.delete_extra) return;
  for (std::string_view directory = parent_of(path); !directory.empty(); directory = parent_of(directory)) {
    if (!kept_.emplace(directory).second) return;
    share_.add(sizeof(std::string) + directory.size());
  }
}

} // namespace trunkline::sync

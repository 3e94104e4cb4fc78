#include "services/sync/survey.hpp"

#include "async/task_group.hpp"
#include "async/within.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/path.hpp"

#include <utility>

namespace trunkline::sync {

void Survey::begin(Tree* tree) {
  tree_ = tree;
  if (!tree_) return;
  WalkListener listener;
  listener.on_error = [this](const std::string& path, const std::string& text) {
    voice_.note(Note::Kind::error, path, text);
  };
  listener.on_temporary = [this](const std::string& path) { meet_temporary(path); };
  listener.on_excluded = [this](const std::string& path) { keep_what_holds(path); };
  if (!options_.dry_run) listener.on_shut = [this](const std::string& path) { return tree_->open_shut(path); };
  // The walk shares the root: its open directories are of use later.
  walk_.emplace(tree_->shared_root(), filter_, std::move(listener), scope());
}

WalkScope Survey::scope() const {
  WalkScope scope;
  scope.for_taker = true;
  scope.one_file_system = options_.one_file_system;
  scope.xattrs = options_.xattr_scope();
  scope.all_directories = options_.only.has_value();
  if (options_.backup_root) { // wherever it lies, what is kept there is not deleted
    const Status kept = options_.backup_root->directory("")->own_status();
    scope.left_alone.emplace(kept.device, kept.inode);
  }
  return scope;
}

awaitable<void> Survey::each_file(std::function<void(const Entry&)> met) {
  if (!tree_) co_return;
  WalkScope all = scope();
  all.xattrs = {};
  Walk walk(tree_->shared_root(), filter_, WalkListener(), all);
  while (!walk.ended()) {
    const std::optional<Entry> entry = walk.next();
    ++voice_.progress().worked;
    if (!entry) {
      co_await let_others_run();
    } else if (entry->type == EntryType::file) {
      met(*entry);
    }
  }
}

void Survey::meet_temporary(const std::string& path) {
  keep_what_holds(path);
  if (options_.dry_run) return;
  if (!options_.whole_file && partials_.adopt(*tree_, path)) return;
  auto reaped = Reaped::in_use;
  try {
    reaped = tree_->reap(path);
  } catch (const FileError&) {} // it was only in the way of tidiness
  if (reaped == Reaped::removed) {
    voice_.note(Note::Kind::deleted, path, "a sync that died left it");
  } else if (reaped == Reaped::not_ours) {
    voice_.note(Note::Kind::skipped, path, has_temporary_name);
  }
}

void Survey::leave_alone(const std::string& path) {
  if (!options_.delete_extra || !left_alone_.insert(path).second) return;
  share_.add(sizeof path + path.size());
  keep_what_holds(path);
}

void Survey::keep_what_holds(std::string_view path) {
  if (!options_.delete_extra) return;
  for (std::string_view directory = parent_of(path); !directory.empty(); directory = parent_of(directory)) {
    if (!kept_.emplace(directory).second) return;
    share_.add(sizeof(std::string) + directory.size());
  }
}

} // namespace trunkline::sync

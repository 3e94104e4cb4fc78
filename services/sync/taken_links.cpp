#include "services/sync/taken_links.hpp"

#include "services/sync/attempt.hpp"
#include "services/sync/path.hpp"

#include <cerrno>
#include <string>

namespace trunkline::sync {
namespace {

constexpr std::size_t entries_between_yields = 64;

std::optional<Status> status_of(Root& root, const std::string& path) {
  try {
    return root.directory(parent_of(path))->status(std::string(name_of(path)));
  } catch (const FileError&) {
    return std::nullopt;
  }
}

} // namespace

awaitable<void> TakenLinks::finish() {
  std::size_t count = 0;
  for (const std::size_t index : indices_) {
    if (++count % entries_between_yields == 0) co_await voice_.breath();
    make(index);
  }
  indices_.clear();
}

bool TakenLinks::is_made(const Entry& entry, const Entry& first) {
  if (!tree_) return false;
  const std::optional<Status> here = status_of(tree_->root(), entry.path);
  const std::optional<Status> there = status_of(tree_->root(), first.path);
  return here && there && here->device == there->device && here->inode == there->inode;
}

void TakenLinks::make(std::size_t index) {
  const Entry& entry = listing_.entry(index);
  const Entry& first = listing_.entry(entry.same_as - 1);
  if (is_made(entry, first)) {
    ++voice_.report().unchanged;
    return;
  }
  if (!dry_run_ && !attempt(voice_, entry.path, [&] {
        if (listing_.replaces_directory(index) &&
            tree_->remove(entry.path, EntryType::directory) == Tree::Removal::not_empty)
          throw FileError("replace the directory", entry.path, ENOTEMPTY);
        tree_->link_file(entry.path, *tree_->root().directory(parent_of(first.path)), std::string(name_of(first.path)),
                         true);
      }))
    return;
  listing_.say(voice_, Note::Kind::hard_link, index, listing_.changes(index), first.path);
}

} // namespace trunkline::sync

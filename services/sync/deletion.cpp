#include "services/sync/deletion.hpp"

#include "services/sync/attempt.hpp"
#include "services/sync/path.hpp"

#include <stdexcept>
#include <string>
#include <utility>

namespace trunkline::sync {
namespace {

constexpr std::size_t entries_between_yields = 64;

} // namespace

awaitable<void> Deletion::run(std::vector<Extra> extras, std::string why_not) {
  if (!options_.delete_extra) co_return;
  if (!extras.empty() && !why_not.empty()) {
    voice_.note(Note::Kind::skipped, "", "nothing is deleted: " + why_not);
    co_return;
  }
  protect(extras);
  std::size_t count = 0;
  for (auto extra = extras.rbegin(); extra != extras.rend(); ++extra) { // what is in a directory before the directory
    if (++count % entries_between_yields == 0) co_await voice_.breath();
    remove(*extra);
  }
  const std::uint64_t left = voice_.report().not_deleted;
  if (left > 0)
    voice_.note(
        Note::Kind::skipped, "",
        std::to_string(left) + " more are not deleted: the limit is " + std::to_string(*options_.deletions_max));
}

void Deletion::remove(const Extra& extra) {
  if (options_.deletions_max && done_count_ >= *options_.deletions_max) { // and what holds it comes later
    ++voice_.report().not_deleted;
    return;
  }
  const bool is_kept = survey_.keeps(extra.path);
  auto removal = is_kept ? Tree::Removal::not_empty : Tree::Removal::removed;
  if (!is_kept && !options_.dry_run &&
      !attempt(voice_, extra.path, [&] { removal = tree_->remove(extra.path, extra.type); }))
    return;
  if (removal == Tree::Removal::removed) {
    ++done_count_;
    Note note;
    note.kind = Note::Kind::deleted;
    note.path = extra.path;
    note.type = extra.type;
    voice_.note(std::move(note));
  } else if (removal == Tree::Removal::not_empty) {
    voice_.note(Note::Kind::skipped, extra.path,
                is_kept ? "not deleted, something that is left alone is in it" : "not deleted, something new is in it");
  }
}

/// Takes out of what is not in the source whatever a rule protects, or has a name there that does not come, with
/// everything in it, and keeps what holds that.
void Deletion::protect(std::vector<Extra>& extras) {
  const auto read = [this](const std::string& directory, const std::string& name) {
    return tree_ ? read_small_file(tree_->root(), directory, name, Filter::file_bytes_max + 1) : std::nullopt;
  };
  std::string kept; // the last directory that is protected
  std::string deleted; // the last one that is not, to tell what is in it
  std::erase_if(extras, [&](const Extra& extra) {
    const bool is_directory = extra.type == EntryType::directory;
    if (!kept.empty() && is_below(extra.path, kept)) return true;
    const bool is_in_deleted = !deleted.empty() && is_below(extra.path, deleted);
    try { // a directory that is deleted has a say about what is in it, too
      rules_.enter_all(std::string(parent_of(extra.path)), read);
    } catch (const std::invalid_argument& refused) {
      throw Failure(Failure::Kind::denied, refused.what());
    }
    if (survey_.leaves_alone(extra.path) || filter_.protects(extra.path, is_directory, rules_, is_in_deleted)) {
      survey_.keep_what_holds(extra.path);
      if (is_directory) kept = extra.path;
      return true;
    }
    if (is_directory && !is_in_deleted) deleted = extra.path;
    return false;
  });
}

} // namespace trunkline::sync

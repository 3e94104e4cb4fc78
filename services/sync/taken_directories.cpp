#include "services/sync/taken_directories.hpp"

#include "services/sync/attempt.hpp"
#include "services/sync/path.hpp"

#include <string>

namespace trunkline::sync {
namespace {

constexpr std::size_t entries_between_yields = 64;

} // namespace

void TakenDirectories::take(std::size_t index, Decision decision) {
  const Entry& entry = listing_.entry(index);
  if (decision.step == Step::make_directory) {
    const bool in_the_way = decision.in_the_way != InTheWay::nothing;
    if (!dry_run_ && !attempt(voice_, entry.path, [&] { tree_->make_directory(entry, in_the_way); })) {
      closed_ = index;
      return;
    }
    listing_.say(voice_, Note::Kind::directory, index, listing_.changes(index));
  } else {
    // Its mode may be the one that it will have: only one that shuts out its owner is in the way now.
    const bool has_to_open = decision.step == Step::set_attributes || (entry.mode & 0700) != 0700;
    if (!dry_run_ && has_to_open && !attempt(voice_, entry.path, [&] { tree_->open_directory(entry); })) {
      closed_ = index;
      return;
    }
  }
  if (!dry_run_) {
    open_.push_back({index, decision.step});
  } else if (decision.step != Step::make_directory) {
    count(index, decision.step);
  }
}

void TakenDirectories::count(std::size_t index, Step step) {
  if (step == Step::none) ++voice_.report().unchanged;
  if (step == Step::set_attributes) listing_.say(voice_, Note::Kind::attributes, index, listing_.changes(index));
}

bool TakenDirectories::shuts_out(const Entry& entry) {
  if (!closed_) return false;
  if (!is_below(entry.path, listing_.entry(*closed_).path)) {
    end();
    return false;
  }
  ++shut_out_count_;
  return true;
}

void TakenDirectories::end() {
  if (closed_ && shut_out_count_ > 0)
    voice_.note(Note::Kind::skipped, listing_.entry(*closed_).path,
                std::to_string(shut_out_count_) + " entries in it, which cannot be entered");
  closed_.reset();
  shut_out_count_ = 0;
}

awaitable<void> TakenDirectories::finish() {
  if (dry_run_) co_return;
  std::size_t counted = 0;
  for (auto index = open_.rbegin(); index != open_.rend(); ++index) {
    const Entry& entry = listing_.entry(index->first);
    if (++counted % entries_between_yields == 0) co_await voice_.breath();
    if (attempt(voice_, entry.path, [&] { tree_->finish_directory(entry); })) count(index->first, index->second);
  }
  if (tree_) tree_->shut_again();
}

} // namespace trunkline::sync

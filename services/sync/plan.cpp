#include "services/sync/plan.hpp"

#include "services/sync/path.hpp"
#include "services/sync/report.hpp"

namespace trunkline::sync {

Decision Planner::next(const Entry& wanted) {
  found_ = nullptr;
  while (at_ < have_.size()) {
    const int order = compare_paths(have_[at_].path, wanted.path);
    if (order > 0) break;
    if (order == 0) {
      found_ = &have_[at_];
      return compare(wanted, at_++);
    }
    extras_.push_back(at_++);
  }
  switch (wanted.type) {
    case EntryType::directory: return {Step::make_directory};
    case EntryType::symlink: return {Step::make_symlink};
    case EntryType::file:
    case EntryType::other: break;
  }
  return {Step::send_file};
}

Decision Planner::compare(const Entry& wanted, std::size_t index) const {
  const Entry& here = have_[index];
  const std::uint32_t mode = wanted.mode & mode_bits;
  const bool attributes_differ = wanted.mtime != here.mtime || (wanted.type != EntryType::symlink && mode != here.mode);
  Decision decision;
  if (wanted.type == here.type) {
    decision.step = attributes_differ ? Step::set_attributes : Step::none;
    switch (wanted.type) {
      case EntryType::directory:
      case EntryType::other: break;
      case EntryType::symlink:
        if (wanted.target != here.target) decision.step = Step::make_symlink;
        break;
      case EntryType::file:
        if (wanted.size != here.size || (!checksum_ && wanted.mtime != here.mtime)) {
          decision.step = Step::send_file;
        } else if (checksum_) {
          decision.step = Step::compare_file;
          decision.attributes_differ = attributes_differ;
        }
        break;
    }
    return decision;
  }
  decision.in_the_way = InTheWay::other;
  if (here.type == EntryType::directory) {
    const bool full = index + 1 < have_.size() && is_below(have_[index + 1].path, here.path);
    decision.in_the_way = full ? InTheWay::full_directory : InTheWay::empty_directory;
  }
  switch (wanted.type) {
    case EntryType::directory: decision.step = Step::make_directory; break;
    case EntryType::symlink: decision.step = Step::make_symlink; break;
    case EntryType::file:
    case EntryType::other: decision.step = Step::send_file; break;
  }
  return decision;
}

std::vector<std::size_t> Planner::extras() {
  while (at_ < have_.size()) extras_.push_back(at_++);
  return std::move(extras_);
}

bool is_passed_over(const Options& options, const Entry& entry, const Entry* here) noexcept {
  const bool is_directory = entry.type == EntryType::directory;
  if (options.existing && !here) return true;
  if (options.ignore_existing && here && !(is_directory && here->type == EntryType::directory)) return true;
  if (entry.type != EntryType::file) return false;
  if (options.size_max && entry.size > *options.size_max) return true;
  if (options.size_min && entry.size < *options.size_min) return true;
  return options.update && here && here->type == EntryType::file && entry.mtime.seconds < here->mtime.seconds;
}

std::uint8_t changes_of(const Entry& entry, const Entry* here, const Decision& decision) noexcept {
  if (!here || here->type != entry.type) return Changes::is_new;
  std::uint8_t changes = 0;
  if (entry.type == EntryType::file && entry.size != here->size) changes |= Changes::size;
  if (entry.mtime != here->mtime) changes |= Changes::time;
  if (entry.type != EntryType::symlink && (entry.mode & mode_bits) != here->mode) changes |= Changes::mode;
  if (decision.step == Step::compare_file || decision.step == Step::make_symlink) changes |= Changes::content;
  return changes;
}

bool is_same_file(const Entry& entry, const Status& found) noexcept {
  return found.is_file() && found.size == entry.size && found.mtime == entry.mtime &&
         (found.mode & 07777) == (entry.mode & mode_bits);
}

Plan plan(const std::vector<Entry>& wanted, const std::vector<Entry>& have, bool checksum) {
  Planner planner(have, checksum);
  Plan plan;
  plan.decisions.reserve(wanted.size());
  for (const Entry& entry : wanted) plan.decisions.push_back(planner.next(entry));
  plan.extras = planner.extras();
  return plan;
}

} // namespace trunkline::sync

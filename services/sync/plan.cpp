#include "services/sync/plan.hpp"

#include "services/sync/path.hpp"
#include "services/sync/report.hpp"

#include <cassert>
#include <utility>

namespace trunkline::sync {

namespace {

Step make(EntryType type) {
  switch (type) {
    case EntryType::directory: return Step::make_directory;
    case EntryType::symlink: return Step::make_symlink;
    case EntryType::other: return Step::make_special;
    case EntryType::file: break;
  }
  return Step::send_file;
}

/// What differs of the attributes that an entry is to have, see Changes.
std::uint8_t attribute_changes(const Entry& entry, const Entry& here, bool xattrs) {
  std::uint8_t changes = 0;
  if (entry.mtime != here.mtime) changes |= Changes::time;
  if (entry.type != EntryType::symlink && entry.mode != here.mode) changes |= Changes::mode;
  if (entry.keeps_owner && entry.owner != here.owner) changes |= Changes::owner;
  if (entry.keeps_group && entry.group != here.group) changes |= Changes::group;
  if (xattrs && entry.xattrs != here.xattrs) changes |= Changes::xattrs;
  return changes;
}

} // namespace

void Planner::add(std::optional<Entry> here) {
  if (here) {
    ahead_.push_back(std::move(*here));
  } else {
    has_end_ = true;
  }
}

/// The first one that is here is in no listing there.
void Planner::pass() {
  if (keeps_extras_) {
    extras_bytes_ += sizeof(Extra) + ahead_.front().path.size();
    extras_.push_back({std::move(ahead_.front().path), ahead_.front().type});
  }
  ahead_.pop_front();
}

bool Planner::lacks(std::string_view path) {
  while (!ahead_.empty()) {
    const int order = compare_paths(ahead_.front().path, path);
    if (order > 0) return false;
    // What follows a directory tells whether something is in it.
    if (order == 0) return !has_end_ && ahead_.front().type == EntryType::directory && ahead_.size() == 1;
    pass();
  }
  return !has_end_;
}

bool Planner::lacks_end() {
  while (!ahead_.empty()) pass();
  return !has_end_;
}

Decision Planner::next(const Entry& wanted) {
  assert(!lacks(wanted.path));
  found_.reset();
  if (ahead_.empty() || compare_paths(ahead_.front().path, wanted.path) != 0) return {make(wanted.type)};
  found_ = std::move(ahead_.front());
  ahead_.pop_front();
  return compare(wanted);
}

Decision Planner::compare(const Entry& wanted) const {
  const Entry& here = *found_;
  Decision decision;
  if (wanted.type == here.type) {
    const bool attributes_differ = attribute_changes(wanted, here, xattrs_.any()) != 0;
    decision.step = attributes_differ ? Step::set_attributes : Step::none;
    switch (wanted.type) {
      case EntryType::directory: break;
      case EntryType::other:
        if (wanted.special_mode != here.special_mode || wanted.device != here.device)
          decision.step = Step::make_special;
        break;
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
    const bool full = !ahead_.empty() && is_below(ahead_.front().path, here.path);
    decision.in_the_way = full ? InTheWay::full_directory : InTheWay::empty_directory;
  }
  decision.step = make(wanted.type);
  return decision;
}

bool is_passed_over(const Options& options, const Entry& entry, const Entry* here) noexcept {
  const bool is_directory = entry.type == EntryType::directory;
  if (options.existing && !here) return true;
  if (options.ignore_existing && here && !(is_directory && here->type == EntryType::directory)) return true;
  if (entry.type != EntryType::file) return false;
  if (options.size_max && entry.size > *options.size_max) return true;
  if (options.size_min && entry.size < *options.size_min) return true;
  if (options.append && here && here->type == EntryType::file && here->size >= entry.size) return true;
  return options.update && here && here->type == EntryType::file && entry.mtime.seconds < here->mtime.seconds;
}

std::uint8_t changes_of(const Entry& entry, const Entry* here, const Decision& decision) noexcept {
  if (!here || here->type != entry.type) return Changes::is_new;
  std::uint8_t changes = 0;
  if (entry.type == EntryType::file && entry.size != here->size) changes |= Changes::size;
  changes |= attribute_changes(entry, *here, !entry.xattrs.empty() || !here->xattrs.empty());
  if (decision.step == Step::compare_file || decision.step == Step::make_symlink) changes |= Changes::content;
  return changes;
}

bool is_same_file(const Entry& entry, const Status& found) noexcept {
  return found.is_file() && found.size == entry.size && found.mtime == entry.mtime &&
         (found.mode & 07777) == entry.mode && (!entry.keeps_owner || found.owner == entry.owner) &&
         (!entry.keeps_group || found.group == entry.group);
}

Plan plan(const std::vector<Entry>& wanted, const std::vector<Entry>& have, bool checksum) {
  Planner planner(checksum);
  auto next = have.begin();
  const auto add_one = [&] { planner.add(next == have.end() ? std::nullopt : std::optional<Entry>(*next++)); };
  Plan plan;
  plan.decisions.reserve(wanted.size());
  for (const Entry& entry : wanted) {
    while (planner.lacks(entry.path)) add_one();
    plan.decisions.push_back(planner.next(entry));
  }
  while (planner.lacks_end()) add_one();
  for (const Extra& extra : planner.take_extras()) plan.extras.push_back(extra.path);
  return plan;
}

} // namespace trunkline::sync

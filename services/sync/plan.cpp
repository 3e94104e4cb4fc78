#include "services/sync/plan.hpp"

#include "services/sync/path.hpp"

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

Plan plan(const std::vector<Entry>& wanted, const std::vector<Entry>& have, bool checksum) {
  Planner planner(have, checksum);
  Plan plan;
  plan.decisions.reserve(wanted.size());
  for (const Entry& entry : wanted) plan.decisions.push_back(planner.next(entry));
  plan.extras = planner.extras();
  return plan;
}

} // namespace trunkline::sync

#include "peer/channel/remotes.hpp"

#include <algorithm>
#include <vector>

namespace trunkline {

RemotePointer Remotes::get(const NodeId& id) {
  RemotePointer& entry = remotes_[id];
  if (entry) return entry;
  entry = std::make_shared<Remote>(id);
  entry->used = clock_.now();
  const RemotePointer made = entry; // held here, so that it is not forgotten at once
  if (remotes_.size() > remembered_max_) forget_some();
  return made;
}

RemotePointer Remotes::find(const NodeId& id) const {
  const auto found = remotes_.find(id);
  return found == remotes_.end() ? nullptr : found->second;
}

void Remotes::wake_all() {
  for (const auto& [id, remote] : remotes_) remote->changed.notify_all();
}

/// Forgets half of the unused ones, the longest unused first, so that this is not repeated for each new one.
void Remotes::forget_some() {
  std::vector<RemotePointer> unused;
  for (const auto& [id, entry] : remotes_)
    if (entry.use_count() == 1 && entry->busy == 0 && entry->circuits_in == 0 && !entry->connecting &&
        entry->lines.empty() && entry->retiring.empty() && !node_.link_with(id))
      unused.push_back(entry);
  std::sort(unused.begin(), unused.end(), [](const auto& one, const auto& other) { return one->used < other->used; });
  unused.resize((unused.size() + 1) / 2);
  for (const RemotePointer& entry : unused) remotes_.erase(entry->id);
}

} // namespace trunkline

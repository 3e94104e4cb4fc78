#include "peer/channel/link_changes.hpp"

namespace trunkline {

NodeOptions LinkChanges::reporting_to(std::shared_ptr<LinkChanges> changes, NodeOptions options) {
  options.on_link = [changes = std::move(changes), theirs = options.on_link](LinkChange change, const LinkInfo& link) {
    if (theirs) theirs(change, link);
    if (changes->is_stopped_) return;
    changes->pending_.emplace_back(change, link);
    changes->changed_.notify_all();
  };
  return options;
}

std::optional<LinkChanges::Change> LinkChanges::next() {
  if (pending_.empty()) return std::nullopt;
  std::optional<Change> change(std::move(pending_.front()));
  pending_.pop_front();
  return change;
}

awaitable<void> LinkChanges::wait() {
  while (pending_.empty()) co_await changed_.wait();
}

} // namespace trunkline

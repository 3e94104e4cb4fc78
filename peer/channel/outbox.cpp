#include "peer/channel/outbox.hpp"

#include <iterator>
#include <utility>

namespace trunkline {

Outbox::Place::Place(Outbox& outbox, std::size_t bytes, bool in_order)
    : outbox_(&outbox), bytes_(bytes), in_order_(in_order) {
  if (in_order) here_ = outbox.places_.insert(outbox.places_.end(), this);
  outbox.bytes_ += bytes;
  ++outbox.messages_;
}

bool Outbox::Place::is_next(const Line* line) const noexcept {
  if (!outbox_ || !in_order_ || here_ == outbox_->places_.begin()) return true;
  const Place& before = **std::prev(here_);
  return line && before.line_ == line; // and all before that one do, too
}

void Outbox::Place::enter(const Line* line) noexcept {
  line_ = line;
  if (line) wake_next();
}

void Outbox::Place::leave() noexcept {
  if (!outbox_) return;
  wake_next();
  if (in_order_) outbox_->places_.erase(here_);
  outbox_->bytes_ -= bytes_;
  --outbox_->messages_;
  outbox_ = nullptr;
}

void Outbox::Place::wake_next() noexcept {
  if (!outbox_ || !in_order_) return;
  const auto next = std::next(here_);
  if (next != outbox_->places_.end()) (*next)->changed_.notify_all();
}

} // namespace trunkline

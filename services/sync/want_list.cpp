#include "services/sync/want_list.hpp"

#include "services/sync/messages.hpp"

#include <cassert>
#include <string>
#include <utility>

namespace trunkline::sync {

void WantList::check() const { assert(outstanding_ <= outstanding_max_); }

void WantList::want(std::size_t index, std::optional<Digest> ours) {
  Queued queued;
  queued.index = index;
  queued.ours = std::move(ours);
  queued_.push_back(std::move(queued));
  ask();
}

void WantList::ask() {
  while (!queued_.empty() && outstanding_ < outstanding_max_) {
    const Queued queued = std::move(queued_.front());
    queued_.pop_front();
    ++outstanding_;
    states_[queued.index] = compare_only_ ? State::compared : State::wanted;
    voice_.want(queued.index, queued.ours, compare_only_);
  }
  check();
}

void WantList::end_listing() {
  listing_ended_ = true;
  changed_.notify_all();
}

void WantList::add_circuit() {
  ++circuits_count_;
  if (circuits_count_ > 2 * outstanding_max_)
    throw_protocol(std::to_string(circuits_count_) + " files at once, and " + std::to_string(outstanding_max_) +
                   " were wanted");
}

void WantList::arriving(std::size_t index) {
  if (!is(index, State::wanted)) throw_protocol("entry " + std::to_string(index) + " comes and was not wanted");
  states_[index] = State::arriving;
}

void WantList::again(std::size_t index) {
  states_[index] = State::wanted;
  changed_.notify_all();
}

void WantList::withheld(std::size_t index) const {
  if (!is(index, State::wanted) && !is(index, State::compared))
    throw_protocol("entry " + std::to_string(index) + " is withheld and was not wanted");
}

void WantList::different(std::size_t index) const {
  withheld(index);
  if (!is(index, State::compared)) throw_protocol("a comparison that nobody asked for");
}

void WantList::resolve(std::size_t index) {
  states_[index] = State::resolved;
  --outstanding_;
  ask();
  changed_.notify_all();
}

awaitable<void> WantList::last_arrival(std::size_t index) {
  while (is(index, State::arriving)) co_await changed_.wait();
}

awaitable<void> WantList::all_resolved() {
  while (!listing_ended_ || outstanding_ > 0) co_await changed_.wait();
}

} // namespace trunkline::sync

#include "services/sync/want_list.hpp"

#include "async/clock.hpp"
#include "services/sync/messages.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <string>
#include <utility>

namespace trunkline::sync {
namespace {

/// How long a file is left to another sync that does not get on.
constexpr Duration patience = std::chrono::seconds(1);

} // namespace

void WantList::check() const { assert(outstanding_ <= outstanding_max_); }

void WantList::expect(std::size_t index) {
  unresolved_.insert(index);
  ++expected_count_;
}

void WantList::want_expected(std::size_t index, std::optional<Digest> ours) {
  --expected_count_;
  want(index, std::move(ours));
}

void WantList::settle_expected(std::size_t index) {
  --expected_count_;
  settle(index);
}

void WantList::want(std::size_t index, std::optional<Digest> ours) {
  unresolved_.insert(index);
  Queued queued;
  queued.index = index;
  queued.ours = std::move(ours);
  queued_.push_back(std::move(queued));
  ask();
}

void WantList::ask() {
  while (!queued_.empty() && outstanding_ < outstanding_max_) {
    Queued queued = std::move(queued_.front());
    queued_.pop_front();
    if (is_there(queued.index)) {
      settle(queued.index);
      continue;
    }
    if (!may_ask(queued)) {
      elsewhere_.push_back(std::move(queued));
      changed_.notify_all();
      continue;
    }
    ++outstanding_;
    states_[queued.index] = compare_only_ ? State::compared : State::wanted;
    if (!queued.ours && asks_ && asks_(queued.index)) continue;
    if (queued.ours) {
      voice_.compare(queued.index, *queued.ours, compare_only_, seed_);
    } else {
      voice_.want(queued.index);
    }
  }
  check();
}

WantList::~WantList() {
  for (const auto& [index, key] : claimed_) budgets_->claims.release(key);
}

void WantList::look_again(std::function<bool(std::size_t)> is_there, std::function<std::string(std::size_t)> key) {
  is_there_ = std::move(is_there);
  key_ = std::move(key);
}

bool WantList::may_ask(const Queued& queued) {
  if (!key_ || queued.ours) return true; // what is compared will most likely not come
  std::string key = key_(queued.index);
  if (!budgets_->claims.claim(key)) return impatient_;
  claimed_.emplace(queued.index, std::move(key));
  return true;
}

void WantList::release(std::size_t index) {
  const auto claimed = claimed_.extract(index);
  if (claimed) budgets_->claims.release(claimed.mapped());
}

/// The others go in about the same order, so that what waits longest is free first. One that is slow, or waits for
/// something itself, holds nobody up for longer than the patience.
awaitable<void> WantList::revisit() {
  using namespace asio::experimental::awaitable_operators;
  for (;;) {
    while (elsewhere_.empty()) co_await changed_.wait();
    const auto first = co_await (budgets_->claims.released().wait() || sleep_for(patience));
    impatient_ = first.index() == 1;
    while (!elsewhere_.empty() && (impatient_ || !budgets_->claims.is_claimed(key_(elsewhere_.front().index)))) {
      queued_.push_back(std::move(elsewhere_.front()));
      elsewhere_.pop_front();
    }
    ask();
    impatient_ = false;
    changed_.notify_all();
  }
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

void WantList::ask_again(std::size_t index) {
  again(index);
  voice_.want_again(index);
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
  --outstanding_;
  release(index);
  settle(index);
  ask();
}

void WantList::settle(std::size_t index) {
  states_.erase(index);
  unresolved_.erase(index);
  changed_.notify_all();
  if (on_resolved_) on_resolved_(index);
}

std::size_t WantList::resolved_below(std::size_t end) const {
  return unresolved_.empty() ? end : std::min(end, *unresolved_.begin());
}

std::vector<std::size_t> WantList::unresolved(std::size_t begin, std::size_t end) const {
  return {unresolved_.lower_bound(begin), unresolved_.lower_bound(end)};
}

awaitable<void> WantList::last_arrival(std::size_t index) {
  while (is(index, State::arriving)) co_await changed_.wait();
}

awaitable<void> WantList::all_resolved() {
  while (!listing_ended_ || expected_count_ > 0 || outstanding_ > 0 || !queued_.empty() || !elsewhere_.empty()) co_await changed_.wait();
}

} // namespace trunkline::sync

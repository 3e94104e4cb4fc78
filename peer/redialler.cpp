#include "peer/redialler.hpp"

#include "async/clock.hpp"
#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"
#include "peer/node_core.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

namespace trunkline {
namespace {

/// A coroutine that needs an entry to stay.
class Waiting {
 public:
  explicit Waiting(std::size_t& count) : count_(count) { ++count_; }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() { --count_; }

 private:
  std::size_t& count_;
};

constexpr std::string_view node_scheme = "node://";

std::int64_t milliseconds(Duration duration) { return std::chrono::ceil<std::chrono::milliseconds>(duration).count(); }

} // namespace

// What is remembered.

TimePoint Redialler::now() const { return core_.now(); }

TimePoint Redialler::next_attempt(const std::string& address) const {
  const auto found = addresses_.find(address);
  if (found == addresses_.end() || core_.options().redial.initial.count() == 0) return TimePoint::min();
  return found->second->next_attempt;
}

std::shared_ptr<Redialler::Address> Redialler::entry_of(const std::string& address) {
  std::shared_ptr<Address> entry;
  if (const auto found = addresses_.find(address); found != addresses_.end()) {
    entry = found->second;
  } else {
    forget_old();
    entry = addresses_.emplace(address, std::make_shared<Address>()).first->second;
  }
  return entry;
}

/// Those that were not tried for as long as the longest wait; a failure then is the first one again.
void Redialler::forget_old() {
  if (addresses_.size() < forget_at_) return;
  const Duration kept_for = 2 * std::min(in_nanoseconds(core_.options().redial.maximum), Duration::max() / 2);
  std::erase_if(addresses_, [&](const Addresses::value_type& each) {
    const Address& entry = *each.second;
    return entry.waiting == 0 && !entry.is_kept && now() - entry.next_attempt > kept_for;
  });
  forget_at_ = std::max<std::size_t>(64, 2 * addresses_.size());
}

/// A node without a backoff leaves it to the program how fast it dials; it does not dial that fast by itself.
Backoff Redialler::backoff() const {
  const Backoff& chosen = core_.options().redial;
  return chosen.initial.count() == 0 ? Backoff() : chosen;
}

void Redialler::add_failure(Address& entry, std::string failure) {
  ++entry.failures;
  entry.failure = std::move(failure);
  entry.next_attempt = entry.next_own_attempt = now() + backoff().after(entry.failures, core_.options().random);
}

void Redialler::note_open(NodeLink& link) {
  link.opened_at = now();
  if (const auto found = std::ranges::find(lost_, link.node_id); found != lost_.end()) {
    lost_.erase(found);
    link.reconnected = true;
    ++reconnects_;
  }
  notify(link);
}

void Redialler::note_over(const NodeLink& link) {
  if (core_.phase() != NodeCore::Phase::running) return;
  const bool was_open = !link.node_id.empty();
  if (was_open && !core_.trunks().find(link.node_id)) {
    lost_.push_back(link.node_id);
    if (lost_.size() > core_.options().trunks_max) lost_.pop_front();
  }
  note_attempt(link, was_open);
  if (was_open) {
    rest(link.dialled_address());
    for (const std::string& address : link.addresses) rest(address);
  }
  notify(link);
}

/// What a link that we dialled says about its address, now that it is over.
void Redialler::note_attempt(const NodeLink& link, bool was_open) {
  const std::string& address = link.dialled_address();
  if (!link.dialled() || address.starts_with(node_scheme) || link.ended_here) return;
  if (core_.trunks().find(address)) return; // it gave way to another trunk to that node
  if (core_.options().redial.initial.count() == 0 && !addresses_.contains(address)) return;
  const std::shared_ptr<Address> entry = entry_of(address);
  const Duration lived = now() - link.opened_at;
  if (!was_open && now() < entry->next_attempt) return; // it was given up before it dialled
  if (!was_open) {
    add_failure(*entry, link.end().words());
  } else if (lived < backoff().initial) {
    // A connection that ends as soon as it is made counts like one that was not made, whatever reason the far side
    // gives: it may turn us away.
    add_failure(*entry,
                fmt::format("the connection was over after {} ms: {}", milliseconds(lived), link.end().to_string()));
  } else {
    entry->failures = 0;
    entry->next_attempt = entry->next_own_attempt = now();
  }
}

/// All who keep a connection to a far side lose it at once, so they do not dial at once.
void Redialler::rest(const std::string& address) {
  const auto found = addresses_.find(address);
  if (found == addresses_.end() || core_.trunks().find(address)) return;
  Address& entry = *found->second;
  if (entry.is_kept || entry.waiting > 0)
    entry.next_own_attempt =
        std::max(entry.next_own_attempt, now() + backoff().after(1, core_.options().random));
}

void Redialler::notify(std::string_view name) {
  if (const auto found = addresses_.find(name); found != addresses_.end()) found->second->changed.notify_all();
}

void Redialler::notify(const NodeLink& link) {
  notify(link.dialled_address());
  for (const std::string& address : link.addresses) notify(address);
  if (!link.node_id.empty()) notify(std::string(node_scheme) + link.node_id.to_string());
}

// Waiting and keeping.

/// Returns when `changed` of the entry was notified, at the latest at `until`.
awaitable<void> Redialler::changed(std::shared_ptr<Address> entry, TimePoint until) {
  const auto alarm = Clock::of(core_.executor()).make_alarm(core_.executor());
  if (until != TimePoint::max()) alarm->set(until, [entry] { entry->changed.notify_all(); });
  co_await entry->changed.wait();
}

/// Dials unless that must wait; false when there is something to wait for until entry.next_own_attempt.
bool Redialler::dial_if_due(const std::string& address, const Address& entry) {
  if (now() < entry.next_own_attempt) return false;
  bool dialled = false;
  core_.link_to(address, dialled);
  return true;
}

awaitable<LinkInfo> Redialler::wait_for(std::shared_ptr<NodeCore> core, std::string address, Duration deadline) {
  core->home().check("Node::wait_for_connection");
  core->check_running();
  Redialler& self = core->redialler();
  const bool can_dial = !address.starts_with(node_scheme); // such a node may come by itself
  if (can_dial) medium_for(core->options().media, address);
  const TimePoint begin = self.now();
  const TimePoint due = deadline < TimePoint::max() - begin ? begin + deadline : TimePoint::max();
  const std::shared_ptr<Address> entry = self.entry_of(address);
  const Waiting waiting(entry->waiting);
  for (;;) {
    core->check_running();
    const std::shared_ptr<NodeLink> link = core->trunks().find(address);
    if (link && link->phase() == Link::Phase::open) co_return NodeCore::info_of(*link);
    if (self.now() >= due)
      throw_error(error::timed_out,
                  fmt::format("no connection to {} within {} ms{}{}", address, milliseconds(deadline),
                              entry->failures == 0 ? "" : "; the last attempt: ",
                              entry->failures == 0 ? "" : entry->failure));
    TimePoint until = due;
    if (!link && can_dial && !self.dial_if_due(address, *entry)) until = std::min(until, entry->next_own_attempt);
    co_await self.changed(entry, until);
    co_await throw_if_cancelled();
  }
}

void Redialler::keep(std::string address) {
  core_.check_running();
  if (address.starts_with(node_scheme))
    throw_error(error::connect_failed,
                address + " cannot be kept connected: a node that listens nowhere cannot be dialled");
  medium_for(core_.options().media, address);
  const std::shared_ptr<Address> entry = entry_of(address);
  entry->is_kept = true;
  if (std::exchange(entry->has_keeper, true)) return;
  core_.spawn(run_keeper(core_.shared_from_this(), std::move(address), entry));
}

awaitable<void> Redialler::run_keeper(std::shared_ptr<NodeCore> core, std::string address,
                                      std::shared_ptr<Address> entry) {
  Redialler& self = core->redialler();
  const Waiting waiting(entry->waiting);
  while (entry->is_kept && core->phase() == NodeCore::Phase::running) {
    TimePoint until = TimePoint::max();
    try {
      if (!core->trunks().find(address) && !self.dial_if_due(address, *entry)) until = entry->next_own_attempt;
    } catch (...) { // of the program's dialect, or no memory: an attempt that failed
      std::string words = words_of(std::current_exception());
      core->log("keep", LogLevel::warning, fmt::format("{} cannot be dialled: {}", address, words));
      self.add_failure(*entry, std::move(words));
      until = entry->next_own_attempt;
    }
    co_await self.changed(entry, until);
  }
  entry->has_keeper = false;
}

void Redialler::stop_keeping(std::string_view address) {
  const auto found = addresses_.find(address);
  if (found == addresses_.end()) return;
  found->second->is_kept = false;
  found->second->changed.notify_all();
}

std::vector<std::string> Redialler::kept() const {
  std::vector<std::string> addresses;
  for (const auto& [address, entry] : addresses_)
    if (entry->is_kept) addresses.push_back(address);
  return addresses;
}

void Redialler::stop() {
  for (const auto& [address, entry] : addresses_) {
    entry->is_kept = false;
    entry->changed.notify_all();
  }
}

} // namespace trunkline

#include "async/component/group.hpp"

#include "async/within.hpp"
#include "fragment/deadline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <set>
#include <stdexcept>
#include <utility>

namespace trunkline {
namespace {

using namespace asio::experimental::awaitable_operators;

} // namespace

ComponentGroup::ComponentGroup(Executor executor, std::string name, std::vector<std::shared_ptr<Component>> children,
                               ComponentGroupOptions options)
    : Component(executor, std::move(name)), children_(std::move(children)), options_(std::move(options)),
      tasks_(executor) {
  std::set<const Component*> seen;
  for (const auto& child : children_) {
    if (!child) throw std::invalid_argument("group " + this->name() + " has a child that is null");
    if (!seen.insert(child.get()).second)
      throw std::invalid_argument("group " + this->name() + " has its child " + child->name() + " twice");
  }
}

std::vector<std::string> ComponentGroup::late() const {
  std::vector<std::string> names;
  if (is_done()) return names;
  for (const auto& child : children_)
    if (stopping_ ? !child->is_done() : !child->is_ready()) names.push_back(child->name());
  return names;
}

bool ComponentGroup::all_ready() const noexcept {
  return std::all_of(children_.begin(), children_.end(), [](const auto& child) { return child->is_ready(); });
}

bool ComponentGroup::all_done() const noexcept {
  return std::all_of(children_.begin(), children_.end(), [](const auto& child) { return child->is_done(); });
}

void ComponentGroup::start_cancelled(const std::shared_ptr<Scope>& scope) {
  for (const auto& child : children_) child->start(scope);
}

awaitable<void> ComponentGroup::watch(std::shared_ptr<Component> child) {
  co_await child->ready_or_done();
  changed_.notify_all();
  co_await child->done();
  changed_.notify_all();
}

void ComponentGroup::watch_lateness() {
  alarm_->set(after(Clock::of(executor()).now(), options_.late_after), [this] {
    if (is_done() || (is_ready() && !stopping_)) return;
    std::string names;
    for (const std::string& name_of_child : late()) names += (names.empty() ? "" : ", ") + name_of_child;
    if (options_.on_late && !names.empty())
      options_.on_late(fmt::format("group {} waits for {} to be {}", name(), names, stopping_ ? "done" : "ready"));
    watch_lateness();
  });
}

awaitable<void> ComponentGroup::run(std::shared_ptr<Scope> scope) {
  struct Disarm {
    std::unique_ptr<Alarm>& alarm;
    ~Disarm() { alarm.reset(); }
  } disarm{alarm_};
  if (options_.startup) {
    std::exception_ptr failure;
    try {
      co_await scope->run(options_.startup());
    } catch (...) {
      failure = std::current_exception();
    }
    if (failure) {
      const std::shared_ptr<Scope> over =
          Scope::make_below(scope); // no coroutine may wait for a child that never starts
      over->cancel();
      start_cancelled(over);
      std::rethrow_exception(failure);
    }
  }

  alarm_ = Clock::of(executor()).make_alarm(executor());
  watch_lateness();
  std::vector<std::shared_ptr<Scope>> scopes; // each child is cancelled for itself, in order
  for (const auto& child : children_) {
    scopes.push_back(Scope::make_below(scope));
    tasks_.spawn(watch(child));
    child->start(scopes.back());
  }
  while (!all_ready() && !scope->is_cancelled()) co_await (changed_.wait() || scope->cancelled());
  if (!scope->is_cancelled()) {
    set_ready();
    co_await scope->cancelled();
  }
  stopping_ = true;
  co_await stop(scopes);
}

awaitable<void> ComponentGroup::stop(const std::vector<std::shared_ptr<Scope>>& scopes) {
  watch_lateness();
  std::exception_ptr failure;
  try {
    if (options_.shutdown) co_await options_.shutdown();
  } catch (...) {
    failure = std::current_exception(); // the children are stopped all the same
  }
  for (std::size_t i = children_.size(); i-- > 0;) {
    scopes[i]->cancel();
    const TimePoint due = after(Clock::of(executor()).now(), options_.stop_deadline);
    while (!children_[i]->is_done() && Clock::of(executor()).now() < due)
      co_await (changed_.wait() || sleep_until(due));
  }
  while (!all_done()) co_await changed_.wait();
  co_await tasks_.join();
  if (failure) std::rethrow_exception(failure);
}

} // namespace trunkline

#include "async/component/component.hpp"

#include "async/within.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <stdexcept>
#include <utility>

namespace trunkline {

// Scope.

std::shared_ptr<Scope> Scope::make_root(Report report) {
  std::shared_ptr<Scope> scope(new Scope());
  scope->report_ = std::move(report);
  return scope;
}

std::shared_ptr<Scope> Scope::make_below(std::shared_ptr<FailureSink> parent) {
  std::shared_ptr<Scope> scope(new Scope());
  scope->parent_ = std::move(parent);
  return scope;
}

std::shared_ptr<Scope> Scope::child() {
  const std::shared_ptr<Scope> made = make_below(shared_from_this());
  if (is_cancelled_) made->cancel();
  std::erase_if(children_, [](const auto& weak) { return weak.expired(); });
  children_.push_back(made);
  return made;
}

void Scope::cancel() noexcept {
  if (std::exchange(is_cancelled_, true)) return;
  changed_.notify_all();
  for (const auto& weak : std::exchange(children_, {}))
    if (const auto below = weak.lock()) below->cancel();
}

awaitable<void> Scope::cancelled() {
  const auto self = shared_from_this();
  while (!self->is_cancelled_) co_await self->changed_.wait();
}

awaitable<void> Scope::run(awaitable<void> op) {
  using namespace asio::experimental::awaitable_operators;
  const auto self = shared_from_this();
  if (self->is_cancelled_) throw boost::system::system_error(asio::error::operation_aborted);
  const auto first = co_await (outcome_of(std::move(op)) || self->cancelled());
  if (first.index() == 1) throw boost::system::system_error(asio::error::operation_aborted);
  if (std::get<0>(first).failure) std::rethrow_exception(std::get<0>(first).failure);
}

void Scope::irrecoverable(const std::string& component, std::exception_ptr failure) noexcept {
  if (parent_) return parent_->irrecoverable(component, std::move(failure));
  const auto keep = shared_from_this();
  try {
    if (report_) report_(component, std::move(failure));
  } catch (...) {
    // There is no one above a sink that throws; the tree stops all the same.
  }
  cancel();
}

// Component.

void Component::start(std::shared_ptr<Scope> scope) {
  if (std::exchange(life_->started, true))
    return scope->irrecoverable(
        name_, std::make_exception_ptr(std::logic_error("component " + name_ + " was started a second time")));
  if (scope->is_cancelled()) {
    start_cancelled(scope);
    life_->done = true;
    life_->changed.notify_all();
    return;
  }
  tasks_.spawn(live(shared_from_this(), std::move(scope)));
}

awaitable<void> Component::live(std::shared_ptr<Component> self, std::shared_ptr<Scope> scope) {
  std::exception_ptr failure;
  try {
    if (scope->is_cancelled()) { // since the start
      self->start_cancelled(scope);
    } else {
      co_await self->run(scope);
    }
  } catch (...) {
    failure = std::current_exception();
  }
  const auto life = self->life_;
  life->done = true;
  life->changed.notify_all();
  if (!failure) co_return;
  if (scope->is_cancelled()) {
    try {
      std::rethrow_exception(failure);
    } catch (const boost::system::system_error& thrown) {
      if (thrown.code() == asio::error::operation_aborted) co_return; // it was told to end, and did
    } catch (...) {}
  }
  scope->irrecoverable(self->name_, failure);
}

void Component::set_ready() noexcept {
  life_->ready = true;
  life_->changed.notify_all();
}

awaitable<void> Component::wait_ready(std::shared_ptr<Life> life) {
  while (!life->ready) co_await life->changed.wait();
}

awaitable<void> Component::wait_done(std::shared_ptr<Life> life) {
  while (!life->done) co_await life->changed.wait();
}

awaitable<bool> Component::wait_either(std::shared_ptr<Life> life) {
  while (!life->ready && !life->done) co_await life->changed.wait();
  co_return life->ready;
}

awaitable<void> FunctionComponent::run(std::shared_ptr<Scope> scope) {
  std::function<void()> ready = [this] { set_ready(); };
  co_await function_(std::move(ready), std::move(scope));
}

} // namespace trunkline

// The parts of a process as a tree of components: each is started once, becomes ready, and is done. An error that a
// component cannot recover from goes up to the root, which stops the tree in order; nothing here ends the process.
#pragma once

#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "async/types.hpp"

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

/// Receives the errors that a component cannot recover from.
class FailureSink {
 public:
  virtual ~FailureSink() = default;
  /// `component` is the name of the component that failed. Must not throw.
  virtual void irrecoverable(const std::string& component, std::exception_ptr failure) noexcept = 0;
};

/// Given to a component at its start: tells it when to end, and receives its irrecoverable errors. One executor; not
/// thread safe.
class Scope final : public FailureSink, public std::enable_shared_from_this<Scope> {
 public:
  using Report = std::function<void(const std::string& component, std::exception_ptr failure)>;

  /// The root of a tree. The first irrecoverable error below it is reported and then cancels the root; later errors,
  /// which follow from the stop, are only reported.
  static std::shared_ptr<Scope> make_root(Report report);
  /// A scope that is not cancelled with its parent, for an owner that stops its parts in its own order. Errors go to
  /// `parent`.
  static std::shared_ptr<Scope> make_below(std::shared_ptr<FailureSink> parent);
  /// A scope that is cancelled with this one, or alone before.
  std::shared_ptr<Scope> child();

  /// Idempotent; waiting coroutines are resumed later, never inline.
  void cancel() noexcept;
  bool is_cancelled() const noexcept { return is_cancelled_; }
  /// Waits until this scope is cancelled.
  awaitable<void> cancelled();
  /// Runs `op`. When this scope is cancelled first, cancels `op` and throws operation_aborted.
  awaitable<void> run(awaitable<void> op);

  /// Passes the error up to the root.
  void irrecoverable(const std::string& component, std::exception_ptr failure) noexcept override;

 private:
  Scope() = default;

  std::shared_ptr<FailureSink> parent_; // null for the root
  Report report_; // of the root
  bool is_cancelled_ = false;
  std::vector<std::weak_ptr<Scope>> children_;
  Signal changed_;
};

/// A part of a process that is started once, becomes ready, and is done. Owned by shared_ptr; its running coroutine
/// keeps it alive. One executor; not thread safe.
class Component : public std::enable_shared_from_this<Component> {
 public:
  virtual ~Component() = default;
  Component(const Component&) = delete;
  Component& operator=(const Component&) = delete;

  const std::string& name() const noexcept { return name_; }
  const Executor& executor() const noexcept { return executor_; }

  /// Starts the component and returns at once. When the scope is cancelled already, nothing runs and the component is
  /// done. A second start changes nothing and is an irrecoverable error of its scope.
  void start(std::shared_ptr<Scope> scope);
  bool is_started() const noexcept { return life_->started; }

  // Any number of coroutines may wait, before or after the event. Waiting changes nothing.
  /// Waits until it is ready. Does not return when it is cancelled or fails first: use `ready_or_done` where that can
  /// happen.
  awaitable<void> ready() { return wait_ready(life_); }
  /// Waits until nothing of it runs any more.
  awaitable<void> done() { return wait_done(life_); }
  /// Waits until it is ready, or done without ever having been ready; true when it has been ready.
  awaitable<bool> ready_or_done() { return wait_either(life_); }
  bool is_ready() const noexcept { return life_->ready; }
  bool is_done() const noexcept { return life_->done; }

 protected:
  Component(Executor executor, std::string name)
      : executor_(std::move(executor)), name_(std::move(name)), tasks_(executor_) {}

  /// Called once, for the whole life of the component: it starts up, calls set_ready, waits until the scope is
  /// cancelled, ends everything that it started, and returns. An exception before the scope is cancelled is
  /// irrecoverable. The coroutine itself is never cancelled.
  virtual awaitable<void> run(std::shared_ptr<Scope> scope) = 0;
  /// Called instead of run when the scope was cancelled before the start, or before the start had its turn.
  virtual void start_cancelled(const std::shared_ptr<Scope>&) {}
  void set_ready() noexcept;

 private:
  struct Life {
    bool started = false;
    bool ready = false;
    bool done = false;
    Signal changed;
  };

  static awaitable<void> live(std::shared_ptr<Component> self, std::shared_ptr<Scope> scope);
  static awaitable<void> wait_ready(std::shared_ptr<Life> life);
  static awaitable<void> wait_done(std::shared_ptr<Life> life);
  static awaitable<bool> wait_either(std::shared_ptr<Life> life);

  Executor executor_;
  std::string name_;
  std::shared_ptr<Life> life_ = std::make_shared<Life>(); // shared with waiting coroutines
  Tasks tasks_;
};

/// A component without state of its own, made of a function: `function(ready, scope)` calls `ready()` once it is ready.
class FunctionComponent final : public Component {
 public:
  using Function = std::function<awaitable<void>(std::function<void()> ready, std::shared_ptr<Scope> scope)>;

  FunctionComponent(Executor executor, std::string name, Function function)
      : Component(std::move(executor), std::move(name)), function_(std::move(function)) {}

 protected:
  awaitable<void> run(std::shared_ptr<Scope> scope) override;

 private:
  Function function_;
};

} // namespace trunkline

// Several components as one: started in parallel, stopped in order.
#pragma once

#include "async/clock.hpp"
#include "async/component/component.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace trunkline {

struct ComponentGroupOptions {
  std::function<awaitable<void>()> startup;  // before the first child is started; an exception is irrecoverable
  std::function<awaitable<void>()> shutdown; // before the first child is stopped; an exception is irrecoverable
  /// How long children may take to become ready, and to be done. After that `on_late` is called with the names of the
  /// late ones, repeatedly.
  std::chrono::milliseconds late_after{5000};
  std::function<void(const std::string& what)> on_late;
  /// How long the stop waits for one child to be done before it goes on to the next.
  std::chrono::milliseconds stop_deadline{10000};

  ComponentGroupOptions() = default;
};

/// Ready when all children are ready, done when all are done; without children it is ready at once. Stops its children
/// from the last to the first, each after the one behind it is done, so that a child may rely on the children before it
/// for its whole life.
class ComponentGroup final : public Component {
 public:
  /// Errors: std::invalid_argument for a null child and for the same child twice.
  ComponentGroup(Executor executor, std::string name, std::vector<std::shared_ptr<Component>> children,
                 ComponentGroupOptions options = ComponentGroupOptions());

  /// The names of the children that are not yet ready; once the group stops, of those that are not yet done.
  std::vector<std::string> late() const;

 protected:
  awaitable<void> run(std::shared_ptr<Scope> scope) override;
  void start_cancelled(const std::shared_ptr<Scope>& scope) override;

 private:
  awaitable<void> watch(std::shared_ptr<Component> child);
  awaitable<void> stop(const std::vector<std::shared_ptr<Scope>>& scopes);
  bool all_ready() const noexcept;
  bool all_done() const noexcept;
  void watch_lateness();

  std::vector<std::shared_ptr<Component>> children_;
  ComponentGroupOptions options_;
  bool stopping_ = false;
  Signal changed_; // a child became ready or done, or it is time to look
  std::unique_ptr<Alarm> alarm_; // of lateness
  Tasks tasks_;
};

} // namespace trunkline

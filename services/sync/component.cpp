#include "services/sync/component.hpp"

#include "async/clock.hpp"
#include "async/first_of.hpp"

#include <utility>

namespace trunkline::sync {

ServiceComponent::ServiceComponent(Executor executor, std::string name, Node& node, ServiceOptions options,
                                   std::chrono::milliseconds stop_deadline)
    : Component(std::move(executor), std::move(name)), node_(node), options_(std::move(options)),
      stop_deadline_(stop_deadline) {}

awaitable<void> ServiceComponent::run(std::shared_ptr<Scope> scope) {
  service_ = Service::register_at(node_, std::move(options_));
  set_ready();
  co_await scope->cancelled();
  service_->refuse_new();
  co_await first_of(service_->drained(), sleep_for(stop_deadline_));
}

} // namespace trunkline::sync

// The sync service of a node as a component.
#pragma once

#include "async/component/component.hpp"
#include "services/sync/service.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace trunkline::sync {

/// Ready when it is registered at the node, which must outlive it: put it behind the node's component in their group.
/// At its end syncs that others ask for are refused, and done is when those that run have ended, or at the deadline;
/// what runs then ends with the node. Once it is done its node serves no other one. Asking others goes through
/// `service`.
class ServiceComponent final : public Component {
 public:
  ServiceComponent(Executor executor, std::string name, Node& node, ServiceOptions options,
                   std::chrono::milliseconds stop_deadline = std::chrono::seconds(30));

  /// Null before it is ready.
  const std::shared_ptr<Service>& service() const noexcept { return service_; }

 protected:
  awaitable<void> run(std::shared_ptr<Scope> scope) override;

 private:
  Node& node_;
  ServiceOptions options_;
  std::chrono::milliseconds stop_deadline_;
  std::shared_ptr<Service> service_;
};

} // namespace trunkline::sync

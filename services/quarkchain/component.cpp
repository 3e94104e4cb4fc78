#include "services/quarkchain/component.hpp"

#include "async/first_of.hpp"

#include <boost/system/system_error.hpp>

#include <exception>
#include <utility>

namespace trunkline::quarkchain {
namespace {

/// Until one is told to end, or has come to its end by itself. Errors: why, unless it was clean.
template <class Node> awaitable<void> live_and_stop(Node& node, std::shared_ptr<Scope> scope, Duration deadline) {
  co_await first_of(scope->cancelled(), node.stopped());
  if (!scope->is_cancelled()) deadline = Duration::zero(); // nothing of it runs any more
  co_await node.stop(deadline);
  const End end = co_await node.stopped();
  if (!end.clean() && !scope->is_cancelled()) throw boost::system::system_error(end.code, end.text);
}

} // namespace

SlaveComponent::SlaveComponent(Executor executor, std::string name, std::shared_ptr<SlaveNode> node,
                               std::chrono::milliseconds stop_deadline)
    : Component(std::move(executor), std::move(name)), node_(std::move(node)), stop_deadline_(stop_deadline) {}

awaitable<void> SlaveComponent::run(std::shared_ptr<Scope> scope) {
  std::exception_ptr failure;
  try {
    address_ = node_->listen();
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await node_->stop(Duration::zero());
    std::rethrow_exception(failure);
  }
  set_ready();
  co_await live_and_stop(*node_, std::move(scope), stop_deadline_);
}

MasterComponent::MasterComponent(Executor executor, std::string name, std::shared_ptr<MasterNode> node,
                                 std::chrono::milliseconds stop_deadline)
    : Component(std::move(executor), std::move(name)), node_(std::move(node)), stop_deadline_(stop_deadline) {}

awaitable<void> MasterComponent::run(std::shared_ptr<Scope> scope) {
  std::exception_ptr failure;
  try {
    co_await scope->run(node_->boot());
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) { // or cancelled: what is booted so far is let go
    co_await node_->stop(Duration::zero());
    std::rethrow_exception(failure);
  }
  set_ready();
  co_await live_and_stop(*node_, std::move(scope), stop_deadline_);
}

} // namespace trunkline::quarkchain

#include "peer/node_component.hpp"

#include "fragment/deadline.hpp"

#include <exception>
#include <utility>

namespace trunkline {

awaitable<void> NodeComponent::run(std::shared_ptr<Scope> scope) {
  std::exception_ptr failure;
  try {
    for (const std::string& address : listen_) node_.listen(address);
    for (const std::string& address : keep_connected_) node_.keep_connected(address);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) {
    set_ready();
    co_await scope->cancelled();
    co_await node_.drain(in_nanoseconds(stop_deadline_));
  }
  co_await node_.close();
  if (failure) std::rethrow_exception(failure);
}

} // namespace trunkline

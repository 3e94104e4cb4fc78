#include "peer/channel/network.hpp"

#include "async/home_thread.hpp"
#include "fragment/quote.hpp"
#include "peer/channel/core.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <exception>
#include <utility>

namespace trunkline {
namespace {

std::string name_of(const NetworkOptions& options) {
  return options.node.name.empty() ? std::string("network") : "network of " + options.node.name;
}

/// As Node does; it costs nothing in builds without assertions.
void check_home([[maybe_unused]] const Network& network, [[maybe_unused]] const char* call) {
#ifndef NDEBUG
  HomeThread::of(network.executor())->check(call);
#endif
}

} // namespace

Network::Network(Executor executor, NetworkOptions options) : Component(executor, name_of(options)) {
  own_scope_ = Scope::make_root([log = options.node.log](const std::string& component, std::exception_ptr failure) {
    if (!log) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& thrown) {
      log(LogLevel::error, escape(component + " stops: " + thrown.what()));
    } catch (...) {
      log(LogLevel::error, escape(component + " stops"));
    }
  });
  core_ = std::make_shared<NetworkCore>(std::move(executor), std::move(options));
}

Network::~Network() = default;

Conduit Network::register_processor(const std::string& channel, Processor processor) {
  check_home(*this, "Network::register_processor");
  return core_->register_processor(channel, std::move(processor));
}

void Network::start() { start(own_scope_); }

awaitable<void> Network::stop() {
  own_scope_->cancel();
  if (!is_started()) start(own_scope_);
  return done();
}

awaitable<void> Network::run(std::shared_ptr<Scope> scope) {
  using namespace asio::experimental::awaitable_operators;
  if (own_scope_->is_cancelled()) co_return start_cancelled(own_scope_); // `stop`, in the same turn
  std::exception_ptr failure;
  try {
    core_->start();
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) {
    set_ready();
    co_await (scope->cancelled() || own_scope_->cancelled());
  }
  co_await NetworkCore::stop(core_);
  if (failure) std::rethrow_exception(failure);
}

void Network::start_cancelled(const std::shared_ptr<Scope>&) { core_->close_unstarted(); }

const NodeId& Network::local_id() const noexcept { return core_->node().id(); }

NetworkMetrics Network::metrics() const {
  check_home(*this, "Network::metrics");
  return core_->metrics();
}

AddressBook& Network::address_book() noexcept { return core_->book(); }

std::vector<std::string> Network::addresses() const { return core_->node().addresses(); }

awaitable<NodeId> Network::connect(std::string address) {
  check_home(*this, "Network::connect");
  return core_->connect(std::move(address));
}

Node& Network::node() noexcept { return core_->node(); }

} // namespace trunkline

#include "peer/node.hpp"

#include "peer/node_core.hpp"
#include "fragment/quote.hpp"

#include <stdexcept>
#include <utility>

namespace trunkline {
namespace {

/// The service behind Node::serve: hands every circuit to a call of its own.
awaitable<void> serve_circuits(std::shared_ptr<const CircuitServiceFunc> function, LocalPeer& peer,
                               CircuitInbox& circuits) {
  for (;;) {
    std::optional<Circuit> circuit = co_await circuits.next();
    if (!circuit) co_return;
    peer.spawn([function](Circuit owned) { return (*function)(std::move(owned)); }, std::move(*circuit));
  }
}

} // namespace

Node::Node(Executor executor, NodeOptions options)
    : core_(std::make_shared<NodeCore>(std::move(executor), std::move(options))) {}

Node::Node(Node&&) noexcept = default;

Node& Node::operator=(Node&& other) noexcept {
  if (this != &other) {
    if (core_) core_->begin_close();
    core_ = std::move(other.core_);
  }
  return *this;
}

Node::~Node() {
  if (core_) core_->begin_close();
}

void Node::register_service(std::string name, PeerServiceFunc function, std::size_t instances_max) {
  register_service(std::move(name), std::move(function), ServiceOptions(instances_max));
}

void Node::register_service(std::string name, PeerServiceFunc function, ServiceOptions options) {
  core_->peers().registry().add_service(std::move(name), std::move(function), options);
}

void Node::serve(std::string name, CircuitServiceFunc function) {
  serve(std::move(name), std::move(function), ServiceOptions());
}

void Node::serve(std::string name, CircuitServiceFunc function, ServiceOptions options) {
  options.instances_max = 1;
  if (!function) throw std::invalid_argument("service " + quote(name) + " needs a function");
  const auto shared = std::make_shared<const CircuitServiceFunc>(std::move(function));
  register_service(
      std::move(name),
      [shared](LocalPeer& peer, CircuitInbox& circuits) { return serve_circuits(shared, peer, circuits); }, options);
}

std::string Node::listen(std::string_view address) { return core_->listen(address); }

std::vector<std::string> Node::addresses() const { return core_->addresses(); }

awaitable<bool> Node::dial(std::string address) { return NodeCore::dial(core_, std::move(address)); }

std::shared_ptr<LocalPeer> Node::start_local_peer(const std::string& service) {
  Peers::Answer answer = core_->peers().start(service, core_->draw_id());
  if (answer.reason == error::service_limit_reached)
    throw ServiceLimitReached(answer.text, std::move(answer.existing_url));
  if (!answer.peer) throw_error(answer.reason, answer.text);
  return std::move(answer.peer);
}

std::shared_ptr<LocalPeer> Node::new_peer(std::string name) { return core_->peers().new_peer(std::move(name)); }

std::vector<std::shared_ptr<LocalPeer>> Node::local_peers(std::string_view service) const {
  return core_->peers().registry().peers(service);
}

awaitable<void> Node::drain(Duration deadline) { return NodeCore::drain(core_, deadline); }

awaitable<void> Node::close() { return NodeCore::close(core_); }

const NodeId& Node::id() const noexcept { return core_->id(); }

Executor Node::executor() const { return core_->executor(); }

NodeCounters Node::counters() const { return core_->counters(); }

std::size_t Node::links_count() const { return core_->trunks().size(); }

std::vector<LinkInfo> Node::links() const { return core_->links(); }

std::optional<LinkInfo> Node::link_with(const NodeId& node) const { return core_->link_with(node); }

void Node::end_link(const std::shared_ptr<Trunk>& trunk, Duration deadline, End reason) {
  core_->end_link(trunk, deadline, std::move(reason));
}

} // namespace trunkline

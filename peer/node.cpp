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
  if (!core_) return;
  core_->home().check("Node::~Node");
  core_->begin_close();
}

void Node::register_service(std::string name, PeerServiceFunc function, std::size_t instances_max) {
  register_service(std::move(name), std::move(function), ServiceOptions(instances_max));
}

void Node::register_service(std::string name, PeerServiceFunc function, ServiceOptions options) {
  core_->home().check("Node::register_service");
  Registry& registry = core_->peers().registry();
  registry.add_service(std::move(name), std::move(function), options);
  if (core_->phase() == NodeCore::Phase::closing) registry.release_functions(); // nothing will call it
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

std::string Node::listen(std::string_view address) {
  core_->home().check("Node::listen");
  return core_->listen(address);
}

std::vector<std::string> Node::addresses() const {
  core_->home().check("Node::addresses");
  return core_->addresses();
}

awaitable<LinkInfo> Node::wait_for_connection(std::string address, Duration deadline) {
  return Redialler::wait_for(core_, std::move(address), deadline);
}

void Node::keep_connected(std::string address) {
  core_->home().check("Node::keep_connected");
  core_->redialler().keep(std::move(address));
}

void Node::stop_keeping_connected(std::string_view address) {
  core_->home().check("Node::stop_keeping_connected");
  core_->redialler().stop_keeping(address);
}

std::vector<std::string> Node::kept_connected() const {
  core_->home().check("Node::kept_connected");
  return core_->redialler().kept();
}

awaitable<bool> Node::dial(std::string address) { return NodeCore::dial(core_, std::move(address)); }

std::shared_ptr<LocalPeer> Node::start_local_peer(const std::string& service) {
  core_->home().check("Node::start_local_peer");
  Peers::Answer answer = core_->peers().start(service, core_->draw_id());
  if (answer.reason == error::service_limit_reached)
    throw ServiceLimitReached(answer.text, std::move(answer.existing_url));
  if (!answer.peer) throw_error(answer.reason, answer.text);
  return std::move(answer.peer);
}

std::shared_ptr<LocalPeer> Node::new_peer(std::string name) {
  core_->home().check("Node::new_peer");
  return core_->peers().new_peer(std::move(name));
}

std::vector<std::shared_ptr<LocalPeer>> Node::local_peers(std::string_view service) const {
  core_->home().check("Node::local_peers");
  return core_->peers().registry().peers(service);
}

awaitable<void> Node::drain(Duration deadline) { return NodeCore::drain(core_, deadline); }

awaitable<void> Node::close() { return NodeCore::close(core_); }

void Node::reload_identity() {
  core_->home().check("Node::reload_identity");
  core_->reload_identity();
}

const NodeId& Node::id() const noexcept { return core_->id(); }

Executor Node::executor() const { return core_->executor(); }

NodeCounters Node::counters() const {
  core_->home().check("Node::counters");
  return core_->counters();
}

std::size_t Node::links_count() const {
  core_->home().check("Node::links_count");
  return core_->trunks().size();
}

std::vector<LinkInfo> Node::links() const {
  core_->home().check("Node::links");
  return core_->links();
}

std::optional<LinkInfo> Node::link_with(const NodeId& node) const {
  core_->home().check("Node::link_with");
  return core_->link_with(node);
}

void Node::end_link(const std::shared_ptr<Trunk>& trunk, Duration deadline, End reason) {
  core_->home().check("Node::end_link");
  core_->end_link(trunk, deadline, std::move(reason));
}

} // namespace trunkline

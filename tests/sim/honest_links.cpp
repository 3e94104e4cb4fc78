#include "tests/sim/honest_links.hpp"

#include "async/clock.hpp"
#include "async/task_group.hpp"
#include "async/within.hpp"
#include "fragment/error.hpp"
#include "peer/node_component.hpp"
#include "tests/sim/honest_act.hpp"
#include "tests/sim/honest_services.hpp"
#include "tests/sim/streaming.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::sim {
namespace {

std::string address_of(const std::string& host) { return "sim://" + host; }

/// The same for operations that have to do with another host, which may be gone.
awaitable<void> with_host(Act& act, std::string host, const char* what, awaitable<void> body) {
  try {
    co_await std::move(body);
  } catch (const boost::system::system_error& failure) {
    act.stage.ledger.failed(act.actor.host, host, what, failure);
  }
}

// Connections.

awaitable<void> dial(Act& act, std::string host) {
  std::shared_ptr<Node> node = act.actor.node.lock();
  if (!node) co_return;
  auto dialling = node->dial(address_of(host));
  node.reset(); // an act that waits must not keep it
  const trunkline::Outcome<bool> dialled = co_await outcome_of(std::move(dialling));
  const bool is_self = host == act.actor.host;
  if (!dialled.failure && is_self) complain(act, "a node dialled itself");
  if (!dialled.failure) co_return;
  try {
    std::rethrow_exception(dialled.failure);
  } catch (const boost::system::system_error& failure) {
    if (!is_self || failure.code() != error::dialled_self) throw;
  }
}

awaitable<void> dial(Act& act) {
  const std::string host = act.random.one_in(8) ? act.actor.host : act.draw_host();
  co_await with_host(act, host, "dial", dial(act, host));
}

bool is_kept(const Node& node, const std::string& address) {
  const std::vector<std::string> kept = node.kept_connected();
  return std::ranges::find(kept, address) != kept.end();
}

/// For a while.
awaitable<void> keep(Act& act) {
  const std::string address = address_of(act.draw_host());
  std::shared_ptr<Node> node = act.actor.node.lock();
  if (!node) co_return;
  node->keep_connected(address);
  if (!is_kept(*node, address)) complain(act, address + " is to be kept connected, and is not");
  node.reset();
  co_await sleep_for(act.draw_time(20'000'000));
  node = act.actor.node.lock();
  if (!node) co_return;
  node->stop_keeping_connected(address);
  if (is_kept(*node, address)) complain(act, address + " is kept connected, and is not to be");
}

/// The node that is there now, whoever dials.
awaitable<void> await_node(Act& act) {
  const std::string host = act.draw_host();
  const auto id = act.stage.node_ids.find(host);
  std::shared_ptr<Node> node = act.actor.node.lock();
  if (id == act.stage.node_ids.end() || !node) co_return;
  const NodeId wanted = id->second;
  auto waiting = node->wait_for_connection("node://" + wanted.to_string(), act.draw_time(30'000'000));
  node.reset();
  const trunkline::Outcome<LinkInfo> link = co_await outcome_of(std::move(waiting));
  if (link.failure && is_timed_out(link.failure)) co_return; // nobody had to
  if (link.failure) std::rethrow_exception(link.failure);
  if (link.value->name != host || link.value->node != wanted)
    complain(act, "waited for the node of " + host + " and got a connection to " + link.value->name);
}

/// One of its connections, with whatever runs there.
awaitable<void> end_link(Act& act) {
  HonestStage& stage = act.stage;
  const std::shared_ptr<Node> node = act.actor.node.lock();
  if (!node || !stage.ends_links) co_return;
  const std::vector<LinkInfo> links = node->links();
  if (links.empty()) co_return;
  const LinkInfo& link = links[act.random.below(links.size())];
  const Duration time = act.random.one_in(2) ? Duration::zero() : act.draw_time(60'000'000);
  stage.ledger.ends_link(act.actor.host, link.name, stage.world.now() + time);
  node->end_link(link.trunk, time, End(error::draining, Ledger::link_end));
  const std::optional<LinkInfo> next = node->link_with(link.node);
  if (next && next->trunk == link.trunk) complain(act, "new circuits take a connection that was ended");
  for (const LinkInfo& other : node->links())
    if (other.trunk == link.trunk && !other.draining) complain(act, "a connection that was ended takes new circuits");
}

/// What a page of a process's status would show.
awaitable<void> look_around(Act& act) {
  const std::shared_ptr<Node> node = act.actor.node.lock();
  if (!node || act.stage.ledger.is_closing(act.actor.host)) co_return;
  if (node->addresses() != std::vector{address_of(act.actor.host)}) complain(act, "a node listens elsewhere");
  if (node->id() != act.stage.node_ids.at(act.actor.host)) complain(act, "a node has another id");
  const std::vector<LinkInfo> links = node->links();
  if (links.size() > node->links_count()) complain(act, "more links are shown than there are");
  if (node->counters().trunks_open != links.size()) complain(act, "more or fewer links are counted than are shown");
  for (const LinkInfo& link : links) {
    if (!link.trunk || link.node.empty() || !link.end.clean()) complain(act, "a link is shown that is not open");
    const std::optional<LinkInfo> used = node->link_with(link.node);
    if (used && (used->node != link.node || used->draining)) complain(act, "a link cannot take what it is shown for");
    if (!used && !link.draining) complain(act, "a link takes circuits, and none is shown for its node");
  }
  for (const std::shared_ptr<LocalPeer>& peer : node->local_peers("echo")) {
    const PeerUrl url = peer->url();
    if (peer->is_ending() || peer->service() != "echo" || peer->executor() != node->executor() ||
        PeerUrl::parse(url.to_string()) != url || url.peer_id() != peer->id())
      complain(act, "a peer is not what it is shown as: " + url.to_string());
  }
}

// Instances of services.

/// One that runs here until the program ends it, and that others may know.
class Started {
 public:
  Started(Act& act, std::shared_ptr<LocalPeer> peer)
      : stage_(act.stage), peer_(std::move(peer)), instance_(std::make_shared<HonestStage::Instance>()) {
    instance_->host = act.actor.host;
    instance_->url = peer_->url().to_string();
    stage_.instances.push_back(instance_);
  }
  Started(const Started&) = delete;
  Started& operator=(const Started&) = delete;
  ~Started() { forget(); }

  std::shared_ptr<LocalPeer> peer() const noexcept { return peer_; }
  /// Its end is told to the ledger before it comes.
  void forget() {
    std::erase(stage_.instances, instance_);
    for (const std::string& circuit : instance_->circuits) stage_.ledger.of(circuit).server_ends = true;
  }

 private:
  HonestStage& stage_;
  std::shared_ptr<LocalPeer> peer_;
  std::shared_ptr<HonestStage::Instance> instance_;
};

awaitable<void> start_instance(Act& act) {
  std::shared_ptr<Node> node = act.actor.node.lock();
  if (!node || act.stage.ledger.is_closing(act.actor.host)) co_return;
  Started started(act, node->start_local_peer("private"));
  node.reset();
  co_await sleep_for(act.draw_time(30'000'000));
  started.forget();
  const bool has_words = act.random.one_in(2);
  started.peer()->close(has_words ? End(error::peer_ended, "the program ends this instance") : End());
  co_await started.peer()->ended();
  if (!started.peer()->is_ending()) complain(act, "an instance has ended and does not say so");
}

/// An instance of which others have told.
awaitable<void> reach(Act& act) {
  HonestStage& stage = act.stage;
  if (stage.instances.empty()) co_return;
  const std::shared_ptr<HonestStage::Instance> instance = stage.instances[act.random.below(stage.instances.size())];
  if (instance->host == act.actor.host) co_return;
  Opening opening("reach", "private", instance->host);
  opening.url = PeerUrl::parse(instance->url);
  opening.first = 20;
  Opened opened = open(act, opening);
  instance->circuits.push_back(opened.name);
  if (!opened.circuit) co_return;
  if (!opened.circuit->remote_url().starts_with(instance->url))
    complain(act, "a circuit to " + instance->url + " leads to " + opened.circuit->remote_url());
  co_await told(act, opened.name, take_answer(act, opened));
}

/// Where no more may be started, the one that runs.
awaitable<void> join_existing(Act& act, const std::string& host, std::string& url) {
  constexpr Duration patience = std::chrono::minutes(10);
  try {
    const RemotePeer started = co_await act.actor.peer->start_only(address_of(host), "single", patience);
    url = started.url.to_string();
  } catch (const ServiceLimitReached& refused) {
    url = refused.existing_url();
    if (url.empty()) complain(act, "a service at its limit of instances names none that runs");
  }
}

awaitable<void> join_existing(Act& act) {
  HonestStage& stage = act.stage;
  const std::string host = act.draw_host();
  const std::string name = stage.ledger.open("existing", act.actor.host, host);
  stage.ledger.of(name).deadline = stage.world.now() + std::chrono::minutes(10);
  std::string url;
  co_await told(act, name, join_existing(act, host, url));
  if (url.empty()) co_return;
  Opening opening("existing", "single", host);
  opening.url = PeerUrl::parse(url);
  Opened opened = open(act, opening);
  if (!opened.circuit) co_return;
  auto sending = send_all(opened.circuit, stage, forth, act.random.magnitude(5), 1000, Random(act.random()));
  co_await told(act, opened.name, std::move(sending));
  co_await told(act, opened.name, end_well(act, opened, act.random.one_in(2)));
}

// Nodes.

/// Stops a component when the act ends, however it does.
class Stopping {
 public:
  Stopping(Ledger& ledger, std::string host, std::shared_ptr<Scope> scope)
      : ledger_(ledger), host_(std::move(host)), scope_(std::move(scope)) {}
  Stopping(const Stopping&) = delete;
  Stopping& operator=(const Stopping&) = delete;
  ~Stopping() { stop(); }

  void stop() {
    if (!scope_->is_cancelled()) ledger_.closes(host_);
    scope_->cancel();
  }

 private:
  Ledger& ledger_;
  std::string host_;
  std::shared_ptr<Scope> scope_;
};

/// One that is a component of a larger program, with guests.
awaitable<void> keep_a_house(Act& act) {
  HonestStage& stage = act.stage;
  const std::string house = "house-" + std::to_string(++stage.guests);
  NodeOptions options;
  options.name = house;
  options.random = stage.world.random(house);
  options.media["sim"] = stage.world.medium(house);
  Node node(stage.world.executor(), std::move(options));
  register_honest_services(node, stage);
  const auto component =
      std::make_shared<NodeComponent>("house", std::move(node), std::vector{address_of(house)},
                                      std::chrono::seconds(20), std::vector{address_of(act.actor.host)});
  const auto scope = Scope::make_root([&stage](const std::string& failed, std::exception_ptr) {
    stage.violations.report("component " + failed + " failed");
  });
  component->start(scope);
  Stopping stopping(stage.ledger, house, scope);
  const bool is_ready = co_await component->ready_or_done();
  if (!is_ready || component->node().addresses().empty()) complain(act, "a node as a component is not ready");
  const std::uint64_t count = act.draw_count(30);
  Opening opening("lodger", "echo", house);
  for (std::uint64_t i = 0; i < count; ++i) {
    opening.first = act.random.magnitude(1000);
    Opened opened = open(act, opening);
    if (opened.circuit) co_await told(act, opened.name, take_answer(act, opened));
  }
  stopping.stop();
  co_await component->done();
}

// More than a limit allows.

bool is_told(const std::exception& failure, const std::string& name, std::size_t limit) {
  return std::string(failure.what()).find(name + " " + std::to_string(limit)) != std::string::npos;
}

/// A fragment that is too large is refused by name, and costs its circuit nothing.
awaitable<void> overdo(Act& act, Opened& opened) {
  const std::string server = act.stage.ledger.of(opened.name).server;
  co_await opened.circuit->accepted(); // from here on its limits are known
  const std::size_t limit = act.stage.fragment_bytes_between(act.actor.host, server);
  for (const bool waits : {false, true}) {
    Fragment fragment(1, Payload(std::string(limit + 1, 'x')));
    std::exception_ptr failure;
    try {
      if (waits) co_await opened.circuit->send(std::move(fragment));
      else opened.circuit->send_one_way(fragment);
    } catch (const boost::system::system_error& thrown) {
      if (thrown.code() != error::fragment_too_large) throw;
      failure = std::current_exception();
      if (!is_told(thrown, "fragment_bytes_max", limit))
        complain(act, std::string("no limit is named: ") + thrown.what());
    }
    if (!failure && opened.circuit->is_open()) complain(act, "a fragment beyond fragment_bytes_max was taken");
  }
  co_await end_well(act, opened, true);
}

void overdo_metadata(Act& act) {
  const std::size_t limit = act.stage.ledger.limits_of(act.actor.host).metadata_bytes_max;
  try {
    act.actor.peer->set_metadata("much", std::string(limit, 'm'));
    complain(act, "metadata beyond metadata_bytes_max was taken");
  } catch (const std::length_error& refused) {
    if (!is_told(refused, "metadata_bytes_max", limit))
      complain(act, std::string("no limit is named: ") + refused.what());
  }
}

awaitable<void> overdo(Act& act) {
  overdo_metadata(act);
  Opening opening("much", "echo", act.draw_host());
  opening.wants_answer = true;
  if (act.random.one_in(3)) {
    opening.user_string.emplace(Limits().user_string_bytes_max + 1, 'u');
    opening.refusal = "user_string_bytes_max";
  }
  Opened opened = open(act, opening);
  if (opened.circuit) co_await told(act, opened.name, overdo(act, opened));
}

constexpr ActKind kinds[] = {{"dial", dial},          {"keep", keep},        {"await-node", await_node},
                             {"end-link", end_link},  {"look", look_around}, {"instance", start_instance},
                             {"reach", reach},        {"reach", reach},      {"existing", join_existing},
                             {"house", keep_a_house}, {"overdo", overdo}};

} // namespace

std::span<const ActKind> link_acts() { return kinds; }

} // namespace trunkline::sim

#include "peer/node_core.hpp"

#include "async/clock.hpp"
#include "async/within.hpp"
#include "fragment/quote.hpp"
#include "transport/tcp.hpp"
#include "transport/unix.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <random>
#include <stdexcept>
#include <utility>

namespace trunkline {
namespace {

NodeOptions complete(NodeOptions options) {
  options.limits.check();
  const auto demand = [](bool good, const char* name, std::int64_t value, const char* expected) {
    if (!good) throw std::invalid_argument(fmt::format("{} is {}, expected {}", name, value, expected));
  };
  const auto demand_one = [&](std::size_t value, const char* name) { demand(value >= 1, name, 0, "at least 1"); };
  demand_one(options.trunks_max, "trunks_max");
  demand_one(options.peers_max, "peers_max");
  demand_one(options.peers_per_trunk_max, "peers_per_trunk_max");
  demand_one(options.handshakes_max, "handshakes_max");
  demand(options.connect_deadline.count() >= 1 && options.connect_deadline <= std::chrono::days(365),
         "connect_deadline", options.connect_deadline.count(), "1 millisecond to 365 days");
  if (!options.random) {
    const auto device = std::make_shared<std::random_device>();
    options.random = [device] { return std::uint64_t{(*device)()} << 32 | (*device)(); };
  }
  // emplace leaves what the user gave.
  if (!options.media.contains("tcp")) options.media.emplace("tcp", make_tcp_medium());
  if (!options.media.contains("unix")) options.media.emplace("unix", make_unix_medium());
  return options;
}

} // namespace

NodeCore::NodeCore(Executor executor, NodeOptions options)
    : executor_(std::move(executor)), options_(complete(std::move(options))),
      id_(options_.id.empty() ? NodeId::draw(options_.random) : options_.id),
      name_(options_.name.empty() ? id_.to_string() : escape(options_.name)), trunks_(id_), tasks_(executor_) {}

void NodeCore::log(LogLevel level, std::string_view text) const {
  if (options_.log) options_.log(level, escape(text, 4096));
}

NodeCounters NodeCore::counters() const {
  NodeCounters counters = counters_;
  for (const auto& trunk : trunks_.all()) {
    counters.trunks_open += trunk->phase == Link::Phase::open;
    counters.circuits_held += trunk->live->machine().counters().circuits_held;
  }
  for (const auto& weak : lost_trunks_)
    if (const auto live = weak.lock()) counters.circuits_held += live->machine().counters().circuits_held;
  counters.peers_ending = peers_ending();
  return counters;
}

void NodeCore::check_running() const {
  if (phase_ == Phase::closing) throw_error(error::node_closed, "node " + name_ + " is closed");
  if (phase_ == Phase::draining) throw_error(error::draining, "node " + name_ + " takes no new circuits");
}

// Listening.

std::string NodeCore::listen(std::string_view address) {
  check_running();
  std::shared_ptr<Listener> listener = medium_for(address)->listen(executor_, address);
  std::string real_address = listener->address();
  listeners_.push_back(listener);
  addresses_.push_back(real_address);
  rename_peers();
  tasks_.spawn(accept_all(shared_from_this(), std::move(listener)));
  log(LogLevel::info, "listening on " + real_address);
  return real_address;
}

awaitable<void> NodeCore::accept_all(std::shared_ptr<NodeCore> core, std::shared_ptr<Listener> listener) {
  try {
    for (;;) {
      std::unique_ptr<Transport> transport = co_await listener->accept();
      core->accepted(std::move(transport));
    }
  } catch (const std::exception& failure) {
    if (core->phase_ == Phase::running)
      core->log(LogLevel::error, fmt::format("no longer listening on {}: {}", listener->address(), failure.what()));
  }
}

void NodeCore::close_listeners() {
  addresses_.clear();
  for (const auto& listener : std::exchange(listeners_, {})) listener->close();
}

// Dialling.

awaitable<bool> NodeCore::dial(std::shared_ptr<NodeCore> core, std::string address) {
  core->check_running();
  bool dialled = false;
  const TrunkPointer trunk = core->trunk_to(address, dialled);
  while (trunk->node_id.empty() && trunk->phase != Link::Phase::over) co_await trunk->changed.wait();
  if (trunk->node_id.empty()) throw boost::system::system_error(trunk->end.code, trunk->end.text);
  co_return dialled;
}

awaitable<RemotePeer> NodeCore::start_remote_peer(std::shared_ptr<NodeCore> core, std::string service,
                                                  std::string address, Duration wait_up_to) {
  const PeerId id = core->draw_id();
  OpenRequest request;
  request.mode = OpenMode::start_only;
  request.from = core->make_name("", core->id_);
  request.to_peer = id;
  request.to_service = service;
  request.wants_answer = true;
  Circuit circuit = core->open(address, std::move(request), std::nullopt, nullptr);

  try {
    co_await within(wait_up_to, circuit.accepted());
  } catch (const boost::system::system_error& thrown) {
    if (thrown.code() != error::service_limit_reached) throw;
    End end = circuit.end().value_or(End());
    throw ServiceLimitReached(end.text, std::move(end.existing_url));
  }
  circuit.close();
  co_return RemotePeer{PeerUrl(std::move(address), std::move(service), id), circuit.dialled()};
}

// Ending.

awaitable<void> NodeCore::trunks_gone(std::shared_ptr<NodeCore> core) {
  while (core->trunks_.size() > 0) co_await core->trunk_gone_.wait();
}

awaitable<void> NodeCore::drain(std::shared_ptr<NodeCore> core, Duration deadline) {
  using namespace asio::experimental::awaitable_operators;
  const TimePoint now = Clock::of(core->executor_).now();
  const TimePoint due = deadline < TimePoint::max() - now ? now + deadline : TimePoint::max();
  if (core->phase_ == Phase::running) {
    core->phase_ = Phase::draining;
    core->log(LogLevel::info, fmt::format("draining {} trunks", core->trunks_.size()));
    core->close_listeners();
  }
  const End reason(error::draining, "node " + core->name_ + " drains");
  for (const auto& trunk : std::vector(core->trunks_.all())) {
    if (trunk->phase == Link::Phase::connecting && trunk->live->machine().circuits_count() == 0) {
      core->abandon(trunk, reason);
    } else {
      trunk->live->with([&](Machine& machine) { machine.drain(due); });
    }
  }

  co_await (trunks_gone(core) || sleep_until(due));
  for (const auto& trunk : std::vector(core->trunks_.all()))
    if (trunk->phase == Link::Phase::connecting) core->abandon(trunk, reason); // nobody ticks it
  co_await trunks_gone(core);
}

void NodeCore::begin_close() {
  if (std::exchange(phase_, Phase::closing) == Phase::closing) return;
  close_listeners();
  const End reason(error::node_closed, "node " + name_ + " is closed");
  for (const auto& trunk : std::vector(trunks_.all())) {
    if (trunk->phase == Link::Phase::connecting) {
      abandon(trunk, reason);
    } else {
      // Ends all circuits, so that the peers below have none left to close.
      trunk->live->with([&](Machine& machine) { machine.close(reason); });
    }
  }
  for (const auto& peer : registry_.peers()) end_peer(*peer, reason, false);
}

awaitable<void> NodeCore::close(std::shared_ptr<NodeCore> core) {
  core->begin_close();
  for (const auto& weak : std::vector(core->ending_peers_)) {
    const std::shared_ptr<LocalPeer> peer = weak.lock();
    if (peer) co_await peer->ended();
  }
  co_await trunks_gone(core);
  co_await core->tasks_.join();
}

} // namespace trunkline

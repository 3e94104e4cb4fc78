#include "services/quarkchain/cluster/slave_pool.hpp"

#include "async/clock.hpp"
#include "async/limited_log.hpp"
#include "async/within.hpp"
#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"
#include "transport/address.hpp"
#include "transport/newcomers.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <set>
#include <utility>

namespace trunkline::quarkchain {
namespace {

/// A connection in the pool, from its first moment.
struct Link {
  std::shared_ptr<RpcCircuit> circuit;
  std::uint64_t number = 0; // in the order in which they came
  bool inbound = false;
  bool identified = false;
  SlaveIdentity identity;
  Signal changed; // identified, or ended
};

/// One attempt to dial one slave; further requests for the same slave share it.
struct Attempt {
  bool done = false;
  std::string result; // empty for success
  Signal ended;
};

std::string list_of(const std::vector<std::uint32_t>& shards) {
  std::string text;
  for (const std::uint32_t shard : shards) text += fmt::format("{}0x{:08x}", text.empty() ? "" : " ", shard);
  return "[" + text + "]";
}

} // namespace

struct SlavePool::State : std::enable_shared_from_this<State> {
  State(Executor on, SlavePoolOptions with)
      : executor(std::move(on)), options(std::move(with)), routes(options.branches, options.strict_parity),
        unidentified(options.unidentified_max, options.unidentified_per_host_max), lines(options.log), tasks(executor) {
  }

  using Pointer = std::shared_ptr<State>;

  void log(LogLevel level, std::string_view text) { lines.write(level, text); }
  void log(const char* kind, LogLevel level, std::string_view text) {
    lines.write(kind, level, text, Clock::of(executor).now());
  }
  void make_room(const RpcCircuit& circuit);
  std::string why_not(const SlaveIdentity& identity) const;
  void close_oldest(const std::string& id);
  std::shared_ptr<Link> find(const RpcCircuit& circuit) const {
    const auto found = links.find(&circuit);
    return found == links.end() ? nullptr : found->second;
  }
  void add(const std::shared_ptr<Link>& link) {
    link->number = ++number_last;
    links.emplace(link->circuit.get(), link);
  }
  /// In the order in which they came: where they lie in memory decides nothing.
  std::vector<std::shared_ptr<Link>> in_order() const {
    std::vector<std::shared_ptr<Link>> all;
    for (const auto& [circuit, link] : links) all.push_back(link);
    std::ranges::sort(all, {}, &Link::number);
    return all;
  }
  void close(End reason);
  static awaitable<std::vector<std::string>> connect(Pointer self, std::vector<SlaveTarget> targets);
  std::shared_ptr<Attempt> attempt(const SlaveTarget& target);
  static awaitable<void> run_attempt(Pointer self, SlaveTarget target, std::shared_ptr<Attempt> attempt);
  static awaitable<std::string> dial(Pointer self, SlaveTarget target);
  static awaitable<void> redial(Pointer self, SlaveTarget target);
  static awaitable<void> identified(std::shared_ptr<Link> link);
  static awaitable<void> watch_inbound(Pointer self, std::shared_ptr<Link> link);
  static awaitable<void> join(Pointer self) { co_await self->tasks.join(); }

  Executor executor;
  SlavePoolOptions options;
  XshardRoutes routes;
  SlavePoolCounters counters;
  std::map<const RpcCircuit*, std::shared_ptr<Link>> links;
  std::uint64_t number_last = 0;
  Newcomers unidentified; // inbound, by circuit
  std::map<std::string, SlaveTarget> targets; // where each slave is, as the master said last
  std::map<std::string, std::shared_ptr<Attempt>> attempts;
  std::set<std::string> redialling;
  LimitedLog lines;
  bool closed = false;
  Tasks tasks;
};

SlavePool::SlavePool(Executor executor, SlavePoolOptions options)
    : state_(std::make_shared<State>(std::move(executor), std::move(options))) {}

SlavePool::~SlavePool() { state_->close(End(error::node_closed)); }

// Outbound.

awaitable<std::vector<std::string>> SlavePool::connect(std::vector<SlaveTarget> targets) {
  return State::connect(state_, std::move(targets));
}

awaitable<std::vector<std::string>> SlavePool::State::connect(Pointer self, std::vector<SlaveTarget> targets) {
  std::vector<std::shared_ptr<Attempt>> attempts;
  for (const SlaveTarget& target : targets) attempts.push_back(self->attempt(target));
  std::vector<std::string> results;
  for (const std::shared_ptr<Attempt>& attempt : attempts) {
    while (!attempt->done) co_await attempt->ended.wait();
    results.push_back(attempt->result);
  }
  co_return results;
}

/// Duplicates are looked for before dialling only: were a link given up because another one came during its handshake,
/// two slaves that dial each other would each give up theirs.
std::shared_ptr<Attempt> SlavePool::State::attempt(const SlaveTarget& target) {
  const std::string& id = target.identity.id;
  const bool full = targets.size() >= options.slaves_max && !targets.contains(id);
  if (id != options.id && !target.address.empty() && !full) targets[id] = target;
  const auto running = attempts.find(id);
  if (running != attempts.end()) return running->second;
  auto attempt = std::make_shared<Attempt>();
  attempt->done = true;
  if (id == options.id || routes.knows(id)) return attempt;
  if (closed) {
    attempt->result = "the slave is stopping";
  } else if (full) {
    attempt->result = fmt::format("no room for slave {}: slaves_max is {}", quote(id), options.slaves_max);
  } else if (target.address.empty()) {
    attempt->result = fmt::format("no address for slave {}", quote(id));
  } else {
    attempt->done = false;
    attempts.emplace(id, attempt);
    tasks.spawn(run_attempt(shared_from_this(), target, attempt));
  }
  return attempt;
}

awaitable<void> SlavePool::State::run_attempt(Pointer self, SlaveTarget target, std::shared_ptr<Attempt> attempt) {
  struct Done { // also when it is cancelled
    State& state;
    const std::string& id;
    Attempt& attempt;
    ~Done() {
      attempt.done = true;
      state.attempts.erase(id);
      attempt.ended.notify_all();
    }
  };
  attempt->result = "the slave is stopping";
  const std::string id = target.identity.id;
  const Done done{*self, id, *attempt};
  attempt->result = co_await dial(self, std::move(target));
  if (!attempt->result.empty()) self->log(LogLevel::warning, fmt::format("slave {}: {}", quote(id), attempt->result));
}

awaitable<std::string> SlavePool::State::dial(Pointer self, SlaveTarget target) {
  ++self->counters.dials;
  std::shared_ptr<RpcCircuit> circuit;
  std::string failure;
  try {
    circuit = co_await self->options.dial(target.address);
    auto link = std::make_shared<Link>();
    link->circuit = circuit;
    if (self->closed || !circuit->is_open()) {
      failure = fmt::format("the connection to {} ended at once", target.address);
    } else {
      self->add(link);
      SlaveIdentity identity = co_await within(in_nanoseconds(self->options.greet_deadline), self->options.greet(circuit));
      if (identity != target.identity) {
        failure = fmt::format("at {} is slave {} with shards {}, expected {} with {}", target.address,
                              quote(identity.id), list_of(identity.full_shard_ids), quote(target.identity.id),
                              list_of(target.identity.full_shard_ids));
      } else if (self->closed || !circuit->is_open()) {
        failure = fmt::format("the connection to {} ended after its PING", target.address);
      } else {
        link->identity = std::move(identity);
        link->identified = true;
        self->routes.add(link->identity, circuit);
      }
    }
  } catch (const std::exception& thrown) {
    const auto* const code = dynamic_cast<const boost::system::system_error*>(&thrown);
    failure = code && code->code() == error::timed_out
                  ? fmt::format("no PONG from {} within greet_deadline {} ms", target.address,
                                self->options.greet_deadline.count())
                  : text_of(thrown);
  }
  co_await throw_if_cancelled();
  if (failure.empty()) {
    self->log(LogLevel::info, fmt::format("connected to slave {} at {}", quote(target.identity.id), target.address));
  } else {
    ++self->counters.dials_failed;
    if (circuit) {
      self->links.erase(circuit.get());
      circuit->close(End(error::connect_failed, failure));
    }
  }
  co_return failure;
}

awaitable<void> SlavePool::State::redial(Pointer self, SlaveTarget target) {
  const std::string id = target.identity.id;
  struct Done {
    State& state;
    const std::string& id;
    ~Done() { state.redialling.erase(id); }
  };
  const Done done{*self, id};
  std::chrono::milliseconds delay = self->options.redial_delay_min;
  for (;;) {
    co_await sleep_for(in_nanoseconds(delay));
    if (self->closed || self->routes.knows(id)) co_return;
    ++self->counters.redials;
    const std::shared_ptr<Attempt> attempt = self->attempt(self->targets.at(id)); // it may have moved
    while (!attempt->done) co_await attempt->ended.wait();
    // The link may have been lost again before we came to hear that it was made.
    if (attempt->result.empty() && self->routes.knows(id)) co_return;
    delay =
        attempt->result.empty() ? self->options.redial_delay_min : std::min(delay * 2, self->options.redial_delay_max);
  }
}

// Inbound.

bool SlavePool::accept(std::shared_ptr<RpcCircuit> circuit) {
  State& state = *state_;
  if (state.closed || !circuit->is_open()) {
    circuit->close(End(error::node_closed));
    return false;
  }
  state.make_room(*circuit);
  auto link = std::make_shared<Link>();
  link->circuit = std::move(circuit);
  link->inbound = true;
  state.add(link);
  state.unidentified.add(link->circuit.get(), host_of(link->circuit->remote()), Clock::of(state.executor).now());
  state.tasks.spawn(State::watch_inbound(state_, std::move(link)));
  return true;
}

void SlavePool::State::make_room(const RpcCircuit& circuit) {
  const Newcomers::Who who = unidentified.who_goes(host_of(circuit.remote()), Clock::of(executor).now());
  if (!who) return;
  const std::shared_ptr<RpcCircuit> silent = links.find(static_cast<const RpcCircuit*>(who))->second->circuit;
  unidentified.erase(who);
  ++counters.unidentified_closed;
  const std::string text =
      fmt::format("it has not said PING, others want to, and unidentified_max is {}, {} of one host",
                  options.unidentified_max, options.unidentified_per_host_max);
  log("gives way", LogLevel::warning, fmt::format("connection from {} closed: {}", silent->remote(), text));
  silent->close(End(error::handshake_timeout, text));
}

awaitable<void> SlavePool::State::identified(std::shared_ptr<Link> link) {
  while (!link->identified && link->circuit->is_open()) co_await link->changed.wait();
}

awaitable<void> SlavePool::State::watch_inbound(Pointer self, std::shared_ptr<Link> link) {
  using namespace asio::experimental::awaitable_operators;
  const auto first = co_await (identified(link) || sleep_for(in_nanoseconds(self->options.identify_deadline)));
  if (first.index() == 0 || link->identified || !link->circuit->is_open()) co_return;
  ++self->counters.identify_timeouts;
  const std::string text =
      fmt::format("no PING within identify_deadline {} ms", self->options.identify_deadline.count());
  self->log("silent", LogLevel::warning, fmt::format("connection from {} closed: {}", link->circuit->remote(), text));
  link->circuit->close(End(error::handshake_timeout, text));
}

bool SlavePool::identify(RpcCircuit& circuit, SlaveIdentity identity) {
  const std::shared_ptr<Link> link = state_->find(circuit);
  if (!link || link->identified) return link != nullptr;
  if (const std::string text = state_->why_not(identity); !text.empty()) {
    ++state_->counters.identities_refused;
    state_->log("identity", LogLevel::warning, fmt::format("connection from {} closed: {}", circuit.remote(), text));
    circuit.close(End(error::protocol_violation_on_circuit, text));
    return false;
  }
  link->identity = std::move(identity);
  link->identified = true;
  state_->unidentified.erase(&circuit);
  ++state_->counters.identified;
  state_->routes.add(link->identity, link->circuit);
  if (state_->options.on_identified) state_->options.on_identified(circuit);
  state_->log("connected", LogLevel::info,
              fmt::format("slave {} has connected from {}", quote(link->identity.id), circuit.remote()));
  link->changed.notify_all();
  state_->close_oldest(link->identity.id);
  return true;
}

/// Empty for an identity that is as good as any.
std::string SlavePool::State::why_not(const SlaveIdentity& identity) const {
  const std::string who = quote(identity.id);
  const std::size_t shards = identity.full_shard_ids.size();
  if (!options.known_ids.empty() && std::ranges::find(options.known_ids, identity.id) == options.known_ids.end())
    return fmt::format("slave {} is not one of the {} of the configuration", who, options.known_ids.size());
  if (shards == 0) return fmt::format("slave {} says that it runs no shard", who);
  if (options.branches && shards > options.branches->size())
    return fmt::format("slave {} says that it runs {} shards, there are {}", who, shards, options.branches->size());
  return {};
}

/// The newest is who it says it is as much as the others, and more likely to be alive.
void SlavePool::State::close_oldest(const std::string& id) {
  std::shared_ptr<Link> oldest;
  std::size_t count = 0;
  for (const auto& [circuit, link] : links) {
    if (!link->inbound || !link->identified || link->identity.id != id) continue;
    ++count;
    if (!oldest || link->number < oldest->number) oldest = link;
  }
  if (count <= options.links_per_slave_max) return;
  ++counters.links_replaced;
  const std::string text = fmt::format("slave {} has connected more than links_per_slave_max {} times", quote(id),
                                       options.links_per_slave_max);
  log("replaced", LogLevel::warning, fmt::format("connection from {} closed: {}", oldest->circuit->remote(), text));
  oldest->circuit->close(End(error::duplicate_trunk, text));
}

const SlaveIdentity* SlavePool::identity_of(const RpcCircuit& circuit) const {
  const std::shared_ptr<Link> link = state_->find(circuit);
  return link && link->identified ? &link->identity : nullptr;
}

// Ends.

void SlavePool::ended(RpcCircuit& circuit) {
  State& state = *state_;
  const std::shared_ptr<Link> link = state.find(circuit);
  if (!link) return;
  state.links.erase(&circuit);
  link->changed.notify_all();
  state.unidentified.erase(&circuit);
  if (!link->identified) return;
  ++state.counters.lost;
  state.routes.erase(circuit);
  const std::string& id = link->identity.id;
  const auto target = state.targets.find(id);
  if (state.closed || state.options.strict_parity || target == state.targets.end() || state.routes.knows(id)) return;
  if (state.redialling.insert(id).second) state.tasks.spawn(State::redial(state_, target->second));
}

void SlavePool::State::close(End reason) {
  if (std::exchange(closed, true)) return;
  tasks.cancel();
  for (const auto& link : in_order()) link->circuit->close(reason);
}

void SlavePool::close(End reason) { state_->close(std::move(reason)); }
awaitable<void> SlavePool::closed() { return State::join(state_); }
const XshardRoutes& SlavePool::routes() const noexcept { return state_->routes; }
std::vector<std::shared_ptr<RpcCircuit>> SlavePool::circuits() const {
  std::vector<std::shared_ptr<RpcCircuit>> all;
  for (const auto& link : state_->in_order()) all.push_back(link->circuit);
  return all;
}

std::size_t SlavePool::unidentified() const noexcept { return state_->unidentified.size(); }
const SlavePoolCounters& SlavePool::counters() const noexcept { return state_->counters; }

} // namespace trunkline::quarkchain

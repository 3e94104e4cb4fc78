#include "services/quarkchain/cluster/forward.hpp"

#include "async/clock.hpp"
#include "async/limited_log.hpp"
#include "circuit/trunk.hpp"
#include "fragment/quote.hpp"
#include "services/quarkchain/protocol/opcodes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace trunkline::quarkchain {
namespace {

class Pair;

/// One end of a pair: what is read here is sent at the other end.
class Lane final : public CircuitListener {
 public:
  Lane(Pair& pair, Circuit circuit, std::uint64_t& counter)
      : pair_(pair), circuit_(std::move(circuit)), counter_(counter) {}
  void on_circuit_event(const TrunkEvent& event) override;
  void listen() { circuit_.set_listener(this); }
  void close(End reason) { circuit_.close(std::move(reason)); }
  bool is_open() const noexcept { return circuit_.is_open(); }
  End end() const { return circuit_.end().value_or(End()); }

  /// Moves what is there, until the far end has no room: then one fragment is held here, and the rest stays in the
  /// inbox.
  void pump(Lane& to);

 private:
  bool send(Fragment& fragment) { return circuit_.send_one_way(fragment) == SendOutcome::queued; }

  Pair& pair_;
  Circuit circuit_;
  std::uint64_t& counter_; // of what was read here
  std::unique_ptr<Fragment> held_;
};

/// A virtual peer at the master: its circuit to the slave and its circuit to the peer's own cluster.
class Pair final : public std::enable_shared_from_this<Pair> {
 public:
  Pair(Route at, Circuit of_slave, Circuit of_peer, ForwardCounters& counters, std::uint64_t after_id)
      : route(at), id_base_(after_id), id_last_(after_id), slave_(*this, std::move(of_slave), counters.frames_to_peers),
        peer_(*this, std::move(of_peer), counters.frames_to_slaves) {}

  void start() {
    slave_.listen();
    peer_.listen();
    on_event(slave_, TrunkEvent::Kind::readable, End());
    on_event(peer_, TrunkEvent::Kind::readable, End());
    if (!slave_.is_open()) on_event(slave_, TrunkEvent::Kind::ended, slave_.end());
    if (!peer_.is_open()) on_event(peer_, TrunkEvent::Kind::ended, peer_.end());
  }
  void on_event(Lane& lane, TrunkEvent::Kind kind, End end) {
    const auto self = shared_from_this(); // it may be dropped in here
    Lane& other = &lane == &slave_ ? peer_ : slave_;
    try {
      if (kind == TrunkEvent::Kind::readable) return lane.pump(other);
      if (kind == TrunkEvent::Kind::writable) return other.pump(lane);
      lane.pump(other); // what came before
    } catch (const std::exception& failure) { // what one side may say and the other may not: too large, no opcode
      end = End(error::protocol_violation_on_circuit, trunkline::text_of(failure));
    }
    if (std::exchange(ended_, true)) return;
    close(end);
    if (on_ended) on_ended(*this, end);
  }
  /// A slave that has come back counts its requests from 1 again, and the peer, which knows nothing of that, would
  /// close: they go on behind those of before, and the replies find back. False for a reply to one of before.
  bool renumber(const Lane& from, Fragment& fragment) {
    if (fragment.part == 0 || fragment.op < 0 || fragment.op > 0xFF) return true;
    const auto id = static_cast<std::uint64_t>(fragment.part);
    const OpInfo* const op = find_op(OpTable::command, static_cast<std::uint8_t>(fragment.op));
    const bool request = op && op->op_class == OpClass::request;
    if (&from == &slave_ && request) {
      id_last_ = std::max(id_last_, id + id_base_);
      fragment.part = static_cast<std::int64_t>(id + id_base_);
    } else if (&from == &peer_ && !request) {
      if (id <= id_base_) return false;
      fragment.part = static_cast<std::int64_t>(id - id_base_);
    }
    return true;
  }
  /// Of the slave's requests, as the peer has seen it.
  std::uint64_t id_last() const noexcept { return id_last_; }
  void close(const End& reason) {
    ended_ = true;
    slave_.close(reason);
    peer_.close(reason);
  }

  const Route route;
  std::function<void(Pair&, const End&)> on_ended;

 private:
  const std::uint64_t id_base_; // of the requests of an earlier slave
  std::uint64_t id_last_;
  Lane slave_;
  Lane peer_;
  bool ended_ = false;
};

void Lane::pump(Lane& to) {
  if (held_ && !to.send(*held_)) return;
  if (held_) ++counter_;
  held_.reset();
  for (;;) {
    std::optional<Fragment> fragment = circuit_.try_receive();
    if (!fragment) return;
    fragment->subject.clear(); // only a native trunk carries them
    fragment->args.clear();
    if (!pair_.renumber(*this, *fragment)) continue;
    if (!to.send(*fragment)) {
      held_ = std::make_unique<Fragment>(std::move(*fragment));
      return;
    }
    ++counter_;
  }
}

void Lane::on_circuit_event(const TrunkEvent& event) {
  pair_.on_event(*this, event.kind, event.circuit->end ? *event.circuit->end : End());
}

struct Peer {
  std::shared_ptr<RpcCircuit> root;
  std::map<std::uint32_t, std::shared_ptr<Pair>> pairs; // by branch; null for one that has ended, until a slave comes
  std::map<std::uint32_t, std::uint64_t> ids_last; // of requests that it has seen from pairs that have ended
};

} // namespace

struct Forwarding::State : std::enable_shared_from_this<State> {
  State(Executor on, LogSink log) : executor(std::move(on)), lines(std::move(log)) {}
  void log(const char* kind, std::string_view text) {
    lines.write(kind, LogLevel::warning, text, Clock::of(executor).now());
  }
  bool runs(const RpcCircuit& slave, std::uint32_t branch) const {
    return std::ranges::any_of(slaves, [&](const auto& entry) {
      return entry.first.get() == &slave && std::ranges::find(entry.second, branch) != entry.second.end();
    });
  }
  void join(const Route& route, Peer& peer, Circuit of_slave, Circuit of_peer);
  void on_pair_ended(Pair& pair, const End& end);

  Executor executor;
  LimitedLog lines;
  ForwardCounters counters;
  std::function<void(std::uint64_t, const End&)> on_peer_failed;
  std::size_t pairs_count = 0;
  std::vector<std::pair<std::shared_ptr<RpcCircuit>, std::vector<std::uint32_t>>> slaves;
  std::map<std::uint64_t, Peer> peers;
};

Forwarding::Forwarding(Executor executor, LogSink log)
    : state_(std::make_shared<State>(std::move(executor), std::move(log))) {}

Forwarding::~Forwarding() {
  for (const auto& [id, peer] : std::exchange(state_->peers, {}))
    for (const auto& [branch, pair] : peer.pairs)
      if (pair) pair->close(End(error::node_closed));
}

void Forwarding::add_slave(std::shared_ptr<RpcCircuit> slave, std::vector<std::uint32_t> full_shard_ids) {
  for (auto& [id, peer] : state_->peers)
    for (const std::uint32_t branch : full_shard_ids)
      if (const auto found = peer.pairs.find(branch); found != peer.pairs.end() && !found->second)
        peer.pairs.erase(found);
  state_->slaves.emplace_back(std::move(slave), std::move(full_shard_ids));
}

void Forwarding::erase_slave(const RpcCircuit& slave) {
  std::erase_if(state_->slaves, [&](const auto& entry) { return entry.first.get() == &slave; });
}

void Forwarding::add_peer(std::uint64_t cluster_peer_id, std::shared_ptr<RpcCircuit> root) {
  state_->peers[cluster_peer_id].root = std::move(root);
}

void Forwarding::erase_peer(std::uint64_t cluster_peer_id) {
  const auto found = state_->peers.find(cluster_peer_id);
  if (found == state_->peers.end()) return;
  const Peer peer = std::move(found->second);
  state_->peers.erase(found);
  for (const auto& [branch, pair] : peer.pairs)
    if (pair) {
      --state_->pairs_count;
      pair->close(End(error::peer_ended, "the peer is gone"));
    }
}

void Forwarding::peer_opened(std::uint64_t cluster_peer_id, std::uint32_t branch, Circuit circuit) {
  State& state = *state_;
  const auto found = state.peers.find(cluster_peer_id);
  if (found == state.peers.end() || found->second.pairs.contains(branch)) return;
  for (const auto& [slave, shards] : state.slaves)
    for (const std::uint32_t shard : shards)
      if (shard == branch) {
        const Route route(branch, cluster_peer_id);
        Circuit of_slave = slave->new_circuit(to_text(route));
        return state.join(route, found->second, std::move(of_slave), std::move(circuit));
      }
  ++state.counters.unroutable;
  const End reason(error::no_service,
                   fmt::format("peer {} speaks to branch 0x{:08x}, which no slave runs", cluster_peer_id, branch));
  state.log("unroutable", reason.text);
  circuit.close(reason);
  if (state.on_peer_failed) state.on_peer_failed(cluster_peer_id, reason);
}

void Forwarding::set_on_peer_failed(std::function<void(std::uint64_t, const End&)> callback) {
  state_->on_peer_failed = std::move(callback);
}

void Forwarding::slave_opened(const RpcCircuit& slave, const Route& route, Circuit circuit) {
  State& state = *state_;
  if (!state.runs(slave, route.branch)) { // it would take the shard of another one away
    ++state.counters.foreign;
    state.log("foreign", fmt::format("the slave at {} speaks for {}, which it does not run: dropped", slave.remote(),
                                     describe(route)));
    return circuit.close(End(error::no_service));
  }
  const auto found = state.peers.find(route.cluster_peer_id);
  if (found == state.peers.end() || found->second.pairs.contains(route.branch)) return;
  Circuit of_peer = found->second.root->new_circuit(to_text(Route(route.branch, 0)));
  state.join(route, found->second, std::move(circuit), std::move(of_peer));
}

void Forwarding::State::join(const Route& route, Peer& peer, Circuit of_slave, Circuit of_peer) {
  const auto before = peer.ids_last.find(route.branch);
  const auto pair = std::make_shared<Pair>(route, std::move(of_slave), std::move(of_peer), counters,
                                           before == peer.ids_last.end() ? 0 : before->second);
  pair->on_ended = [weak = weak_from_this()](Pair& ended, const End& end) {
    if (const auto self = weak.lock()) self->on_pair_ended(ended, end);
  };
  peer.pairs.emplace(route.branch, pair);
  ++pairs_count;
  pair->start();
}

void Forwarding::State::on_pair_ended(Pair& pair, const End& end) {
  const auto found = peers.find(pair.route.cluster_peer_id);
  if (found == peers.end()) return;
  if (pair.id_last() > 0) found->second.ids_last[pair.route.branch] = pair.id_last();
  found->second.pairs[pair.route.branch].reset();
  --pairs_count;
  ++counters.pairs_ended;
  log("ended", fmt::format("no more forwarding for {}: {}", describe(pair.route), end.to_string()));
  // What is missing from its conversation would be missed for as long as it is connected: it comes back and begins
  // anew.
  const bool lacks_something = end.code == error::stalled || end.code == error::protocol_violation_on_circuit;
  if (lacks_something && on_peer_failed) on_peer_failed(pair.route.cluster_peer_id, end);
}

std::size_t Forwarding::pairs() const noexcept { return state_->pairs_count; }
const ForwardCounters& Forwarding::counters() const noexcept { return state_->counters; }

} // namespace trunkline::quarkchain

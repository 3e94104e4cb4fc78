// The connections of a slave to the other slaves, made from either side.
#pragma once

#include "async/tasks.hpp"
#include "services/quarkchain/rpc/rpc.hpp"
#include "services/quarkchain/cluster/xshard_routes.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

/// A slave as CONNECT_TO_SLAVES lists it.
struct SlaveTarget {
  SlaveIdentity identity;
  std::string address; // "tcp://host:port"; empty where the entry was not valid

  SlaveTarget() = default;
  SlaveTarget(SlaveIdentity who, std::string where) : identity(std::move(who)), address(std::move(where)) {}
};

struct SlavePoolOptions {
  std::string id; // our own
  std::shared_ptr<const std::vector<std::uint32_t>> branches; // of the cluster; null: any
  /// Connects to an address; throws where that fails.
  std::function<awaitable<std::shared_ptr<RpcCircuit>>(std::string address)> dial;
  /// Sends PING with our own identity and returns the identity in the PONG.
  std::function<awaitable<SlaveIdentity>(std::shared_ptr<RpcCircuit>)> greet;
  std::chrono::milliseconds greet_deadline{10000};    // from the connection to PONG
  std::chrono::milliseconds identify_deadline{10000}; // of an inbound connection, to its PING
  std::size_t unidentified_max = 256;                 // inbound connections that have not said PING,
  std::size_t unidentified_per_host_max = 64;         // and those of one host; beyond either the oldest is closed
  std::vector<std::string> known_ids;                 // others are closed at their PING; empty: any may come
  std::size_t links_per_slave_max = 8;                // inbound, of one id; beyond it the oldest is closed
  std::function<void(RpcCircuit&)> on_identified;     // an inbound connection has said an acceptable PING
  std::size_t slaves_max = 1024;                      // that CONNECT_TO_SLAVES has named; further ones are refused
  std::chrono::milliseconds redial_delay_min{1000};   // doubled after each failure
  std::chrono::milliseconds redial_delay_max{30000};
  bool strict_parity = false; // connections that end stay in the routes and are never dialled again
  LogSink log;

  SlavePoolOptions() = default;
};

struct SlavePoolCounters {
  std::uint64_t dials = 0;
  std::uint64_t redials = 0;
  std::uint64_t dials_failed = 0;        // also a wrong id or shard list
  std::uint64_t identified = 0;          // inbound
  std::uint64_t unidentified_closed = 0;  // unidentified_max, or unidentified_per_host_max
  std::uint64_t identify_timeouts = 0;    // identify_deadline
  std::uint64_t identities_refused = 0;   // PINGs of ids that are not known, or of no or too many shards
  std::uint64_t links_replaced = 0;       // links_per_slave_max
  std::uint64_t lost = 0;                 // connections that were in the routes
};

/// Two slaves may have a connection in each direction, and keep both: if each side closed one because of the other,
/// both would be lost when the slaves dial each other at the same moment. One executor; not thread safe.
class SlavePool {
 public:
  SlavePool(Executor executor, SlavePoolOptions options);
  ~SlavePool();
  SlavePool(const SlavePool&) = delete;
  SlavePool& operator=(const SlavePool&) = delete;

  /// Connects to every slave that is not ourselves and not connected, all at once, and remembers where it is for
  /// dialling again. One result for each target, in its order: empty for success, else a text. Errors: none.
  awaitable<std::vector<std::string>> connect(std::vector<SlaveTarget> targets);

  /// Takes an inbound connection. At unidentified_max the one that has been silent for longest is closed for it. False
  /// when the pool is closed, or the connection has ended already.
  bool accept(std::shared_ptr<RpcCircuit> circuit);
  /// Notes the identity in the first PING of a connection; call it before the reply. Later PINGs change nothing. An id
  /// that is not one of known_ids, no shards or too many shards close the connection and return false.
  bool identify(RpcCircuit& circuit, SlaveIdentity identity);
  /// The identity that came in a PING, or in the PONG to ours; null before.
  const SlaveIdentity* identity_of(const RpcCircuit& circuit) const;
  /// Takes a circuit that has ended out of the routes, and dials its slave again. Call it from RpcServer::on_ended.
  void ended(RpcCircuit& circuit);

  const XshardRoutes& routes() const noexcept;
  /// All open ones, identified or not.
  std::vector<std::shared_ptr<RpcCircuit>> circuits() const;
  std::size_t unidentified() const noexcept;
  const SlavePoolCounters& counters() const noexcept;
  /// Stops dialling and closes all connections, also those that come later. Idempotent.
  void close(End reason = {});
  /// Waits until all its tasks have ended. Call it after `close`.
  awaitable<void> closed();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace trunkline::quarkchain

// Which connections lead to the slaves that run a shard.
#pragma once

#include "services/quarkchain/rpc/rpc.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

/// The identity of a slave, as PING and PONG carry it.
struct SlaveIdentity {
  std::string id;
  std::vector<std::uint32_t> full_shard_ids; // in its order

  SlaveIdentity() = default;
  SlaveIdentity(std::string own_id, std::vector<std::uint32_t> shards)
      : id(std::move(own_id)), full_shard_ids(std::move(shards)) {}
  friend bool operator==(const SlaveIdentity&, const SlaveIdentity&) = default;
};

/// The connections by full shard id, several for each. `erase` removes a connection; in strict parity with pyquarkchain
/// it stays, and sending there fails.
class XshardRoutes {
 public:
  /// `branches`: shards outside of them are not indexed; null: all are.
  explicit XshardRoutes(std::shared_ptr<const std::vector<std::uint32_t>> branches = nullptr,
                        bool strict_parity = false);

  void add(const SlaveIdentity& slave, std::shared_ptr<RpcCircuit> circuit);
  void erase(const RpcCircuit& circuit);
  /// One connection for each slave that runs the shard, in the order in which the slaves came, so that a broadcast
  /// reaches each slave once. With strict parity also slaves whose connection has ended.
  std::vector<std::shared_ptr<RpcCircuit>> to(std::uint32_t full_shard_id) const;
  /// One connection for each slave.
  std::vector<std::shared_ptr<RpcCircuit>> to_all() const;
  /// Whether a connection to this slave is there; with strict parity, whether there ever was.
  bool knows(const std::string& slave_id) const;
  /// The number of connections, not of slaves.
  std::size_t size() const noexcept { return entries_.size(); }

 private:
  struct Entry {
    SlaveIdentity slave; // its shards sorted, each once, those that are indexed
    std::shared_ptr<RpcCircuit> circuit;
  };

  std::shared_ptr<const std::vector<std::uint32_t>> branches_;
  bool strict_parity_;
  std::vector<Entry> entries_; // in the order in which they came
  std::map<std::uint32_t, std::vector<std::size_t>> by_shard_;

  void index();
  std::vector<std::shared_ptr<RpcCircuit>> choose(const std::vector<std::size_t>& entries) const;
};

} // namespace trunkline::quarkchain

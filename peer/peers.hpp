// The instances of a node's services: how they start, which of them a circuit gets, and how they end.
#pragma once

#include "circuit/machine.hpp"
#include "peer/local_peer.hpp"
#include "peer/node_link.hpp"
#include "peer/registry.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <vector>

namespace trunkline {

class NodeCore;

/// The services of one node and the peers that run there. A part of its NodeCore, with the same lifetime.
class Peers {
 public:
  explicit Peers(NodeCore& core) : core_(core) {}
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  Registry& registry() noexcept { return registry_; }

  // Starting.
  /// Either a running peer, or why there is none.
  struct Answer {
    std::shared_ptr<LocalPeer> peer;
    error reason = error::none;
    std::string text;
    std::string existing_url; // of an instance that could be joined instead
    bool is_new = false;      // it has just been started
    bool is_denied = false;   // a rule says no
  };
  /// Starts an instance of a service. `starter`: the trunk whose far side asks for it; null when this side does.
  Answer start(const std::string& service, PeerId id, const std::shared_ptr<NodeLink>& starter = nullptr);
  std::shared_ptr<LocalPeer> new_peer(std::string name);
  /// Updates the URLs of the peers: the node listens at another address than before.
  void rename();

  // Circuits that far sides open.
  /// Gives the circuit to its peer, starts that peer if the open asks for it, or refuses the circuit.
  void answer(const std::shared_ptr<NodeLink>& link, TrunkCircuit& circuit, const OpenRequest& open);
  /// Sends a peer's metadata to the far side of a link that does not know the peer yet.
  static void introduce(NodeLink& link, const LocalPeer& peer);
  /// Sends the peer's metadata to all links that know the peer.
  void set_metadata(LocalPeer& peer);
  std::size_t circuits_count(const LocalPeer& peer) const;

  // Ending.
  /// Ends a peer. `failed`: its service threw; its circuits are then reset instead of closed.
  void end(LocalPeer& peer, End reason, bool failed);
  /// Notes and logs an exception that left a service. Returns the reason with which the circuits that it served end.
  End handler_failed(const LocalPeer& peer, std::exception_ptr failure);
  /// The same of a task that works on one circuit; also when it was cancelled because that has ended.
  End handler_failed(const LocalPeer& peer, const OwnedCircuit& circuit, std::exception_ptr failure);
  /// Notes and logs that what left a service is the end of a circuit that a caller had opened to it: callers may leave.
  /// False for anything else.
  bool caller_left(const LocalPeer& peer, std::exception_ptr failure);
  /// The same of a task that works on one circuit; also when it was cancelled because that has ended.
  bool caller_left(const LocalPeer& peer, const OwnedCircuit& circuit, std::exception_ptr failure);
  /// Peers that have ended and may still have tasks.
  const std::vector<std::weak_ptr<LocalPeer>>& ending() const noexcept { return ending_; }
  /// The number of ended peers that still have tasks.
  std::size_t ending_count() const;

  std::uint64_t circuits_refused() const noexcept { return circuits_refused_; }
  std::uint64_t callers_left() const noexcept { return callers_left_; }
  std::uint64_t services_failed() const noexcept { return services_failed_; }

 private:
  static awaitable<void> run_service(std::shared_ptr<LocalPeer> peer, PeerServiceFunc function);
  std::shared_ptr<LocalPeer> make_peer(std::string service, PeerId id, bool takes_circuits);
  Permission permission(const RemoteIdentity* who, const std::string& service) const;
  std::string served_to(const NodeLink& link) const;
  Answer find_or_start_permitted(const std::shared_ptr<NodeLink>& link, const OpenRequest& open);
  Answer find_or_start(const std::shared_ptr<NodeLink>& link, const OpenRequest& open);
  void find_room(Answer& answer) const;
  std::string limit_reached(const NodeLink& starter) const;
  End note_failure(const LocalPeer& peer, const CircuitNames* circuit, const std::string& what);
  void note_caller_left(const LocalPeer& peer, const CircuitNames& names, const std::string& end);
  void refuse_overdue(LocalPeer& peer);
  void watch_queue(LocalPeer& peer);

  NodeCore& core_;
  Registry registry_;
  std::size_t of_others_ = 0; // that run here and were started from the far side of a trunk
  std::vector<std::weak_ptr<LocalPeer>> ending_; // not in the registry any more, tasks perhaps still running
  std::size_t ending_swept_ = 0; // how many of them were left when those that are gone were taken out
  std::uint64_t circuits_refused_ = 0;
  std::uint64_t callers_left_ = 0;
  std::uint64_t services_failed_ = 0;
};

} // namespace trunkline

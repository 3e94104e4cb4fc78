// A running instance of a service here: what a PeerServiceFunc is given, and what it opens circuits from.
#pragma once

#include "async/tasks.hpp"
#include "async/types.hpp"
#include "circuit/circuit.hpp"
#include "peer/url.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace trunkline {

class Node;
class NodeCore;
class LocalPeer;

/// Where a peer hears of circuits that others opened to it.
class CircuitInbox {
 public:
  /// The next circuit, or nullopt when this peer is ending. Its first fragment, if the opener gave one, is the first
  /// that it receives. Cancelled: nothing is taken.
  awaitable<std::optional<Circuit>> next();
  /// The next circuit, if one waits now. For services of many short circuits: only what has to wait pays for a
  /// coroutine.
  std::optional<Circuit> try_next();

 private:
  friend class LocalPeer;
  friend class NodeCore;
  explicit CircuitInbox(LocalPeer& peer) : peer_(&peer) {}
  static std::optional<Circuit> take(LocalPeer& peer);

  LocalPeer* peer_;
};

/// One call of it is the whole life of one peer: when it returns or throws, the peer ends.
using PeerServiceFunc = std::function<awaitable<void>(LocalPeer&, CircuitInbox&)>;
/// The short form, for services that answer one circuit at a time; each call owns its circuit.
using CircuitServiceFunc = std::function<awaitable<void>(Circuit)>;

/// A running instance of a service on this node. One executor; not thread safe.
class LocalPeer : public std::enable_shared_from_this<LocalPeer> {
 public:
  ~LocalPeer();
  LocalPeer(const LocalPeer&) = delete;
  LocalPeer& operator=(const LocalPeer&) = delete;

  const PeerId& id() const noexcept;
  const std::string& service() const noexcept;
  /// The URL by which others reach it: the node's first listening address, or node://... when it listens nowhere.
  PeerUrl url() const;
  Executor executor() const;

  // None of these waits, and none needs a round trip. A refusal or a failed dial ends the circuit with its reason.
  // Errors, all of them about this side: error::peer_ended (or what this peer was closed with), error::node_closed,
  // error::draining.
  /// A circuit to a running peer; dials when there is no trunk to its node (see Circuit::dialled). A URL without a
  /// peer id names whichever instance runs there, as `join_or_start` does.
  Circuit new_circuit(const PeerUrl& there, Fragment first, CircuitOptions options = CircuitOptions());
  Circuit new_circuit(const PeerUrl& there, CircuitOptions options = CircuitOptions());
  /// Starts a new instance of a service at an address and opens a circuit to it in one flight.
  Circuit start(const std::string& address, const std::string& service, std::optional<Fragment> first,
                CircuitOptions options = CircuitOptions());
  /// A circuit to the instance that runs at an address, or to a new one when none runs. Who it is, is known when
  /// `accepted` returns.
  Circuit join_or_start(const std::string& address, const std::string& service, std::optional<Fragment> first,
                        CircuitOptions options = CircuitOptions());

  /// Runs `function(circuit, args...)` as a task of this peer: cancelled and joined when the peer ends. The circuit is
  /// closed when the function returns (what it sent arrives) and reset when it throws. A circuit that the function
  /// moved elsewhere is left to its new owner.
  template <class Function, class... Arguments> void spawn(Function function, Circuit circuit, Arguments... arguments) {
    if constexpr (sizeof...(Arguments) == 0 && std::is_copy_constructible_v<Function>) {
      spawn_circuit(std::move(function), std::move(circuit));
    } else {
      // Shared, because std::function wants to copy what an argument may not.
      auto bound = std::make_shared<std::tuple<Function, Arguments...>>(std::move(function), std::move(arguments)...);
      spawn_circuit(
          [bound](Circuit owned) {
            return std::apply(
                [&owned](Function& call, Arguments&... with) { return call(std::move(owned), std::move(with)...); },
                *bound);
          },
          std::move(circuit));
    }
  }
  /// Runs a coroutine as a task of this peer. An exception is logged and ends nothing else.
  void spawn(awaitable<void> task);

  /// User metadata, told to the far side of every trunk on which this peer has circuits, when it changes.
  /// Errors: std::length_error beyond metadata_bytes_max.
  void set_metadata(std::string key, std::string value);
  /// Takes a key back, there too. Unknown ones are ignored.
  void remove_metadata(const std::string& key);

  /// Ends the peer: its inbox says nullopt, its circuits close with error::peer_ended (or this reason), its tasks are
  /// cancelled. Returns at once; `ended` waits.
  void close(End reason = {});
  /// Waits until the service has returned and every task is joined. Do not wait for it in a task of this peer.
  awaitable<void> ended();
  bool is_ending() const noexcept;
  /// Circuits that have not ended, on all trunks; counts them one by one.
  std::size_t circuits_count() const;

 private:
  friend class NodeCore;
  friend class CircuitInbox;
  struct State;

  explicit LocalPeer(std::unique_ptr<State> state);
  Circuit open(const std::string& address, OpenMode mode, PeerId to, const std::string& service,
               std::optional<Fragment> first, CircuitOptions options);
  void spawn_circuit(std::function<awaitable<void>(Circuit)> function, Circuit circuit);
  // What runs keeps the peer alive, so these take it by value.
  static awaitable<void> run_circuit(std::shared_ptr<LocalPeer> peer, std::function<awaitable<void>(Circuit)> function,
                                     OwnedCircuit owned, Circuit circuit);
  static awaitable<void> run_task(std::shared_ptr<LocalPeer> peer, awaitable<void> task);
  static awaitable<void> join(std::shared_ptr<LocalPeer> peer);

  std::unique_ptr<State> state_;
};

} // namespace trunkline

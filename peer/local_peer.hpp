// A running instance of a service on this node: it takes circuits and opens circuits.
#pragma once

#include "async/types.hpp"
#include "circuit/circuit.hpp"
#include "fragment/error.hpp"
#include "peer/permission.hpp"
#include "peer/url.hpp"

#include <boost/system/system_error.hpp>

#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace trunkline {

class LocalPeer;
class OwnedCircuit;
class Peers;

/// The circuits that others have opened to a peer, and that the peer has not yet taken.
class CircuitInbox {
 public:
  /// Waits for the next circuit; nullopt when this peer is ending. A fragment that the opener gave at the opening is
  /// the first one that the circuit receives. Cancelled: nothing is taken.
  awaitable<std::optional<Circuit>> next();
  /// The next circuit if there is one now; nullopt otherwise. Cheaper than `next` for services of many short circuits,
  /// because it costs no coroutine.
  std::optional<Circuit> try_next();

 private:
  friend class LocalPeer;
  friend class Peers;
  explicit CircuitInbox(LocalPeer& peer) : peer_(&peer) {}
  static std::optional<Circuit> take(LocalPeer& peer);

  LocalPeer* peer_;
};

/// A peer on another node.
struct RemotePeer {
  PeerUrl url;
  bool dialled = false; // a new connection was made for it
};

/// Thrown when a start is refused with error::service_limit_reached.
class ServiceLimitReached : public boost::system::system_error {
 public:
  ServiceLimitReached(const std::string& text, std::string existing_url)
      : system_error(make_error_code(error::service_limit_reached), text), existing_url_(std::move(existing_url)) {}

  /// The URL of an instance that could be joined instead, as the refusing node sent it: PeerUrl::parse may throw. Empty
  /// when another limit than that of the service was reached, or the node named no instance.
  const std::string& existing_url() const noexcept { return existing_url_; }

 private:
  std::string existing_url_;
};

/// Thrown by a request that was answered with an error fragment.
class ErrorReply : public boost::system::system_error {
 public:
  explicit ErrorReply(Fragment reply);

  const Fragment& reply() const noexcept { return *reply_; }

 private:
  std::shared_ptr<const Fragment> reply_; // shared: exceptions are copied
};

/// What a service says of itself when it is registered.
struct ServiceOptions {
  std::size_t instances_max = 0; // at once; 0: any number. Beyond it a start is refused with the URL of one that runs
  /// Circuits on which an instance works at once: those of the tasks that `serve` or LocalPeer::spawn runs; 0: any
  /// number. The others wait in its inbox.
  std::size_t circuits_max = 0;
  /// Circuits that may wait there; more are refused as error::service_limit_reached, with a text that names this limit.
  std::size_t queue_max = std::numeric_limits<std::size_t>::max();
  /// A circuit that has waited there for longer is refused in the same way.
  Duration queue_deadline = Duration::max();
  /// A task that works on a circuit goes on when its caller is gone: it resets the circuit, its deadline passes, the
  /// connection is lost. Otherwise the task is cancelled where it waits, unless it waits on the circuit and hears it.
  bool runs_on = false;
  /// Who may open circuits to the service, and start it; anybody unless given. NodeOptions::allow is asked, too.
  Allow allow;

  ServiceOptions() = default;
  explicit ServiceOptions(std::size_t instances) : instances_max(instances) {}

  /// Throws std::invalid_argument that names the member, its value and what it must be.
  void check() const;
};

/// One call is the whole life of one peer: when it returns or throws, the peer ends.
using PeerServiceFunc = std::function<awaitable<void>(LocalPeer&, CircuitInbox&)>;
/// The short form, for services without a state of their own: one call for each circuit, which it owns.
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

  // These do not wait, and none needs a round trip: a refusal or a failed dial ends the circuit with its reason.
  // Errors, all of them about this side: error::peer_ended (or the reason with which this peer was closed),
  // error::node_closed, error::draining.
  /// Opens a circuit to a running peer; dials when there is no trunk to its node (see Circuit::dialled). With a URL
  /// without a peer id it does the same as `join_or_start`.
  Circuit new_circuit(const PeerUrl& there, Fragment first, CircuitOptions options = CircuitOptions());
  Circuit new_circuit(const PeerUrl& there, CircuitOptions options = CircuitOptions());
  /// Starts a new instance of a service at an address and opens a circuit to it in one flight.
  Circuit start(const std::string& address, const std::string& service, std::optional<Fragment> first,
                CircuitOptions options = CircuitOptions());
  /// Opens a circuit to the instance of a service that runs at an address, or to a new one when none runs ("prefer
  /// extant" in rpc25519). The peer that answers is known once Circuit::accepted has returned.
  Circuit join_or_start(const std::string& address, const std::string& service, std::optional<Fragment> first,
                        CircuitOptions options = CircuitOptions());

  /// As `new_circuit`, but waits while the far side has as many circuits of this node as it takes (circuits_max), and
  /// for a connection that is made for others. Refused all the same while services hold on to circuits_max that are over.
  /// The deadline of the options counts from now on. Cancelled: nothing was opened. Errors also: error::deadline_passed.
  awaitable<Circuit> new_circuit_when_room(PeerUrl there, std::optional<Fragment> first,
                                           CircuitOptions options = CircuitOptions());

  /// One request, one reply: opens a circuit to a service (as `join_or_start`), says all there is to say, takes the
  /// first fragment that comes back and closes the circuit. After `deadline` the request is given up on both sides, and
  /// the service's handler of it is cancelled, as it is when this is cancelled. Errors: ErrorReply for an error
  /// fragment; the reason why the circuit ended, such as a refusal or error::deadline_passed; error::circuit_closed for
  /// a service that ended without a reply.
  awaitable<Fragment> request(std::string address, std::string service, Fragment fragment,
                              Duration deadline = Duration::max());
  /// The same with more to say about the circuit; the deadline is in the options.
  awaitable<Fragment> request(std::string address, std::string service, Fragment fragment, CircuitOptions options);

  /// Starts a new instance of a service at an address without a circuit to it, and waits until it runs. Errors also:
  /// the reason of a refusal (ServiceLimitReached where it is that), error::timed_out after `wait_up_to`, the failure
  /// of a dial. Cancelled or timed out: the instance may have started.
  awaitable<RemotePeer> start_only(std::string address, std::string service, Duration wait_up_to);

  /// Runs `function(circuit, args...)` as a task of this peer: cancelled and joined when the peer ends. The circuit is
  /// closed when the function returns and still holds it as its parameter (everything sent arrives), and reset when it
  /// throws. A handle that the function has moved elsewhere is like any other: dropped before it was finished or closed,
  /// the circuit is abandoned, so that half a stream does not look whole. When the function has passed the circuit to
  /// another `spawn`, that task decides. Errors: error::handle_misused for an empty handle.
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
  /// Runs a coroutine as a task of this peer: cancelled and joined when the peer ends. Its exception is logged and ends
  /// nothing else.
  void spawn(awaitable<void> task);

  /// Sets an item of user metadata, and sends it to the far side of every trunk on which this peer has circuits.
  /// Errors: std::length_error beyond metadata_bytes_max.
  void set_metadata(std::string key, std::string value);
  /// Removes an item, on the far sides as well. Unknown keys are ignored.
  void remove_metadata(const std::string& key);

  /// Ends the peer: its inbox returns nullopt, its circuits close with error::peer_ended (or this reason), its tasks
  /// are cancelled. Does not wait; `ended` does.
  void close(End reason = {});
  /// Waits until the service has returned and every task is joined. A task of this peer must not call it: it would wait
  /// for itself.
  awaitable<void> ended();
  bool is_ending() const noexcept;
  /// The number of its circuits that have not ended; looks at all circuits of all its trunks.
  std::size_t circuits_count() const;

 private:
  friend class Peers;
  friend class CircuitInbox;
  struct State;

  /// A task that works on a circuit, as circuits_max counts them.
  class Working {
   public:
    explicit Working(std::shared_ptr<LocalPeer> peer);
    Working(Working&&) noexcept = default;
    Working& operator=(Working&&) = delete;
    ~Working();

   private:
    std::shared_ptr<LocalPeer> peer_;
  };

  explicit LocalPeer(std::unique_ptr<State> state);
  void check_running() const;
  Circuit open(const std::string& address, OpenMode mode, PeerId to, const std::string& service,
               std::optional<Fragment> first, CircuitOptions options);
  void spawn_circuit(std::function<awaitable<void>(Circuit)> function, Circuit circuit);
  // Coroutines keep the peer alive, so these take it by value.
  static awaitable<void> run_circuit(std::shared_ptr<LocalPeer> peer, std::function<awaitable<void>(Circuit)> function,
                                     OwnedCircuit owned, Circuit circuit, Working working);
  static awaitable<Circuit> new_circuit_when_room(std::shared_ptr<LocalPeer> peer, PeerUrl there,
                                                  std::optional<Fragment> first, CircuitOptions options);
  static awaitable<Fragment> request(std::shared_ptr<LocalPeer> peer, std::string address, std::string service,
                                     Fragment fragment, CircuitOptions options);
  static awaitable<RemotePeer> start_only(std::shared_ptr<LocalPeer> peer, std::string address, std::string service,
                                          Duration wait_up_to);
  static awaitable<void> run_task(std::shared_ptr<LocalPeer> peer, awaitable<void> task);
  static awaitable<void> join(std::shared_ptr<LocalPeer> peer);

  std::unique_ptr<State> state_;
};

} // namespace trunkline

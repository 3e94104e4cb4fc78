// The connections of a node or a cluster, in any dialect: listens, dials within a deadline, turns connections away at
// limits, runs sessions, and logs all of it.
#pragma once

#include "async/limited_log.hpp"
#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "async/types.hpp"
#include "circuit/trunk.hpp"
#include "fragment/log.hpp"
#include "transport/media.hpp"
#include "transport/newcomers.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

class Session;

/// One connection and the trunk on it, from the attempt to connect until the connection is closed. A node and a cluster
/// each derive a class with their own data from it.
class Link : public Trunk::Owner, public std::enable_shared_from_this<Link> {
 public:
  /// Each is entered once, in this order; `over` may follow any of them.
  enum class Phase : std::uint8_t { connecting, handshaking, open, over };

  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  virtual ~Link() = default;

  const std::shared_ptr<Trunk>& trunk() const noexcept { return trunk_; }
  Phase phase() const noexcept { return phase_; }
  bool dialled() const noexcept { return !dialled_address_.empty(); } // by us
  const std::string& dialled_address() const noexcept { return dialled_address_; } // empty when it was accepted
  /// How log lines name the far end: the dialled address, or what the transport says.
  const std::string& remote() const noexcept { return remote_; }
  /// The far end's host as the transport knows it; empty where it has none, and before there is a connection.
  const std::string& remote_host() const noexcept { return remote_host_; }
  /// Why it is over, once it is.
  const End& end() const noexcept { return end_; }
  /// Returns when the phase has changed; wait in a loop over it.
  awaitable<void> changed() { return changed_.wait(); }

  /// Names the far end as the transport does, instead of by the dialled address.
  void set_remote(std::string remote, std::string remote_host);
  /// The far side's hello has arrived.
  void set_open() noexcept { phase_ = Phase::open; }
  void set_over(End reason);
  /// Resumes the coroutines that wait in `changed`.
  void announce() noexcept { changed_.notify_all(); }

 protected:
  /// For a link that will be dialled.
  explicit Link(std::string dialled_address);
  /// For an accepted connection, with the names that the transport has for the far end.
  Link(std::string remote, std::string remote_host);

 private:
  friend class Links;

  /// What log lines call it: "trunk", "p2p connection".
  virtual std::string kind() const = 0;

  std::shared_ptr<Trunk> trunk_;
  Phase phase_ = Phase::connecting;
  std::string dialled_address_;
  std::string remote_;
  std::string remote_host_;
  End end_;
  Signal changed_;
  bool abandoned_ = false; // connecting: not wanted any more
  Signal abandon_;
  std::uint64_t number_ = 0; // in the order in which they began to run
  TimePoint began_at_{}; // the same as a time
  Session* session_ = nullptr; // while it runs
  Transport* securing_ = nullptr; // during the handshake of its transport
  bool cut_ = false; // over, and its far side is not waited for
};

struct LinksOptions {
  Media media; // that can be dialled and listened on, no others
  std::chrono::milliseconds connect_deadline{10000};
  std::chrono::milliseconds goodbye_deadline{1000}; // of a session, to flush its last words
  std::chrono::milliseconds handshake_deadline{5000}; // of an accepted connection's transport (TLS), all of it
  LogSink log;
  /// Accepted connections that have not said who they are, and those of one host; beyond it the oldest is closed.
  std::size_t newcomers_max = 256;
  std::size_t newcomers_per_host_max = 64;

  LinksOptions() = default;
};

struct LinksCounters {
  std::uint64_t dials = 0;
  std::uint64_t accepted = 0;
  std::uint64_t turned_away = 0; // at a limit, for want of descriptors, or because it said nothing and others came
};

/// Listens and dials for one owner, and runs a session on each connection. The owner keeps the list of links. One
/// executor; not thread safe.
class Links {
 public:
  /// The node or the cluster; the Links are a part of it.
  class Owner {
   public:
    /// Returns a reference that keeps the owner alive; each coroutine of the Links holds one.
    virtual std::shared_ptr<void> keep() = 0;
    /// The limit that an accepted connection has reached ("trunks_max 1024"): it is then turned away, unless another
    /// one gives way. Empty for none. Links bounds newcomers itself.
    virtual std::string limit_reached(const Transport& transport) const = 0;
    /// Throws error::connect_failed, or what says more, for a link that must not be connected.
    virtual void check_dial(const Link& /*link*/) {}
    /// The dial waits until then.
    virtual TimePoint dial_at(const Link& /*link*/) { return TimePoint::min(); }
    /// The connection of a link is closed, or its dial has failed.
    virtual void on_gone(const std::shared_ptr<Link>& link) = 0;

   protected:
    ~Owner() = default;
  };

  Links(Executor executor, LinksOptions options, Owner& owner);
  Links(const Links&) = delete;
  Links& operator=(const Links&) = delete;

  /// Binds, and hands every connection to `accepted`, which runs it as a link or drops it. Returns the real address.
  /// Errors: error::unknown_scheme; boost::system::system_error that names the address.
  std::string listen(std::string_view address, std::function<void(std::unique_ptr<Transport>)> accepted);
  /// The real addresses, in the order of the calls to `listen`.
  const std::vector<std::string>& addresses() const noexcept { return addresses_; }
  /// Asks the listeners for their addresses again.
  void refresh_addresses();
  /// Stops accepting; the addresses are free at once.
  void close_listeners();

  /// Gives a link its trunk. There need not be a connection yet: until there is one, opens and fragments wait in the
  /// machine, and they leave in the first packet.
  void make_trunk(const std::shared_ptr<Link>& link, std::unique_ptr<Machine> machine) const;
  /// Connects a link that has its trunk, and runs a session on it. When that fails, the trunk ends with
  /// error::connect_failed.
  void dial(std::shared_ptr<Link> link);
  /// The first half of `dial`, for a link that gets its trunk afterwards. Errors: error::connect_failed, which names
  /// the address, also after connect_deadline; error::unknown_scheme.
  awaitable<std::unique_ptr<Transport>> connect(std::shared_ptr<Link> link);
  /// Runs a session on a link that has its trunk. One that was accepted is a newcomer until `identified`.
  void run(std::shared_ptr<Link> link, std::unique_ptr<Transport> transport, bool is_known = false);
  /// The far side has said who it is: the link does not give way to others any more.
  void identified(const Link& link) { newcomers_.erase(&link); }
  /// Gives up a link that is still connecting. Its circuits end with this reason.
  void abandon(const std::shared_ptr<Link>& link, End reason) const;
  /// Logs that the trunk of a link is over. Returns false when it was lost instead of closed.
  bool note_over(const Link& link);

  std::size_t size() const noexcept { return count_; }
  /// Waits until no link is left.
  awaitable<void> gone();
  /// Runs a task that `cancel` cancels and `join` waits for.
  void spawn(awaitable<void> task) { tasks_.spawn(std::move(task)); }
  void cancel() noexcept { tasks_.cancel(); }
  awaitable<void> join() { return tasks_.join(); }

  const Executor& executor() const noexcept { return executor_; }
  const LinksCounters& counters() const noexcept { return counters_; }
  /// A line that only this side's own doings cause.
  void log(LogLevel level, std::string_view text) noexcept { lines_.write(level, text); }
  /// One that a far side can cause as often as it likes; see LimitedLog.
  void log(const char* kind, LogLevel level, std::string_view text) noexcept;

 private:
  // Coroutines keep the owner, so they take these by value.
  static awaitable<void> accept_all(std::shared_ptr<Links> self, std::shared_ptr<Listener> listener,
                                    std::function<void(std::unique_ptr<Transport>)> accepted);
  static awaitable<std::unique_ptr<Transport>> connect(std::shared_ptr<Links> self, std::shared_ptr<Link> link);
  static awaitable<void> abandoned(std::shared_ptr<Link> link);
  static awaitable<void> run_dialled(std::shared_ptr<Links> self, std::shared_ptr<Link> link);
  static awaitable<void> run_connected(std::shared_ptr<Links> self, std::shared_ptr<Link> link,
                                       std::unique_ptr<Transport> transport);
  static awaitable<End> secure(std::shared_ptr<Links> self, std::shared_ptr<Link> link, Transport* transport);
  static awaitable<void> gone(std::shared_ptr<Links> self);
  std::shared_ptr<Links> self() { return {owner_.keep(), this}; }
  void set_connected(Link& link, const Transport& transport) const;
  void take(std::unique_ptr<Transport> transport, const std::function<void(std::unique_ptr<Transport>)>& accepted);
  std::string make_room(const Transport& transport);
  bool cut_one_that_is_over();
  void close_newcomer(Link& link);
  void note_shortage(const Listener& listener, const Shortage& shortage);
  void forget(const std::shared_ptr<Link>& link);

  Executor executor_;
  LinksOptions options_;
  Owner& owner_;
  LinksCounters counters_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<std::string> addresses_;
  std::size_t count_ = 0; // of links that are connecting or have a connection
  std::uint64_t number_last_ = 0;
  std::map<std::uint64_t, Link*> running_; // those with a connection, in the order in which they came
  Newcomers newcomers_; // of those
  Signal one_gone_;
  LimitedLog lines_;
  Tasks tasks_; // listeners and links
};

} // namespace trunkline

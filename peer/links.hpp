// The connections of a node or of a cluster, as far as they are alike in every dialect: listening, dialling within a
// deadline, turning away, running sessions, and the log lines about all of it.
#pragma once

#include "async/log_rate.hpp"
#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "async/types.hpp"
#include "circuit/trunk.hpp"
#include "fragment/log.hpp"
#include "transport/media.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

/// One connection and the trunk on it, from the attempt to connect until the connection is closed. A node or a cluster
/// derives from it what it knows besides.
class Link : public Trunk::Owner, public std::enable_shared_from_this<Link> {
 public:
  /// Each is entered once, in this order; over may come from any of them.
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
  /// As the transport knows it; empty where it has none, and before there is a connection.
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
  /// One that is to be dialled.
  explicit Link(std::string dialled_address);
  /// One that was accepted, with the names that the transport has for the far end.
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
};

struct LinksOptions {
  Media media; // that can be dialled and listened on, no others
  std::chrono::milliseconds connect_deadline{10000};
  std::chrono::milliseconds goodbye_deadline{1000}; // of a session, to flush its last words
  LogSink log;
  /// Of each kind of line that far sides can cause at will, in ten seconds; the others are counted.
  std::uint32_t log_lines_max = std::numeric_limits<std::uint32_t>::max();

  LinksOptions() = default;
};

struct LinksCounters {
  std::uint64_t dials = 0;
  std::uint64_t accepted = 0;
  std::uint64_t turned_away = 0; // at a limit
};

/// Listens and dials for one owner, and runs a session on each connection. Which links there are is known to the owner.
/// One executor; not thread safe.
class Links {
 public:
  /// The node or the cluster; the Links are a part of it.
  class Owner {
   public:
    /// Keeps the owner for as long as a coroutine of its Links runs.
    virtual std::shared_ptr<void> keep() = 0;
    /// The limit that an accepted connection has met ("trunks_max 1024"), which turns it away; empty for none.
    virtual std::string limit_reached(const Transport& transport) const = 0;
    /// Throws error::connect_failed for a link that `dial` shall not connect.
    virtual void check_dial(const Link& /*link*/) const {}
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
  /// The real ones, in the order of the calls to `listen`.
  const std::vector<std::string>& addresses() const noexcept { return addresses_; }
  /// Stops accepting; the addresses are free at once.
  void close_listeners();

  /// Gives a link its trunk. There need not be a connection yet: what is opened and sent meanwhile waits in the machine
  /// and leaves in the first packet.
  void make_trunk(const std::shared_ptr<Link>& link, std::unique_ptr<Machine> machine) const;
  /// Connects a link that has its trunk, and runs it; the trunk ends with error::connect_failed where that fails.
  void dial(std::shared_ptr<Link> link);
  /// The first half of `dial`, for a link that gets its trunk afterwards. Errors: error::connect_failed, which names
  /// the address, also after connect_deadline; error::unknown_scheme.
  awaitable<std::unique_ptr<Transport>> connect(std::shared_ptr<Link> link);
  /// Runs a session on a link that has its trunk.
  void run(std::shared_ptr<Link> link, std::unique_ptr<Transport> transport);
  /// Gives up a link that is still connecting. Its circuits end with this reason.
  void abandon(const std::shared_ptr<Link>& link, End reason) const;
  /// Says in the log that a link is over. Returns whether it ended in order.
  bool log_over(const Link& link, bool limited = true);

  std::size_t size() const noexcept { return count_; }
  /// Waits until no link is left.
  awaitable<void> gone();
  /// A task that `join` waits for.
  void spawn(awaitable<void> task) { tasks_.spawn(std::move(task)); }
  void cancel() noexcept { tasks_.cancel(); }
  awaitable<void> join() { return tasks_.join(); }

  const Executor& executor() const noexcept { return executor_; }
  const LinksCounters& counters() const noexcept { return counters_; }
  void log(LogLevel level, std::string_view text) const;
  void log(LogRate& rate, LogLevel level, std::string text) const;

 private:
  // Coroutines keep the owner, so they take these by value.
  static awaitable<void> accept_all(std::shared_ptr<Links> self, std::shared_ptr<Listener> listener,
                                    std::function<void(std::unique_ptr<Transport>)> accepted);
  static awaitable<std::unique_ptr<Transport>> connect(std::shared_ptr<Links> self, std::shared_ptr<Link> link);
  static awaitable<void> abandoned(std::shared_ptr<Link> link);
  static awaitable<void> run_dialled(std::shared_ptr<Links> self, std::shared_ptr<Link> link);
  static awaitable<void> run_connected(std::shared_ptr<Links> self, std::shared_ptr<Link> link,
                                       std::unique_ptr<Transport> transport);
  static awaitable<void> gone(std::shared_ptr<Links> self);
  std::shared_ptr<Links> self() { return {owner_.keep(), this}; }
  static void set_connected(Link& link, const Transport& transport);
  void forget(const std::shared_ptr<Link>& link);

  Executor executor_;
  LinksOptions options_;
  Owner& owner_;
  LinksCounters counters_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<std::string> addresses_;
  std::size_t count_ = 0; // of links that are connecting or have a connection
  Signal one_gone_;
  LogRate turned_away_lines_;
  LogRate over_lines_;
  Tasks tasks_; // listeners and links
};

} // namespace trunkline

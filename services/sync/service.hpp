// The service "sync" of a node: the same on the side that asks and on the side that is asked, for push and for pull.
#pragma once

#include "async/clock.hpp"
#include "async/log_rate.hpp"
#include "async/signal.hpp"
#include "async/types.hpp"
#include "fragment/identity.hpp"
#include "peer/node.hpp"
#include "services/sync/budgets.hpp"
#include "services/sync/digest_threads.hpp"
#include "services/sync/location.hpp"
#include "services/sync/options.hpp"
#include "services/sync/report.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace trunkline::sync {

/// A sync that another node asked for, once it is over.
struct Answered {
  bool is_understood = false; // who asks has said what; otherwise `takes` and `path` mean nothing
  bool takes = false;         // this side: they push
  std::string path;           // below the root, as they say it
  std::string remote;         // the far end of the connection, "tcp://10.0.0.7:38291"
  NodeId node;                // as their Hello says
  std::string node_name;      // the same
  std::shared_ptr<const RemoteIdentity> identity; // what the connection proves; null: nothing
  std::shared_ptr<Trunk> trunk;
  CircuitId circuit = 0;
  Report report;
  Duration took{};
  std::string failure; // in words that are safe to show; empty: it was done

  Answered() = default;
  /// All of it in one line for people, safe to show.
  std::string to_string() const;
};

/// Of the syncs that others asked for.
struct AnsweredCounters {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t files = 0; // whose content was sent or received, of those that were done
  std::uint64_t bytes = 0; // of them
};

struct ServiceOptions {
  std::shared_ptr<Root> root; // what others may sync with; without one they may not
  bool read_only = false;     // others may read it, not write
  /// Opens what a request names beside its destination; below the root unless given. See open_aside.
  std::function<std::shared_ptr<Root>(const std::string& path, bool make)> aside;
  std::size_t answered_max = 64; // syncs that others asked for and that run; another one is refused in words
  std::size_t answered_per_remote_max = 8; // of those, the ones of one host, or of one node where there is no host
  Duration idle_max = std::chrono::seconds(60); // of a far side that owes us something, then its sync is given up
  std::size_t notes_max =
      10'000; // and as many errors of one of those syncs on_note hears; what follows is only counted
  std::size_t listing_bytes_max = 1ull << 30; // memory of the listings of all syncs that others asked for
  Tuning tuning;
  std::shared_ptr<DigestThreads> digest_threads; // of files; none: the node's own thread makes digests
  std::function<std::uint64_t()> random;              // for temporary names; the system's generator unless given
  std::function<void(const std::string&)> log;        // one line per sync that others asked for
  std::function<void(const Answered&, const std::string& line)> on_answered; // the same with its parts; `log` is then not called
  std::function<void(const Note&)> on_note;           // of those syncs

  ServiceOptions() = default;
};

/// The syncs of one node. Each is a peer of the service "sync" on both sides, which lives as long as the sync.
class Service : public std::enable_shared_from_this<Service> {
 public:
  /// Registers the service at the node. Errors: error::already_registered.
  static std::shared_ptr<Service> register_at(Node& node, ServiceOptions options);

  /// Brings what is at `source` to `path` below the root of the service at `address`.
  /// Cancelled: both sides give up, no temporary file is left. Errors: Failure, FileError, boost::system::system_error.
  awaitable<Report> push(Node& node, Source source, std::string address, std::string path, Options options,
                         Watch watch);
  /// Brings what is at `path` below the root of the service at `address` into `root` (nothing: a dry run into nothing).
  awaitable<Report> pull(Node& node, std::string address, std::string path, std::shared_ptr<Root> root, Options options,
                         Watch watch);

  /// Syncs that others ask for are refused from now on, and `drained` waits until those that run have ended.
  void refuse_new() noexcept { refusing_ = true; }
  awaitable<void> drained();
  std::size_t running_count() const noexcept { return running_count_; }
  const AnsweredCounters& answered() const noexcept { return answered_; }

  Service(Node& node, ServiceOptions options);

 private:
  struct Job;

  static awaitable<void> run_peer(std::shared_ptr<Service> self, LocalPeer& peer, CircuitInbox& circuits);
  awaitable<Report> ask(Node& node, std::shared_ptr<Job> job);
  awaitable<Report> run_job(Job& job, LocalPeer& peer, CircuitInbox& circuits);
  awaitable<void> answer(CircuitInbox& circuits);
  awaitable<Report> answer_request(Circuit& control, CircuitInbox& circuits, Answered& asked);
  Answered asked_on(const Circuit& control) const;
  void note_answered(const Answered& answered, TimePoint now);

  std::string remote_of(const Circuit& control) const;
  std::function<void(const Note&)> counted_notes() const;

  Node& node_;
  ServiceOptions options_;
  std::shared_ptr<Budgets> budgets_; // of the syncs that others asked for
  std::shared_ptr<Job> starting_; // while a peer is being started here
  std::map<PeerId, std::shared_ptr<Job>> jobs_; // of peers started here, until they run
  bool refusing_ = false;
  std::size_t running_count_ = 0; // that others asked for, or are about to: their circuit is open
  std::size_t answered_count_ = 0; // of those, the ones that are answered, <= answered_max
  std::map<std::string, std::size_t> answered_of_; // of those, by remote, <= answered_per_remote_max
  AnsweredCounters answered_;
  Signal ended_;
  LogRate done_lines_{100}; // of syncs that did what they were asked to
  LogRate failed_lines_;
};

} // namespace trunkline::sync

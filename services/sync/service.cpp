#include "services/sync/service.hpp"

#include "async/within.hpp"
#include "fragment/quote.hpp"
#include "async/task_group.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/giver.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/mode_changes.hpp"
#include "services/sync/owners.hpp"
#include "services/sync/path.hpp"
#include "services/sync/place.hpp"
#include "services/sync/selection.hpp"
#include "services/sync/taker.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <optional>
#include <random>
#include <stdexcept>
#include <utility>

namespace trunkline::sync {
namespace {

std::function<std::uint64_t()> system_random() {
  auto device = std::make_shared<std::random_device>();
  return [device] { return (std::uint64_t{(*device)()} << 32) | (*device)(); };
}

/// Of a source; a single file lies in nothing and nothing in it.
Place place_of(const Source& source) {
  return source.root && source.only.empty() ? Place(*source.root->directory("")) : Place();
}

/// Of a destination that may have to be made yet.
Place place_of(const std::shared_ptr<Root>& root, const std::string& path) {
  const std::shared_ptr<Root> there = open_destination(root, path, true);
  if (there) return Place(*there->directory(""));
  return Place(*root->directory(parent_of(path)), name_of(path));
}

wire::Request to_request(wire::Request::Role role, const std::string& path, const Options& options) {
  wire::Request request;
  request.set_version(protocol_version);
  request.set_role(role);
  request.set_path(path);
  to_wire(options, request);
  if (role == wire::Request::TAKE) request.clear_only(); // this side gives: it knows them, and they may be many
  return request;
}

/// What the far side said last, if it said why it gave up and nobody has read it.
std::exception_ptr said_unread(Circuit& control) {
  try {
    while (const std::optional<Fragment> fragment = control.try_receive())
      if (fragment->op == op::failed) return read_failed(*fragment);
  } catch (const std::exception&) {} // nothing that can be read
  return nullptr;
}

/// The exception of an ended circuit with the words of its end, or of the far side.
std::exception_ptr with_words(Circuit& control, std::exception_ptr failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const boost::system::system_error& thrown) {
    const std::optional<End> end = control.end();
    if (!end) return failure;
    if (const std::exception_ptr said = said_unread(control)) return said;
    if (end->code != thrown.code() || end->text.empty()) return failure;
    return std::make_exception_ptr(boost::system::system_error(end->code, end->text));
  } catch (...) {
    return failure;
  }
}

/// Throws when the far side has kept us waiting for so long; while this side works it may.
awaitable<void> watch_idle(std::shared_ptr<Progress> progress, Duration idle_max) {
  for (std::uint64_t seen = 0;;) {
    seen = progress->worked + progress->heard;
    co_await sleep_for(idle_max);
    if (progress->worked + progress->heard == seen)
      throw Failure(Failure::Kind::denied,
                    "nothing has come from the far side for " +
                        std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(idle_max).count()) +
                        " ms");
  }
}

awaitable<void> run_watched(awaitable<Report> sync, Report* into, TaskGroup group) {
  *into = co_await std::move(sync);
  group.cancel();
}

awaitable<Report> watched(awaitable<Report> sync, std::shared_ptr<Progress> progress, Duration idle_max) {
  Report report;
  TaskGroup group(co_await asio::this_coro::executor);
  group.spawn(run_watched(std::move(sync), &report, group));
  group.spawn(watch_idle(std::move(progress), idle_max));
  co_await group.join();
  co_return report;
}

/// Tells the far side why, as far as the circuit still carries it.
void say_failed(Circuit& control, std::exception_ptr failure) {
  if (!control.is_open()) return;
  try {
    control.send_one_way(to_failed(std::move(failure)));
  } catch (const boost::system::system_error&) { // it ended by itself
  }
  control.close();
}

} // namespace

/// A sync that was asked for on this side.
struct Service::Job {
  wire::Request::Role role_there = wire::Request::TAKE;
  Source source;              // to give from here
  std::shared_ptr<Root> root; // to take into here
  std::string address;
  std::string path;
  Options options;
  Watch watch;

  bool ended = false;
  Report report;
  std::exception_ptr failure;
  Signal changed;
};

Service::Service(Node& node, ServiceOptions options)
    : node_(node), options_(std::move(options)),
      budgets_(std::make_shared<Budgets>(options_.listing_bytes_max, options_.tuning.files_open_max)) {
  if (!options_.random) options_.random = system_random();
  budgets_->digest_threads = options_.digest_threads;
}

std::shared_ptr<Service> Service::register_at(Node& node, ServiceOptions options) {
  auto service = std::make_shared<Service>(node, std::move(options));
  node.register_service(
      service_name, [service](LocalPeer& peer, CircuitInbox& circuits) { return run_peer(service, peer, circuits); });
  return service;
}

awaitable<Report> Service::push(Node& node, Source source, std::string address, std::string path, Options options,
                                Watch watch) {
  const auto job = std::make_shared<Job>();
  job->role_there = wire::Request::TAKE;
  job->source = std::move(source);
  job->address = std::move(address);
  job->path = std::move(path);
  job->options = std::move(options);
  job->watch = std::move(watch);
  co_return co_await ask(node, job);
}

awaitable<Report> Service::pull(Node& node, std::string address, std::string path, std::shared_ptr<Root> root,
                                Options options, Watch watch) {
  const auto job = std::make_shared<Job>();
  job->role_there = wire::Request::GIVE;
  job->root = std::move(root);
  job->address = std::move(address);
  job->path = std::move(path);
  job->options = std::move(options);
  job->watch = std::move(watch);
  co_return co_await ask(node, job);
}

awaitable<Report> Service::ask(Node& node, std::shared_ptr<Job> job) {
  starting_ = job; // for a peer that runs at once, before its id is known here
  const std::shared_ptr<LocalPeer> peer = node.start_local_peer(service_name);
  if (starting_) jobs_[peer->id()] = std::exchange(starting_, nullptr);
  std::exception_ptr cancelled;
  try {
    while (!job->ended) co_await job->changed.wait();
  } catch (...) {
    cancelled = std::current_exception();
  }
  if (cancelled) {
    peer->close();
    // Waited for although this is cancelled, in a coroutine of its own: the cancellation state belongs to all of this
    // one down to its first frame, and the caller must still be cancelled.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await asio::co_spawn(node.executor(), peer->ended(),
                            asio::bind_cancellation_slot(asio::cancellation_slot(), asio::use_awaitable));
    co_await asio::this_coro::throw_if_cancelled(throws);
  } else {
    co_await peer->ended();
  }
  jobs_.erase(peer->id());
  if (cancelled) std::rethrow_exception(cancelled);
  if (job->failure) std::rethrow_exception(job->failure);
  co_return job->report;
}

awaitable<void> Service::run_peer(std::shared_ptr<Service> self, LocalPeer& peer, CircuitInbox& circuits) {
  std::shared_ptr<Job> job = std::exchange(self->starting_, nullptr);
  if (const auto started = self->jobs_.extract(peer.id())) job = started.mapped();
  if (!job) {
    co_await self->answer(circuits);
    co_return;
  }
  try {
    job->report = co_await self->run_job(*job, peer, circuits);
  } catch (...) {
    job->failure = std::current_exception();
  }
  job->ended = true;
  job->changed.notify_all();
}

awaitable<Report> Service::run_job(Job& job, LocalPeer& peer, CircuitInbox& circuits) {
  wire::Request request = to_request(job.role_there, job.path, job.options);
  const Place place = job.role_there == wire::Request::TAKE ? place_of(job.source)
                      : job.root                            ? Place(*job.root->directory(""))
                                                            : Place();
  place.to_wire(*request.mutable_place());
  if (request.ByteSizeLong() > message_bytes_max)
    throw Failure(Failure::Kind::denied, "the rules and paths of this sync take " +
                                             std::to_string(request.ByteSizeLong()) + " bytes, more than " +
                                             std::to_string(message_bytes_max));
  Circuit control = peer.start(job.address, service_name, to_fragment(op::request, request));
  const auto budgets = std::make_shared<Budgets>(options_.tuning.listing_bytes_max, options_.tuning.files_open_max);
  budgets->digest_threads = options_.digest_threads;
  std::exception_ptr failure;
  try {
    if (job.role_there == wire::Request::TAKE)
      co_return co_await give(control, circuits, job.source, job.options, job.watch, options_.tuning, budgets);
    co_return co_await take(control, circuits, job.root, job.options, job.watch, options_.tuning, options_.random,
                            budgets);
  } catch (...) {
    failure = std::current_exception();
  }
  failure = with_words(control, failure);
  say_failed(control, failure);
  std::rethrow_exception(failure);
}

awaitable<void> Service::answer(CircuitInbox& circuits) {
  std::optional<Circuit> control = co_await circuits.next();
  if (!control) co_return;
  struct Running {
    explicit Running(Service& of) : service(of) { ++service.running_count_; }
    Running(const Running&) = delete;
    ~Running() {
      --service.running_count_;
      service.ended_.notify_all();
    }
    Service& service;
  };
  const Running running(*this);

  Answered answered = asked_on(*control);
  const Executor executor = co_await asio::this_coro::executor;
  const TimePoint began = Clock::of(executor).now();
  std::exception_ptr failure;
  try {
    answered.report = co_await answer_request(*control, circuits, answered);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    failure = with_words(*control, failure);
    say_failed(*control, failure);
    answered.failure = printable_sentence(words_of(failure)); // must neither break a line nor talk to a terminal
    if (answered.failure.empty()) answered.failure = "no reason was given";
  }
  const TimePoint now = Clock::of(executor).now();
  answered.took = now - began;
  note_answered(answered, now);
}

Answered Service::asked_on(const Circuit& control) const {
  Answered asked;
  asked.trunk = control.trunk();
  asked.circuit = control.id();
  asked.remote = "a node that is gone";
  for (const LinkInfo& link : node_.links()) {
    if (link.trunk != asked.trunk) continue;
    asked.remote = link.remote;
    asked.node = link.node;
    asked.node_name = link.name;
    asked.identity = link.identity;
  }
  return asked;
}

/// Counted, then told: whoever is told may ask for the counters.
void Service::note_answered(const Answered& answered, TimePoint now) {
  if (answered.failure.empty()) {
    ++answered_.done;
    answered_.files += answered.report.files;
    answered_.bytes += answered.report.bytes;
  } else {
    ++answered_.failed;
  }
  LogRate& rate = answered.failure.empty() ? done_lines_ : failed_lines_;
  try { // what it throws costs the line: the sync is over as it is
    const std::optional<std::string> line = rate.pass(answered.to_string(), now);
    if (!line) return;
    if (options_.on_answered) options_.on_answered(answered, *line);
    else if (options_.log) options_.log(*line);
  } catch (...) {}
}

std::string Answered::to_string() const {
  std::string line = printable_sentence(remote) + " (";
  if (identity) line += identity->to_string();
  else line += "node " + (node_name.empty() ? "" : escape(node_name, 64) + " ") + node.to_string() + ", not proven";
  line += is_understood ? (takes ? ") pushes into \"" : ") pulls \"") + printable(path) + "\": " : ") asks for a sync: ";
  const std::string time = fmt::format(" in {:.3f} s", std::chrono::duration<double>(took).count());
  if (!failure.empty()) return line + "failed: " + failure + time;
  return line + std::to_string(report.files) + " files, " + std::to_string(report.bytes) + " bytes, " +
         std::to_string(report.deleted) + " deleted, " + std::to_string(report.errors) + " errors" + time;
}

awaitable<Report> Service::answer_request(Circuit& control, CircuitInbox& circuits, Answered& asked) {
  const std::optional<Fragment> first = co_await within(options_.idle_max, control.receive());
  if (!first || first->op != op::request) throw_protocol("a sync begins with a request");
  const auto request = read_message<wire::Request>(*first);
  const bool takes = request.role() == wire::Request::TAKE;
  asked.is_understood = true;
  asked.takes = takes;
  asked.path = request.path();
  if (request.version() != protocol_version)
    throw_protocol("version " + std::to_string(request.version()) + " of the sync is not known here, only " +
                   std::to_string(protocol_version));
  if (refusing_) throw Failure(Failure::Kind::ending, "this node is shutting down");
  if (!options_.root) throw Failure(Failure::Kind::denied, "this node shares no directory");
  if (takes && options_.read_only) throw Failure(Failure::Kind::denied, "this node is read only");
  const std::string wrong = wrong_with_path(request.path());
  if (!wrong.empty()) throw Failure(Failure::Kind::denied, "path \"" + printable(request.path()) + "\" " + wrong);
  Options options = from_wire(request);
  try { // before anything is counted or opened
    const Filter checked(options.rules, options.delete_excluded);
    if (options.only) const Selection selected(*options.only);
    if (options.backup && options.backup_suffix.empty() && options.backup_dir.empty())
      throw std::invalid_argument("a backup without another name");
    if (options.backup && (options.in_place || options.append))
      throw std::invalid_argument("backups of files that are written in place");
    ModeChanges modes;
    for (const std::string& text : options.chmod) modes.add(text, 0);
    if (takes) const OwnerMap owners(options);
    if (options.backup_suffix.find_first_of(std::string_view("/\0", 2)) != std::string::npos)
      throw std::invalid_argument("a suffix of backups with a slash or a zero byte");
  } catch (const std::invalid_argument& refused) {
    throw_protocol(refused.what());
  }
  if (answered_count_ >= options_.answered_max)
    throw Failure(Failure::Kind::denied, "this node answers " + std::to_string(options_.answered_max) +
                                             " syncs already, which is its answered_max: try again later");
  const std::string remote = remote_of(control);
  if (const auto of = answered_of_.find(remote);
      of != answered_of_.end() && of->second >= options_.answered_per_remote_max)
    throw Failure(Failure::Kind::denied, "this node answers " + std::to_string(options_.answered_per_remote_max) +
                                             " syncs of " + remote +
                                             " already, which is its answered_per_remote_max: try again later");
  struct Answered {
    Answered(Service& of, const std::string& from) : service(of), remote(from) {
      ++service.answered_count_;
      ++service.answered_of_[remote];
    }
    Answered(const Answered&) = delete;
    ~Answered() {
      --service.answered_count_;
      if (--service.answered_of_[remote] == 0) service.answered_of_.erase(remote);
    }
    Service& service;
    const std::string& remote;
  };
  const Answered answered(*this, remote);
  Watch watch;
  watch.on_note = counted_notes();
  const auto progress = watch.progress;
  if (takes) {
    check_apart(Place::from_wire(request.place()), place_of(options_.root, request.path()));
    auto root = open_destination(options_.root, request.path(), options.dry_run);
    const auto aside = [&](const std::string& path, bool make) {
      if (path.empty()) return std::shared_ptr<Root>();
      return options_.aside ? options_.aside(path, make) : open_aside(options_.root, request.path(), path, make);
    };
    options.backup_root = aside(options.backup_dir, !options.dry_run);
    options.link_root = aside(options.link_dest, false);
    co_return co_await watched(take(control, circuits, std::move(root), options, std::move(watch), options_.tuning,
                                    options_.random, budgets_, request.path()),
                               progress, options_.idle_max);
  }
  Source source = open_source(options_.root, request.path());
  check_apart(place_of(source), Place::from_wire(request.place()));
  co_return co_await watched(
      give(control, circuits, std::move(source), options, std::move(watch), options_.tuning, budgets_), progress,
      options_.idle_max);
}

/// One host is one remote: whoever is there may call itself as many nodes as it likes. Where the transport knows no
/// hosts it is the node.
std::string Service::remote_of(const Circuit& control) const {
  for (const LinkInfo& view : node_.links()) {
    if (view.trunk != control.trunk()) continue;
    if (view.remote_host.empty()) return "node " + view.node.to_string();
    return printable_sentence(std::string(scheme_of(view.remote)) + "://" + view.remote_host);
  }
  return "a node that is gone";
}

/// Each note may be a line of a log: a far side that says millions of them must not fill it. Errors are counted apart,
/// so that the files of a large sync do not hide them.
std::function<void(const Note&)> Service::counted_notes() const {
  if (!options_.on_note) return {};
  struct Count {
    std::size_t errors = 0;
    std::size_t others = 0;
  };
  return [on_note = options_.on_note, notes_max = options_.notes_max, count = Count()](const Note& note) mutable {
    const bool is_error = note.kind == Note::Kind::error;
    std::size_t& so_far = is_error ? count.errors : count.others;
    if (so_far > notes_max) return;
    if (++so_far <= notes_max) return on_note(note);
    Note last;
    last.kind = is_error ? Note::Kind::error : Note::Kind::skipped;
    last.text = "more than " + std::to_string(notes_max) + (is_error ? " errors" : " notes") +
                " of one sync, the others are only counted";
    on_note(last);
  };
}

awaitable<void> Service::drained() {
  const auto self = shared_from_this();
  while (running_count_ > 0) co_await ended_.wait();
}

} // namespace trunkline::sync

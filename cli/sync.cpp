#include "cli/command.hpp"
#include "cli/place.hpp"
#include "cli/progress_line.hpp"

#include "async/clock.hpp"
#include "peer/node.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/path.hpp"
#include "services/sync/service.hpp"
#include "transport/memory.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/src.hpp>
#include <fmt/format.h>

#include <unistd.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <variant>

namespace trunkline::cli {
namespace {

namespace json = boost::json;

struct SyncOptions {
  std::string source;
  std::string destination;
  sync::Options sync;
  bool json = false;
  bool quiet = false;
  bool verbose = false;
};

const char* kind_name(sync::Note::Kind kind) {
  switch (kind) {
    case sync::Note::Kind::error: return "error";
    case sync::Note::Kind::skipped: return "skipped";
    case sync::Note::Kind::sent: return "sent";
    case sync::Note::Kind::directory: return "directory";
    case sync::Note::Kind::symlink: return "symlink";
    case sync::Note::Kind::attributes: return "attributes";
    case sync::Note::Kind::deleted: return "deleted";
  }
  return "other";
}

void print_json(const json::object& object) { fmt::print("{}\n", json::serialize(object)); }

/// What happens, told as the user wants to hear it: a line that changes, plain lines, or JSON.
class Teller {
 public:
  explicit Teller(const SyncOptions& options)
      : options_(options), line_(!options.quiet && !options.json && ::isatty(STDERR_FILENO) == 1) {}

  void note(const sync::Note& note) {
    const std::string path = sync::printable(note.path);
    if (options_.json) {
      json::object object{{"event", kind_name(note.kind)}, {"path", path}};
      if (note.kind == sync::Note::Kind::sent) object["bytes"] = note.bytes;
      if (!note.text.empty()) object["text"] = sync::printable(note.text);
      return print_json(object);
    }
    if (note.kind == sync::Note::Kind::error) {
      line_.clear();
      return say_error(note.text);
    }
    if (note.kind == sync::Note::Kind::skipped && !options_.quiet) {
      line_.clear();
      fmt::print(stderr, "skipped {}: {}\n", path, sync::printable(note.text));
      return;
    }
    if (!options_.verbose && !options_.sync.dry_run) return;
    if (options_.quiet) return;
    line_.clear();
    switch (note.kind) {
      case sync::Note::Kind::sent: fmt::print("{}  ({})\n", path, human_bytes(static_cast<double>(note.bytes))); break;
      case sync::Note::Kind::directory: fmt::print("{}/\n", path); break;
      case sync::Note::Kind::symlink: fmt::print("{} -> {}\n", path, sync::printable(note.text)); break;
      case sync::Note::Kind::deleted: fmt::print("deleted {}\n", path); break;
      default: fmt::print("{} {}\n", kind_name(note.kind), path);
    }
  }

  void progress(const sync::Progress& progress) { line_.show(progress); }

  void summary(const sync::Report& report) {
    line_.clear();
    const double seconds = line_.seconds();
    const double rate = seconds > 0 ? static_cast<double>(report.bytes) / seconds : 0;
    if (options_.json)
      return print_json({{"event", "summary"},
                         {"dry_run", options_.sync.dry_run},
                         {"files", report.files},
                         {"bytes", report.bytes},
                         {"directories", report.directories},
                         {"symlinks", report.symlinks},
                         {"attributes", report.attributes},
                         {"deleted", report.deleted},
                         {"unchanged", report.unchanged},
                         {"skipped", report.skipped},
                         {"circuits", report.circuits},
                         {"seconds", seconds},
                         {"bytes_per_second", rate},
                         {"errors", report.errors}});
    if (options_.quiet) return;
    std::string text = fmt::format("{}{} files, {} in {:.1f} s ({}/s); {} directories, {} symlinks made, {} deleted, {} unchanged",
                                   options_.sync.dry_run ? "would send " : "", report.files,
                                   human_bytes(static_cast<double>(report.bytes)), seconds, human_bytes(rate),
                                   report.directories, report.symlinks, report.deleted, report.unchanged);
    if (report.skipped > 0) text += fmt::format(", {} skipped", report.skipped);
    if (report.errors > 0) text += fmt::format(", {} errors", report.errors);
    fmt::print("{}\n", text);
  }

 private:
  const SyncOptions& options_;
  ProgressLine line_;
};

awaitable<void> tell_progress(Teller& teller, std::shared_ptr<sync::Progress> progress) {
  for (;;) {
    co_await sleep_for(std::chrono::milliseconds(100));
    teller.progress(*progress);
  }
}

awaitable<void> until_signal() {
  const Executor executor = co_await asio::this_coro::executor;
  asio::signal_set signals(executor, SIGINT, SIGTERM);
  co_await signals.async_wait(asio::use_awaitable);
}

struct Run {
  const SyncOptions& options;
  Place source;
  Place destination;
  std::optional<sync::Report> report;
};

/// The same service on both ends; which of them asks follows from which of the places is local.
awaitable<sync::Report> sync_places(Run& run, Teller& teller, std::shared_ptr<sync::Progress> progress) {
  const Executor executor = co_await asio::this_coro::executor;
  sync::Watch watch;
  watch.progress = std::move(progress);
  watch.on_note = [&teller](const sync::Note& note) { teller.note(note); };
  const sync::Options& options = run.options.sync;
  const auto memory = std::make_shared<MemoryNetwork>(1 << 20);
  NodeOptions node_options;
  node_options.networks["mem"] = memory;
  Node node(executor, node_options);
  const auto service = sync::Service::register_at(node, sync::ServiceOptions());

  if (!run.source.local()) {
    std::shared_ptr<sync::Root> root = sync::open_destination(run.destination.path, options.dry_run);
    co_return co_await service->pull(node, run.source.address, run.source.path, std::move(root), options, std::move(watch));
  }
  sync::Source source = sync::open_source(run.source.path);
  if (!run.destination.local())
    co_return co_await service->push(node, std::move(source), run.destination.address, run.destination.path, options,
                                     std::move(watch));
  // Both are here: a second node in this process takes what the first one gives.
  std::shared_ptr<sync::Root> root = sync::open_destination(run.destination.path, options.dry_run);
  Node giver(executor, node_options);
  sync::ServiceOptions giving;
  giving.root = source.root;
  giving.read_only = true;
  const auto giving_service = sync::Service::register_at(giver, std::move(giving));
  std::string address = giver.listen("mem://giver");
  std::string only = source.only;
  co_return co_await service->pull(node, std::move(address), std::move(only), std::move(root), options, std::move(watch));
}

awaitable<void> run_sync(Run& run, Teller& teller) {
  using namespace asio::experimental::awaitable_operators;
  const auto progress = std::make_shared<sync::Progress>();
  auto outcome = co_await (sync_places(run, teller, progress) || tell_progress(teller, progress) || until_signal());
  if (outcome.index() == 0) run.report = std::get<0>(std::move(outcome));
}

int sync_command(const SyncOptions& options) {
  const sync::Filter filter(options.sync.exclude); // refuses a bad pattern before anything is touched
  Run run{options, parse_place(options.source), parse_place(options.destination), std::nullopt};
  if (!run.source.local() && !run.destination.local()) {
    say_error("SRC and DST are both remote; run the sync on one of the two machines");
    return exit_usage;
  }
  asio::io_context io(1);
  Teller teller(options);
  std::exception_ptr failure;
  asio::co_spawn(io, run_sync(run, teller), [&](std::exception_ptr thrown) { failure = thrown; });
  io.run();
  if (failure) std::rethrow_exception(failure);
  if (!run.report) {
    say_error("interrupted; what has arrived is whole files");
    return exit_interrupted;
  }
  teller.summary(*run.report);
  return run.report->errors > 0 ? exit_partial : exit_ok;
}

} // namespace

void add_sync(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("sync", "Make DST equal to SRC; one of them may be served by `trunkline serve`.");
  const auto options = std::make_shared<SyncOptions>();
  command->add_option("SRC", options->source, "A path, tcp://HOST:PORT/PATH or unix:SOCKET!/PATH.")->required();
  command->add_option("DST", options->destination, "As SRC. The contents of SRC go into DST, which is made when it is missing.")
      ->required();
  command->add_flag("-c,--checksum", options->sync.checksum, "Content decides what is sent, not size and modification time.");
  command->add_flag("--delete", options->sync.delete_extra, "Delete what SRC does not have.");
  command->add_flag("-n,--dry-run", options->sync.dry_run, "Say what would be done and touch nothing.");
  command->add_option("--exclude", options->sync.exclude, "Leave out what matches: *.o, /top, dir/, a/**/b. As often as wanted.")
      ->allow_extra_args(false);
  command->add_flag("--json", options->json, "One JSON object per line: events, and a summary at the end.");
  command->add_flag("-q,--quiet", options->quiet, "Errors only.");
  command->add_flag("-v,--verbose", options->verbose, "Name every file.");
  command->footer("Exit codes: 0 equal, 1 usage, 10 connection, 11 file, 12 refused or not understood, 20 interrupted,\n"
                  "23 some files failed, 30 timeout.\n"
                  "Example: trunkline sync --delete photos tcp://127.0.0.1:7070/photos");
  command->callback([options, &exit_code] {
    try {
      exit_code = sync_command(*options);
    } catch (...) {
      exit_code = exit_for(std::current_exception());
    }
  });
}

} // namespace trunkline::cli

// trunkline sync SRC DST: makes DST equal to SRC, where either may be on another node.
#include "async/within.hpp"
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/location.hpp"
#include "cli/node.hpp"
#include "cli/sync/sync_output.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/path.hpp"
#include "services/sync/service.hpp"
#include "transport/memory.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::cli {
namespace {

struct SyncOptions {
  std::string from;
  std::string to;
  sync::Options wishes;
  SyncOutput::Style style;
  int timeout_seconds = 0;
};

/// What the parts of one run share.
struct Run {
  using Moment = std::chrono::steady_clock::time_point;

  SyncOptions options;
  Location from;
  Location to;
  sync::Watch watch;
  std::unique_ptr<SyncOutput> output;
  Moment begin = std::chrono::steady_clock::now();

  sync::Report report;
  std::exception_ptr failure;

  static double seconds_since(Moment moment) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - moment).count();
  }
};

/// A tree that is copied into itself never ends, and one that lies in its own destination would be deleted.
void check_apart(const SyncOptions& options) {
  std::error_code ignored;
  const auto real = [&](const std::string& path) {
    const auto found = std::filesystem::weakly_canonical(std::filesystem::absolute(path), ignored);
    return found.has_filename() ? found : found.parent_path(); // without a slash at the end
  };
  const std::filesystem::path from = real(options.from);
  const std::filesystem::path to = real(options.to);
  const auto lies_in = [](const std::filesystem::path& inner, const std::filesystem::path& outer) {
    const auto relative = inner.lexically_relative(outer);
    return !relative.empty() && *relative.begin() != ".." && relative != ".";
  };
  if (lies_in(to, from)) throw UsageError("\"" + options.to + "\" lies in \"" + options.from + "\"");
  if (options.wishes.delete_extra && lies_in(from, to) && std::filesystem::is_directory(from, ignored))
    throw UsageError("\"" + options.from + "\" lies in \"" + options.to + "\", where it would be deleted");
}

NodeOptions quiet_node(const Run& run, std::string name, const std::shared_ptr<MemoryMedium>& medium) {
  NodeOptions options = node_options(std::move(name));
  options.media.emplace(medium->scheme(), medium);
  options.log = [output = run.output.get()](LogLevel, std::string_view line) { output->log(std::string(line)); };
  return options;
}

/// Both sides are here: the destination is served by a second node of this process, over memory.
awaitable<sync::Report> sync_here(Run& run, std::shared_ptr<sync::Service> service, Node& here, Node& there) {
  sync::Source source = sync::open_source(run.from.path);
  sync::ServiceOptions settings;
  settings.tuning = sync_tuning();
  std::string path;
  settings.root = sync::open_destination(run.to.path, run.options.wishes.dry_run);
  if (!settings.root) { // a dry run, and its last component is missing
    std::filesystem::path full = run.to.path;
    if (!full.has_filename()) full = full.parent_path(); // without a slash at the end
    settings.root = sync::Root::open(full.has_parent_path() ? full.parent_path().string() : ".");
    path = full.filename().string();
  }
  sync::Service::register_at(there, std::move(settings));
  const std::string address = there.listen(MemoryMedium::address_of("there"));
  co_return co_await service->push(here, std::move(source), address, path, run.options.wishes, run.watch);
}

awaitable<sync::Report> sync_between(Run& run, Node& here, Node& there) {
  sync::ServiceOptions settings;
  settings.tuning = sync_tuning();
  const auto service = sync::Service::register_at(here, std::move(settings));
  const sync::Options& wishes = run.options.wishes;
  if (run.from.is_remote()) {
    std::error_code ignored;
    const bool is_new = !std::filesystem::exists(run.to.path, ignored);
    auto root = sync::open_destination(run.to.path, wishes.dry_run);
    std::exception_ptr failure;
    try {
      co_return co_await service->pull(here, run.from.address, run.from.path, std::move(root), wishes, run.watch);
    } catch (...) {
      failure = std::current_exception();
    }
    // What was to be pulled may not even be there: then DST should not be, either.
    if (is_new && !wishes.dry_run) ::rmdir(run.to.path.c_str());
    std::rethrow_exception(failure);
  }
  if (!run.to.is_remote()) co_return co_await sync_here(run, service, here, there);
  sync::Source source = sync::open_source(run.from.path);
  co_return co_await service->push(here, std::move(source), run.to.address, run.to.path, wishes, run.watch);
}

/// Never throws because of the sync itself, so that it can be raced with signals and timeouts.
awaitable<void> sync_to_the_end(Run* run, Node* here, Node* there) {
  try {
    run->report = co_await sync_between(*run, *here, *there);
  } catch (...) {
    run->failure = std::current_exception();
  }
}

/// Draws, and ends when neither side has done anything for as long as the user allows.
awaitable<void> tick(Run* run) {
  const double patience_seconds = run->options.timeout_seconds;
  std::uint64_t seen = 0;
  Run::Moment moved = run->begin;
  for (;;) {
    co_await sleep_for(run->output->interval());
    run->output->tick(Run::seconds_since(run->begin));
    const sync::Progress& progress = *run->watch.progress;
    const std::uint64_t now = progress.worked + progress.heard;
    if (std::exchange(seen, now) != now) moved = std::chrono::steady_clock::now();
    if (patience_seconds > 0 && Run::seconds_since(moved) >= patience_seconds) co_return;
  }
}

awaitable<ExitCode> sync_raced(Run* run, Node* here, Node* there, asio::signal_set* signals) {
  using namespace asio::experimental::awaitable_operators;
  const auto winner =
      co_await (sync_to_the_end(run, here, there) || signals->async_wait(asio::use_awaitable) || tick(run));
  signals->clear(); // the next one ends the process
  const double seconds = Run::seconds_since(run->begin);
  ExitCode code = run->report.errors > 0 ? ExitCode::partial : ExitCode::equal;
  if (winner.index() == 1) {
    run->output->failure("interrupted; every file there is whole, the next sync goes on from here");
    code = ExitCode::interrupted;
  } else if (winner.index() == 2) {
    run->output->failure("nothing has moved for " + std::to_string(run->options.timeout_seconds) + " s");
    code = ExitCode::timeout;
  } else if (run->failure) {
    run->output->failure(run->failure);
    code = exit_code_of(run->failure);
  }
  const bool done = winner.index() == 0 && !run->failure;
  if (done || run->options.style.json) run->output->summary(run->report, seconds, code);
  if (!run->output->finish() && done) code = ExitCode::file;
  co_await here->close();
  co_await there->close();
  co_return code;
}

int sync_trees(const SyncOptions& options) {
  raise_files_limit();
  Run run;
  run.options = options;
  run.from = parse_location(options.from);
  run.to = parse_location(options.to);
  if (run.from.is_remote() && run.to.is_remote())
    throw UsageError("both \"" + options.from + "\" and \"" + options.to +
                     "\" are on other nodes: one side has to be here");
  if (!run.from.is_remote() && !run.to.is_remote()) check_apart(options);
  const sync::Filter checked(options.wishes.exclude);
  run.output = std::make_unique<SyncOutput>(options.style, run.watch.progress);
  run.watch.on_note = [output = run.output.get()](const sync::Note& note) { output->note(note); };

  asio::io_context io(1);
  const auto medium = std::make_shared<MemoryMedium>(1 << 20);
  Node here(io.get_executor(), quiet_node(run, "sync", medium));
  Node there(io.get_executor(), quiet_node(run, "there", medium));
  asio::signal_set signals(io, SIGINT, SIGTERM);
  ExitCode code = ExitCode::equal;
  std::exception_ptr failure;
  asio::co_spawn(io, sync_raced(&run, &here, &there, &signals), [&](std::exception_ptr thrown, ExitCode ended) {
    failure = std::move(thrown);
    code = ended;
  });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return static_cast<int>(code);
}

} // namespace

Command add_sync(CLI::App& program) {
  const auto options = std::make_shared<SyncOptions>();
  CLI::App* const command = program.add_subcommand("sync", "Make DST equal to SRC");
  const std::string location = "A path, " + location_forms();
  command->add_option("SRC", options->from, location)->required()->type_name("");
  command->add_option("DST", options->to, location)->required()->type_name("");
  sync::Options& wishes = options->wishes;
  command->add_flag("-c,--checksum", wishes.checksum, "Content decides what is sent, not size and time");
  command->add_flag("--delete", wishes.delete_extra, "Delete in DST what SRC does not have, last, only without errors");
  command->add_flag("-n,--dry-run", wishes.dry_run, "Only say what would be done");
  command->add_option("--exclude", wishes.exclude, "Leave alone what matches: *.o  /top  dir/  a/**; may be repeated")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  command->add_option("--timeout", options->timeout_seconds, "Give up when nothing has moved for so long; 0: never")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0, 86'400));
  command->add_flag("--json", options->style.json, "One JSON object per line, the last one is the summary");
  command->add_flag("-q,--quiet", options->style.quiet, "Say nothing but trouble");
  command->add_flag("-v,--verbose", options->style.verbose, "Name everything that is done");
  command->footer(
      std::string("The content of the directory SRC goes into the directory DST, with or without a slash at\n"
                  "the end; a file SRC goes into DST as it is. One of both may be on another node. A file that\n"
                  "keeps changing while it is read is tried three times, then named and left as it was.\n\n"
                  "Example:\n"
                  "  trunkline sync --delete photos tcp://127.0.0.1:7000/photos\n\n") +
      exit_codes_text);
  return {command, [options] {
            options->style.dry_run = options->wishes.dry_run;
            return sync_trees(*options);
          }};
}

} // namespace trunkline::cli

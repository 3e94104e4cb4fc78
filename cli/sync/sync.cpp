// trunkline sync SRC DST: makes DST equal to SRC, where either may be on another node.
#include "async/within.hpp"
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/location.hpp"
#include "cli/node.hpp"
#include "cli/signals.hpp"
#include "cli/sync/rule_options.hpp"
#include "cli/sync/sync_output.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/path.hpp"
#include "services/sync/selection.hpp"
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
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
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
  const CLI::Option* suffix = nullptr;
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
  if (lies_in(from, to) && std::filesystem::is_directory(from, ignored))
    throw UsageError("\"" + options.from + "\" lies in \"" + options.to +
                     "\", where it would be overwritten or deleted");
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
  settings.tuning = sync_tuning(2);
  std::string path;
  std::error_code ignored;
  const bool is_new = !std::filesystem::exists(run.to.path, ignored);
  settings.root = sync::open_destination(run.to.path, run.options.wishes.dry_run);
  if (!settings.root) { // a dry run, and its last component is missing
    std::filesystem::path full = run.to.path;
    if (!full.has_filename()) full = full.parent_path(); // without a slash at the end
    settings.root = sync::Root::open(full.has_parent_path() ? full.parent_path().string() : ".");
    path = full.filename().string();
  }
  settings.aside = [&run](const std::string& aside, bool make) { return sync::open_aside(run.to.path, aside, make); };
  sync::Service::register_at(there, std::move(settings));
  const std::string address = there.listen(MemoryMedium::address_of("there"));
  std::exception_ptr failure;
  try {
    co_return co_await service->push(here, std::move(source), address, path, run.options.wishes, run.watch);
  } catch (...) {
    failure = std::current_exception();
  }
  if (is_new && !run.options.wishes.dry_run) ::rmdir(run.to.path.c_str()); // it goes only if nothing is in it
  std::rethrow_exception(failure);
}

awaitable<sync::Report> sync_between(Run& run, Node& here, Node& there) {
  sync::ServiceOptions settings;
  settings.tuning = sync_tuning(2);
  const auto service = sync::Service::register_at(here, std::move(settings));
  const sync::Options& wishes = run.options.wishes;
  if (run.from.is_remote()) {
    std::error_code ignored;
    const bool is_new = !std::filesystem::exists(run.to.path, ignored);
    auto root = sync::open_destination(run.to.path, wishes.dry_run);
    sync::Options with_roots = wishes;
    if (!wishes.backup_dir.empty())
      with_roots.backup_root = sync::open_aside(run.to.path, wishes.backup_dir, !wishes.dry_run);
    if (!wishes.link_dest.empty()) with_roots.link_root = sync::open_aside(run.to.path, wishes.link_dest, false);
    std::exception_ptr failure;
    try {
      co_return co_await service->pull(here, run.from.address, run.from.path, std::move(root), with_roots, run.watch);
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
  ExitCode code = run->report.errors > 0        ? ExitCode::partial
                  : run->report.vanished > 0    ? ExitCode::vanished
                  : run->report.not_deleted > 0 ? ExitCode::deletions
                                                : ExitCode::equal;
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
  SyncOutput::Wire wire;
  for (const LinkInfo& link : here->links()) {
    wire.sent += link.counters.bytes_sent;
    wire.received += link.counters.bytes_received;
  }
  run->output->set_wire(wire);
  if (!done) run->report = run->output->seen(); // what was done until then
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
  const sync::Filter checked(options.wishes.rules, options.wishes.delete_excluded);
  if (options.wishes.only) const sync::Selection selected(*options.wishes.only);
  run.options.style.pushes = run.to.is_remote();
  run.output = std::make_unique<SyncOutput>(run.options.style, run.watch.progress);
  run.watch.on_note = [output = run.output.get()](const sync::Note& note) { output->note(note); };

  asio::io_context io(1);
  const auto medium = std::make_shared<MemoryMedium>(1 << 20);
  Node here(io.get_executor(), quiet_node(run, "sync", medium));
  Node there(io.get_executor(), quiet_node(run, "there", medium));
  asio::signal_set signals(io);
  add_end_signals(signals);
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

namespace {

constexpr const char* group_what = "What is sent";
constexpr const char* group_deletion = "Deletion and backups";
constexpr const char* group_output = "Output";

/// An option that takes a size.
void add_size(CLI::App& command, const char* name, std::optional<std::uint64_t>& into, const char* text) {
  command
      .add_option_function<std::string>(
          name,
          [&into](const std::string& size) {
            try {
              into = parse_size(size);
            } catch (const std::invalid_argument& refused) {
              throw CLI::ValidationError(refused.what());
            }
          },
          text)
      ->type_name("SIZE")
      ->group(group_what);
}

void add_what(CLI::App& command, SyncOptions& options) {
  sync::Options& wishes = options.wishes;
  command.add_flag("-c,--checksum", wishes.checksum, "Content decides what is sent, not size and time")
      ->group(group_what);
  command.add_flag("-n,--dry-run", wishes.dry_run, "Only say what would be done")->group(group_what);
  command.add_flag("-u,--update", wishes.update, "Leave alone files that are newer in DST")->group(group_what);
  command.add_flag("--existing,--ignore-non-existing", wishes.existing, "Make nothing that DST does not have")
      ->group(group_what);
  command.add_flag("--ignore-existing", wishes.ignore_existing, "Change nothing that DST has")->group(group_what);
  add_size(command, "--max-size", wishes.size_max, "Leave alone files that are larger: 100, 1.5m, 2GiB, 1GB");
  add_size(command, "--min-size", wishes.size_min, "Leave alone files that are smaller");
  command.add_flag("-x,--one-file-system", wishes.one_file_system, "Enter nothing that is mounted in SRC or DST")
      ->group(group_what);
  command
      .add_option("--link-dest", wishes.link_dest,
                  "A file that is the same in DIR, relative to DST, becomes a hard link to it")
      ->type_name("DIR")
      ->group(group_what);
}

void add_deletion(CLI::App& command, SyncOptions& options) {
  sync::Options& wishes = options.wishes;
  command.add_flag("--delete", wishes.delete_extra, "Delete in DST what SRC does not have, last, only without errors")
      ->group(group_deletion);
  command.add_flag("--delete-excluded", wishes.delete_excluded, "The same, and what is excluded, too")
      ->group(group_deletion);
  command
      .add_option_function<std::uint64_t>(
          "--max-delete", [&wishes](const std::uint64_t& count) { wishes.deletions_max = count; },
          "Delete no more than so many entries; what is left is counted")
      ->type_name("COUNT")
      ->group(group_deletion);
  command.add_flag("-b,--backup", wishes.backup, "Keep what is replaced or deleted under another name")
      ->group(group_deletion);
  command.add_option("--backup-dir", wishes.backup_dir, "Where to, under its own path; relative to DST")
      ->type_name("DIR")
      ->group(group_deletion);
  options.suffix =
      command.add_option("--suffix", wishes.backup_suffix, "Behind that name; ~, with --backup-dir nothing")
          ->type_name("TEXT")
          ->group(group_deletion);
}

/// What one option means for another one.
void take_backups(SyncOptions& options) {
  sync::Options& wishes = options.wishes;
  wishes.delete_extra = wishes.delete_extra || wishes.delete_excluded;
  wishes.backup = wishes.backup || !wishes.backup_dir.empty();
  if (!wishes.backup) return;
  if (options.suffix->count() == 0 && wishes.backup_dir.empty()) wishes.backup_suffix = "~";
  if (wishes.backup_suffix.empty() && wishes.backup_dir.empty())
    throw UsageError("a backup needs another name: --suffix is empty, and there is no --backup-dir");
  if (wishes.backup_suffix.find('/') != std::string::npos)
    throw UsageError("--suffix \"" + wishes.backup_suffix + "\" holds a slash");
  if (!wishes.delete_extra || wishes.delete_excluded || !wishes.backup_dir.empty()) return;
  sync::Rule kept; // what earlier syncs have kept is not in SRC, and must not go for that
  kept.for_giver = false;
  kept.pattern = "*";
  for (const char letter : wishes.backup_suffix) {
    if (std::string_view("*?[\\").find(letter) != std::string_view::npos) kept.pattern += '\\';
    kept.pattern += letter;
  }
  wishes.rules.push_back(std::move(kept));
}

} // namespace

Command add_sync(CLI::App& program) {
  const auto options = std::make_shared<SyncOptions>();
  CLI::App* const command = program.add_subcommand("sync", "Make DST equal to SRC");
  const std::string location = "A path, " + location_forms();
  command->add_option("SRC", options->from, location)->required()->type_name("");
  command->add_option("DST", options->to, location)->required()->type_name("");
  add_what(*command, *options);
  const auto rules = std::make_shared<RuleOptions>(*command);
  add_deletion(*command, *options);
  command->add_option("--timeout", options->timeout_seconds, "Give up when nothing has moved for so long; 0: never")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0, 86'400))
      ->group(group_output);
  command->add_flag("--json", options->style.json, "One JSON object per line, the last one is the summary")
      ->group(group_output);
  command->add_flag("-q,--quiet", options->style.quiet, "Say nothing but trouble")->group(group_output);
  command
      ->add_flag("-i,--itemize,--itemize-changes", options->style.itemize,
                 "A line for each change, with rsync's letters")
      ->group(group_output);
  command
      ->add_flag("--stats", options->style.stats,
                 "Numbers of all kinds, with the bytes on the wire, before the summary")
      ->group(group_output);
  command->add_flag("-v,--verbose", options->style.verbose, "Name everything that is done")->group(group_output);
  command->footer(
      std::string("The content of the directory SRC goes into the directory DST, with or without a slash at\n"
                  "the end; a file SRC goes into DST as it is. One of both may be on another node. A file that\n"
                  "is written all the time arrives as it was at one moment, and is named; where there was\n"
                  "no such moment, DST keeps what it has of it.\n\n"
                  "Content, permissions, times and symbolic links are kept. Owner and group, hard links,\n"
                  "extended attributes, ACLs, setuid, setgid and sticky bits are not; devices, fifos and\n"
                  "sockets are skipped. The summary says of how many entries something was not kept.\n\n"
                  "Example:\n"
                  "  trunkline sync --delete photos tcp://127.0.0.1:7000/photos\n\n") +
      exit_codes_text);
  return {command, [options, rules] {
            options->style.dry_run = options->wishes.dry_run;
            rules->take(options->wishes);
            take_backups(*options);
            return sync_trees(*options);
          }};
}

} // namespace trunkline::cli

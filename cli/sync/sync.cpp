// trunkline sync SRC DST: makes DST equal to SRC, where either may be on another node.
#include "async/within.hpp"
#include "cli/command.hpp"
#include "cli/exit_code.hpp"
#include "cli/identity.hpp"
#include "cli/location.hpp"
#include "cli/node.hpp"
#include "cli/signals.hpp"
#include "cli/sync/rule_options.hpp"
#include "cli/sync/sync_output.hpp"
#include "cli/sync/tree_watch.hpp"
#include "fragment/json_line.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/mode_changes.hpp"
#include "services/sync/path.hpp"
#include "services/sync/selection.hpp"
#include "services/sync/service.hpp"
#include "transport/memory.hpp"
#include "transport/stdio.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
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
  IdentityOptions identity;
  std::string from;
  std::string to;
  sync::Options wishes;
  SyncOutput::Style style;
  RemoteShell shell;
  bool whole_file = false;
  bool no_whole_file = false;
  std::string log_file;
  bool watch = false;
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
  std::shared_ptr<sync::DigestThreads> digest_threads = sync::DigestThreads::of_this_machine();
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
  const auto programs = std::make_shared<StdioMedium>();
  for (const Location* location : {&run.from, &run.to})
    if (!location->command.empty())
      programs->add_command(location->address.substr(location->address.find(':') + 1), location->command);
  options.media.emplace(programs->scheme(), programs);
  options.log = [output = run.output.get()](LogLevel level, std::string_view line) {
    output->log(level, std::string(line));
  };
  return options;
}

/// Both sides are here: the destination is served by a second node of this process, over memory.
awaitable<sync::Report> sync_here(Run& run, std::shared_ptr<sync::Service> service, Node& here, Node& there) {
  sync::Source source = sync::open_source(run.from.path);
  sync::ServiceOptions settings;
  settings.tuning = sync_tuning(2);
  settings.digest_threads = run.digest_threads;
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
  settings.digest_threads = run.digest_threads;
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
  if (run->options.watch) hold_end_signals(true); // until somebody listens again
  signals->clear();                               // the next one ends the process
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

int sync_once(const SyncOptions& options) {
  Run run;
  run.options = options;
  run.from = parse_location(options.from, options.shell);
  run.to = parse_location(options.to, options.shell);
  if (run.from.is_remote() && run.to.is_remote())
    throw UsageError("both \"" + options.from + "\" and \"" + options.to +
                     "\" are on other nodes: one side has to be here");
  for (const Location* location : {&run.from, &run.to})
    if (location->command.empty()) check_dial_address(location->address, options.identity.insecure);
  if (!run.from.is_remote() && !run.to.is_remote()) check_apart(options);
  const sync::Filter checked(options.wishes.rules, options.wishes.delete_excluded);
  if (options.wishes.only) const sync::Selection selected(*options.wishes.only);
  // What crosses no wire is not worth the reading of what is there, unless it is to be changed in its place.
  sync::Options& wishes = run.options.wishes;
  const bool is_here = !run.from.is_remote() && !run.to.is_remote() && !wishes.in_place && !wishes.append;
  wishes.whole_file = !options.no_whole_file && (options.whole_file || is_here);
  run.options.style.pushes = run.to.is_remote();
  run.output = std::make_unique<SyncOutput>(run.options.style, run.watch.progress);
  if (!options.log_file.empty()) run.output->log_into(options.log_file);
  run.watch.on_note = [output = run.output.get()](const sync::Note& note) { output->note(note); };

  asio::io_context io(1);
  const auto medium = std::make_shared<MemoryMedium>(1 << 20);
  NodeIdentity identity(options.identity, key_of_dialling, {run.from.address, run.to.address},
                        [output = run.output.get()](const std::string& line) { output->failure(line); });
  NodeOptions here_options = quiet_node(run, "sync", medium);
  identity.apply(here_options);
  Node here(io.get_executor(), std::move(here_options));
  Node there(io.get_executor(), quiet_node(run, "there", medium));
  asio::signal_set signals(io);
  add_end_signals(signals);
  hold_end_signals(false);
  ExitCode code = ExitCode::equal;
  std::exception_ptr failure;
  asio::co_spawn(io, sync_raced(&run, &here, &there, &signals), [&](std::exception_ptr thrown, ExitCode ended) {
    failure = std::move(thrown);
    code = ended;
  });
  io.run();
  if (run.digest_threads) run.digest_threads->join();
  if (failure) std::rethrow_exception(failure);
  return static_cast<int>(code);
}

enum class Woken { changed, waited, interrupted };

/// Until the tree has changed and is at rest, or for as long as `patience`.
awaitable<Woken> wait_for_change(TreeWatch* watch, asio::signal_set* signals, Duration patience) {
  using namespace asio::experimental::awaitable_operators;
  constexpr Duration rest = std::chrono::milliseconds(150);
  constexpr int batches_max = 15; // a tree that never rests is synced all the same
  asio::posix::stream_descriptor events(co_await asio::this_coro::executor, ::fcntl(watch->fd(), F_DUPFD_CLOEXEC, 0));
  bool any = watch->take();
  for (int batches = 0; batches < batches_max; ++batches) {
    const Duration pause = any ? rest : patience;
    const auto first = co_await (events.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable) ||
                                 signals->async_wait(asio::use_awaitable) || sleep_for(pause));
    if (first.index() == 1) co_return Woken::interrupted;
    if (first.index() == 2) break;
    any = watch->take() || any;
  }
  co_return any ? Woken::changed : Woken::waited;
}

Woken wait_for_change(TreeWatch& watch, Duration patience) {
  asio::io_context io(1);
  asio::signal_set signals(io);
  add_end_signals(signals);
  hold_end_signals(false);
  auto woken = Woken::interrupted;
  asio::co_spawn(io, wait_for_change(&watch, &signals, patience), [&](std::exception_ptr thrown, Woken how) {
    if (!thrown) woken = how;
    hold_end_signals(true);
    signals.cancel();
  });
  io.run();
  return woken;
}

void say_watching(const SyncOptions& options, const std::string& line) {
  if (options.style.quiet) return;
  if (options.style.json) {
    JsonLine object;
    std::printf("%s\n", object.add("event", "waiting").add("text", line).take().c_str());
  } else {
    std::printf("%s\n", line.c_str());
  }
  std::fflush(stdout);
}

/// Keeps DST equal to SRC as that changes. Every round is a whole sync of its own, so that nothing is lost that
/// happened while one side was away, and none of them depends on what was heard of changes.
int keep_equal(const SyncOptions& options) {
  constexpr Duration retry_min = std::chrono::seconds(1);
  constexpr Duration retry_max = std::chrono::seconds(30);
  constexpr Duration rescan = std::chrono::minutes(10);
  constexpr Duration rescan_unwatched = std::chrono::seconds(10);
  if (parse_location(options.from, options.shell).is_remote())
    throw UsageError("--watch watches SRC, which has to be here; run it where \"" + options.from + "\" is");
  hold_end_signals(true);
  TreeWatch watch(options.from);
  Duration retry = retry_min;
  for (;;) {
    const bool all = watch.add_all();
    watch.take();
    int code = 0;
    try {
      code = sync_once(options);
    } catch (const UsageError&) {
      throw;
    } catch (...) { // the tree may come back
      std::fprintf(stderr, "trunkline: %s\n", line_of(std::current_exception()).c_str());
      code = static_cast<int>(exit_code_of(std::current_exception()));
    }
    Duration patience = all ? rescan : rescan_unwatched;
    switch (static_cast<ExitCode>(code)) {
      case ExitCode::interrupted: return code;
      case ExitCode::socket:
      case ExitCode::timeout:
      case ExitCode::file:
      case ExitCode::try_again:
      case ExitCode::protocol: {
        patience = std::exchange(retry, std::min(retry * 2, retry_max));
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(patience).count();
        say_watching(options, "waiting for \"" + sync::printable(options.to) + "\": the next attempt is in " +
                                  std::to_string(seconds) + " s");
        break;
      }
      default:
        retry = retry_min;
        say_watching(options, "waiting for changes in " + std::to_string(watch.directories_count()) +
                                  " directories of \"" + sync::printable(options.from) + '"' +
                                  (all ? "" : ", and looking every 10 s, for the system watches no more of them"));
    }
    if (wait_for_change(watch, patience) == Woken::interrupted) return static_cast<int>(ExitCode::interrupted);
  }
}

int sync_trees(const SyncOptions& options) {
  raise_files_limit();
  return options.watch ? keep_equal(options) : sync_once(options);
}

} // namespace

namespace {

constexpr const char* group_what = "What is sent";
constexpr const char* group_wire = "The way there";
constexpr const char* group_attributes = "Attributes";
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
  command.add_flag("-W,--whole-file", options.whole_file, "Send files whole, also where DST has something of them")
      ->group(group_what);
  command.add_flag("--no-whole-file", options.no_whole_file, "Only what differs, also where both are here")
      ->group(group_what);
  command
      .add_flag("--inplace", wishes.in_place, "Overwrite files instead of replacing them: torn until they are whole")
      ->group(group_what);
  command
      .add_flag("--append,--append-verify", wishes.append,
                "The same, and what DST has of a shorter file is its beginning; a digest of all of it says so")
      ->group(group_what);
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

void add_wire(CLI::App& command, SyncOptions& options) {
  sync::Options& wishes = options.wishes;
  command.add_flag("-z,--compress", wishes.compress, "zstd, for what shrinks")->group(group_wire);
  command
      .add_option_function<std::string>(
          "--bwlimit",
          [&wishes](const std::string& rate) {
            try { // a number alone is KiB, as rsync has it
              const bool is_number = rate.find_first_not_of("0123456789.") == std::string::npos;
              wishes.rate_max = parse_size(is_number ? rate + 'k' : rate);
            } catch (const std::invalid_argument& refused) {
              throw CLI::ValidationError(refused.what());
            }
          },
          "No more than so many bytes of files a second: 500, which is 500k, or 1.5m")
      ->type_name("RATE")
      ->group(group_wire);
  command.add_option("-e,--rsh", options.shell.command, "How ssh:// enters another machine, with options")
      ->type_name("COMMAND")
      ->capture_default_str()
      ->group(group_wire);
  command.add_option("--trunkline-path", options.shell.program, "The program to start there")
      ->type_name("PROGRAM")
      ->capture_default_str()
      ->group(group_wire);
}

void add_attributes(CLI::App& command, SyncOptions& options) {
  sync::Options& wishes = options.wishes;
  const auto flag = [&](const char* name, bool& into, const char* text) {
    command.add_flag(name, into, text)->group(group_attributes);
  };
  command
      .add_flag_callback(
          "-a,--archive", [&wishes] { wishes.owner = wishes.group = wishes.devices = wishes.all_mode_bits = true; },
          "-pogD")
      ->group(group_attributes);
  command.add_flag_callback("-r,-l,-t,--recursive,--links,--times", [] {}, "Always so")->group(group_attributes);
  flag("-p,--perms", wishes.all_mode_bits, "Setuid, setgid and sticky bits, too; permissions are always kept");
  flag("-o,--owner", wishes.owner, "Owners, by name; needs root in DST");
  flag("-g,--group", wishes.group, "Groups, by name; without root those that one is in");
  flag("-D,--devices,--specials", wishes.devices, "Devices, fifos and sockets; devices need root in DST");
  flag("-H,--hard-links", wishes.hard_links, "Which names are one file");
  flag("-A,--acls", wishes.acls, "ACLs, by number");
  flag("-X,--xattrs", wishes.xattrs, "Extended attributes; without root those of \"user.\"");
  flag("--numeric-ids", wishes.numeric_ids, "Owners and groups by number");
  command.add_option("--chmod", wishes.chmod, "Change modes on the way: D2775,F664 or Dg+s,go-w,+X; may be repeated")
      ->type_name("CHANGES")
      ->group(group_attributes);
  command
      .add_option_function<std::string>(
          "--chown",
          [&wishes](const std::string& who) {
            const std::size_t colon = who.find(':');
            wishes.chown_user = who.substr(0, colon);
            wishes.chown_group = colon == std::string::npos ? std::string() : who.substr(colon + 1);
          },
          "Everything in DST belongs to them, by name or number; needs root there")
      ->type_name("USER:GROUP")
      ->group(group_attributes);
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

/// What would be refused by the far side, or half way.
void take_changes(SyncOptions& options) {
  const sync::Options& wishes = options.wishes;
  if (wishes.backup && (wishes.in_place || wishes.append))
    throw UsageError("--backup needs what --inplace and --append overwrite");
  if (wishes.in_place && wishes.append) options.wishes.in_place = false; // which --append means, too
  if (options.whole_file && options.no_whole_file)
    throw UsageError("--whole-file and --no-whole-file exclude each other");
  sync::ModeChanges modes;
  for (const std::string& text : wishes.chmod) modes.add(text, 0); // throws what is wrong with it
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
  add_attributes(*command, *options);
  add_deletion(*command, *options);
  add_wire(*command, *options);
  command->add_flag("--watch", options->watch, "Go on: keep DST equal as SRC, which has to be here, changes")
      ->group(group_what);
  command->add_option("--log-file", options->log_file, "Also write what is said about files there")
      ->type_name("FILE")
      ->group(group_output);
  command->add_option("--timeout", options->timeout_seconds, "Give up when nothing has moved for so long; 0: never")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0, 86'400))
      ->group(group_output);
  command
      ->add_flag_callback(
          "-P,--progress,--partial", [] {},
          "Always so: one line says how far all of it is, and what a large file has got is kept")
      ->group(group_output);
  command
      ->add_option_function<std::string>(
          "--info",
          [](const std::string& what) {
            if (what != "progress2") throw CLI::ValidationError("only progress2, which is always so, is spoken");
          },
          "progress2, which is always so")
      ->type_name("WHAT")
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
  command
      ->add_flag("-v,--verbose", options->style.verbose,
                 "Name everything that is done; -vv: what connections do, too, -vvv: all of it")
      ->group(group_output);
  add_identity_options(*command, options->identity, key_of_dialling);
  add_insecure_option(*command, options->identity);
  command->footer(
      std::string("The content of the directory SRC goes into the directory DST, with or without a slash at\n"
                  "the end; a file SRC goes into DST as it is. One of both may be on another node. A file that\n"
                  "is written all the time arrives as it was at one moment, and is named; where there was\n"
                  "no such moment, DST keeps what it has of it.\n\n"
                  "Content, permissions, times and symbolic links are kept, and what the options of the group\n"
                  "Attributes name. Owner and group, hard links, extended attributes, ACLs, setuid, setgid\n"
                  "and sticky bits are not without them; devices, fifos and sockets are skipped. The summary\n"
                  "says of how many entries something was not kept.\n\n"
                  "Example:\n"
                  "  trunkline sync --delete photos tcp://127.0.0.1:7000/photos\n\n") +
      exit_codes_text);
  return {command, [options, rules] {
            options->style.dry_run = options->wishes.dry_run;
            rules->take(options->wishes);
            take_backups(*options);
            take_changes(*options);
            return sync_trees(*options);
          }};
}

} // namespace trunkline::cli

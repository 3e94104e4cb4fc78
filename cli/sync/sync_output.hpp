// What `trunkline sync` says: a progress line on a terminal, plain lines when piped, or one JSON object per line.
#pragma once

#include "cli/exit_code.hpp"
#include "cli/sync/progress_line.hpp"
#include "fragment/log.hpp"
#include "services/sync/report.hpp"

#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

namespace trunkline::cli {

/// Lines of results go to `out`, of trouble to `err`. The progress line is on `out`, with JSON on `err`, only when that
/// is a terminal, and never mixed up with other lines.
class SyncOutput {
 public:
  struct Style {
    bool json = false;
    bool quiet = false;
    int verbose = 0; // 1: names what is done; 2: the node's log too; 3: with its debug lines
    bool dry_run = false;
    bool itemize = false;
    bool stats = false;
    bool pushes = false; // to another node
  };

  SyncOutput(Style style, std::shared_ptr<const sync::Progress> progress, std::FILE* out = stdout,
             std::FILE* err = stderr);
  ~SyncOutput() { clear(); }
  SyncOutput(const SyncOutput&) = delete;
  SyncOutput& operator=(const SyncOutput&) = delete;

  /// How often `tick` wants to be called.
  std::chrono::milliseconds interval() const noexcept;
  void tick(double seconds);
  void note(const sync::Note& note);
  /// Everything that is said about files goes there, too, each line with its time. Errors: sync::FileError.
  void log_into(const std::string& path);
  /// A line of the nodes, which is for those who look for trouble with connections.
  void log(LogLevel level, const std::string& line);
  void failure(std::exception_ptr failure);
  void failure(const std::string& line);
  /// What the notes so far come to, for a sync that ended before it was done.
  const sync::Report& seen() const noexcept { return seen_; }
  /// What went over this node's connections; in the statistics.
  struct Wire {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
  };
  void set_wire(Wire wire) { wire_ = wire; }
  void summary(const sync::Report& report, double seconds, ExitCode code);
  /// Writes what is left; says what is wrong, once, and returns false when some of the results, or of the log, could
  /// not be written.
  bool finish();

 private:
  void put_into_log(const std::string& line);
  void put(std::FILE* to, const std::string& line);
  void flush(std::FILE* to);
  void clear();
  void print(std::FILE* to, const std::string& line);
  void print_json(const std::string& object);
  void tick_json(double seconds);
  void note_json(const sync::Note& note);
  void say_stats(const sync::Report& report);
  void say_not_kept(const sync::NotKept& counts);

  const Style style_;
  const std::shared_ptr<const sync::Progress> progress_;
  std::FILE* const out_;
  std::FILE* const err_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> log_{nullptr, std::fclose};
  std::string log_path_;
  int log_error_ = 0; // errno of its first line that could not be written
  std::FILE* const terminal_; // of the progress line; null: none
  bool drawn_ = false;
  int out_error_ = 0; // errno of the first result that could not be written
  Rate rate_;
  sync::Report seen_;
  Wire wire_;
  double said_seconds_ = 0; // of the last plain progress line
};

} // namespace trunkline::cli

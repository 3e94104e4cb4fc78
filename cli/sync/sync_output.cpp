#include "cli/sync/sync_output.hpp"

#include "fragment/json_line.hpp"
#include "services/sync/path.hpp"

#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace trunkline::cli {
namespace {

constexpr double plain_interval_seconds = 5;
constexpr double json_interval_seconds = 1;

std::size_t columns_of(std::FILE* terminal) {
  winsize size{};
  if (::ioctl(::fileno(terminal), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

/// The letters of rsync's --itemize-changes; empty for what has none.
std::string letters_of(const sync::Note& note, bool pushes) {
  char first = '.';
  switch (note.kind) {
    case sync::Note::Kind::sent: first = pushes ? '<' : '>'; break;
    case sync::Note::Kind::directory:
    case sync::Note::Kind::special:
    case sync::Note::Kind::symlink: first = 'c'; break;
    case sync::Note::Kind::hard_link: first = 'h'; break;
    case sync::Note::Kind::attributes: break;
    case sync::Note::Kind::deleted: return "*deleting  ";
    default: return {};
  }
  const char type = note.type == sync::EntryType::directory ? 'd'
                    : note.type == sync::EntryType::symlink ? 'L'
                    : note.type == sync::EntryType::other   ? 'S'
                                                            : 'f';
  const std::string begin{first, type};
  if (note.changes & sync::Changes::is_new) return begin + "+++++++++";
  std::string letters = ".........";
  if (note.changes & sync::Changes::content) letters[0] = 'c';
  if (note.changes & sync::Changes::size) letters[1] = 's';
  if (note.changes & sync::Changes::time) letters[2] = 't';
  if (note.changes & sync::Changes::mode) letters[3] = 'p';
  if (note.changes & sync::Changes::owner) letters[4] = 'o';
  if (note.changes & sync::Changes::group) letters[5] = 'g';
  if (note.changes & sync::Changes::xattrs) letters[8] = 'x';
  return begin + letters;
}

std::string itemized(const sync::Note& note, const std::string& letters) {
  std::string path = note.path.empty() ? "." : sync::printable(note.path);
  if (note.type == sync::EntryType::directory) path += '/';
  if (note.kind == sync::Note::Kind::symlink) path += " -> " + sync::printable(note.text);
  if (note.kind == sync::Note::Kind::hard_link) path += " => " + sync::printable(note.text);
  return letters + ' ' + path;
}

bool is_trouble(sync::Note::Kind kind) {
  return kind == sync::Note::Kind::error || kind == sync::Note::Kind::vanished || kind == sync::Note::Kind::warning;
}

std::FILE* terminal_of(std::FILE* file) { return ::isatty(::fileno(file)) == 1 ? file : nullptr; }

const char* name_of_kind(sync::Note::Kind kind) {
  switch (kind) {
    case sync::Note::Kind::error: return "error";
    case sync::Note::Kind::skipped: return "skipped";
    case sync::Note::Kind::sent: return "sent";
    case sync::Note::Kind::directory: return "directory";
    case sync::Note::Kind::symlink: return "symlink";
    case sync::Note::Kind::attributes: return "attributes";
    case sync::Note::Kind::deleted: return "deleted";
    case sync::Note::Kind::vanished: return "vanished";
    case sync::Note::Kind::warning: return "warning";
    case sync::Note::Kind::special: return "special";
    case sync::Note::Kind::hard_link: return "hard_link";
  }
  return "unknown";
}

std::string line_of(const sync::Note& note) {
  const std::string path = note.path.empty() ? "." : sync::printable(note.path);
  switch (note.kind) {
    case sync::Note::Kind::error:
    case sync::Note::Kind::vanished:
    case sync::Note::Kind::warning: return sync::printable_sentence(note.text);
    case sync::Note::Kind::skipped: return "skipped " + path + ": " + sync::printable_sentence(note.text);
    case sync::Note::Kind::sent: return "sent " + path;
    case sync::Note::Kind::directory: return "made " + path + "/";
    case sync::Note::Kind::symlink: return "linked " + path + " -> " + sync::printable(note.text);
    case sync::Note::Kind::hard_link: return "linked " + path + " => " + sync::printable(note.text);
    case sync::Note::Kind::special: return "made " + path;
    case sync::Note::Kind::attributes: return "set mode and time of " + path;
    case sync::Note::Kind::deleted:
      return "deleted " + path + (note.text.empty() ? "" : ": " + sync::printable_sentence(note.text));
  }
  return path;
}

} // namespace

SyncOutput::SyncOutput(Style style, std::shared_ptr<const sync::Progress> progress, std::FILE* out, std::FILE* err)
    : style_(style), progress_(std::move(progress)), out_(out), err_(err),
      terminal_(terminal_of(style.json ? err : out)) {}

std::chrono::milliseconds SyncOutput::interval() const noexcept {
  return std::chrono::milliseconds(terminal_ ? 100 : 500);
}

void SyncOutput::clear() {
  if (!drawn_) return;
  drawn_ = false;
  std::fputs("\r\x1b[K", terminal_);
  std::fflush(terminal_);
}

void SyncOutput::put(std::FILE* to, const std::string& line) {
  const bool whole = std::fwrite(line.data(), 1, line.size(), to) == line.size() && std::fputc('\n', to) != EOF;
  if (!whole && to == out_ && out_error_ == 0) out_error_ = errno;
}

void SyncOutput::flush(std::FILE* to) {
  if (std::fflush(to) != 0 && to == out_ && out_error_ == 0) out_error_ = errno;
}

void SyncOutput::print(std::FILE* to, const std::string& line) {
  clear();
  put(to, line);
  if (to == out_ && to != terminal_) return; // a pipe gets blocks; trouble and terminals get lines
  flush(to);
}

void SyncOutput::print_json(const std::string& object) {
  if (out_ != err_ && ::isatty(::fileno(out_)) == 1) clear();
  put(out_, object);
}

void SyncOutput::tick(double seconds) {
  rate_.update(seconds, progress_->bytes_done);
  if (style_.quiet) return;
  if (terminal_) {
    // The last column stays free: some terminals wrap when it is written.
    const std::string line = progress_line(*progress_, rate_.bytes_per_second(), columns_of(terminal_) - 1);
    std::fprintf(terminal_, "\r%s\x1b[K", line.c_str());
    std::fflush(terminal_);
    drawn_ = true;
  }
  if (style_.json) {
    tick_json(seconds);
    return;
  }
  if (terminal_) return;
  if (seconds - said_seconds_ < plain_interval_seconds) return;
  said_seconds_ = seconds;
  print(out_, progress_line(*progress_, rate_.bytes_per_second(), 100));
  flush(out_);
}

void SyncOutput::tick_json(double seconds) {
  if (seconds - said_seconds_ < json_interval_seconds) return;
  said_seconds_ = seconds;
  JsonLine line;
  line.add("event", "progress").add("files", progress_->files_done).add("files_total", progress_->files_total);
  line.add("bytes", progress_->bytes_done).add("bytes_total", progress_->bytes_total).add("seconds", seconds);
  print_json(line.take());
  flush(out_);
}

void SyncOutput::log_into(const std::string& path) {
  log_path_ = path;
  log_.reset(std::fopen(path.c_str(), "ae"));
  if (!log_) throw sync::FileError("write", path, errno);
}

void SyncOutput::put_into_log(const std::string& line) {
  if (!log_) return;
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char time[32];
  std::strftime(time, sizeof time, "%Y/%m/%d %H:%M:%S", &parts);
  const bool whole = std::fprintf(log_.get(), "%s [%d] %s\n", time, static_cast<int>(::getpid()), line.c_str()) >= 0 &&
                     std::fflush(log_.get()) == 0;
  if (!whole && log_error_ == 0) log_error_ = errno;
}

void SyncOutput::note(const sync::Note& note) {
  seen_.count(note);
  if (log_) {
    const std::string letters = letters_of(note, style_.pushes);
    put_into_log(letters.empty() ? line_of(note) : itemized(note, letters));
  }
  if (style_.json) {
    note_json(note);
  } else if (is_trouble(note.kind)) {
    print(err_, "trunkline: " + line_of(note));
  } else if (const std::string letters = style_.itemize ? letters_of(note, style_.pushes) : std::string();
             !letters.empty()) {
    if (!style_.quiet) print(out_, itemized(note, letters));
  } else if (style_.verbose > 0 || style_.dry_run || note.kind == sync::Note::Kind::skipped) {
    if (!style_.quiet) print(out_, line_of(note));
  }
}

void SyncOutput::note_json(const sync::Note& note) {
  const bool always = is_trouble(note.kind) || note.kind == sync::Note::Kind::skipped;
  if (!always && style_.quiet) return;
  JsonLine line;
  line.add("event", name_of_kind(note.kind)).add_path(note.path);
  if (note.kind == sync::Note::Kind::sent) line.add("bytes", note.bytes);
  if (!note.text.empty()) line.add(note.kind == sync::Note::Kind::symlink ? "target" : "text", note.text);
  print_json(line.take());
}

void SyncOutput::log(LogLevel level, const std::string& line) {
  const int asked = level == LogLevel::debug ? 3 : 2;
  if (style_.verbose >= asked) print(err_, sync::printable_sentence(line));
}

void SyncOutput::failure(std::exception_ptr failure) { this->failure(cli::line_of(std::move(failure))); }

void SyncOutput::failure(const std::string& line) {
  print(err_, "trunkline: " + line);
  put_into_log(line);
  if (!style_.json) return;
  JsonLine object;
  print_json(object.add("event", "failure").add("text", line).take());
}

void SyncOutput::summary(const sync::Report& report, double seconds, ExitCode code) {
  clear();
  if (style_.json) {
    JsonLine line;
    line.add("event", "summary").add("files", report.files).add("bytes", report.bytes).add("circuits", report.circuits);
    line.add("seconds", seconds).add("errors", report.errors).add("directories", report.directories);
    line.add("symlinks", report.symlinks).add("attributes", report.attributes).add("deleted", report.deleted);
    line.add("unchanged", report.unchanged).add("skipped", report.skipped).add("dry_run", style_.dry_run);
    line.add("vanished", report.vanished).add("warnings", report.warnings);
    line.add("linked", report.linked).add("passed_over", report.passed_over).add("not_deleted", report.not_deleted);
    const sync::NotKept& lost = report.not_kept;
    line.add("not_kept_owners", lost.owners).add("not_kept_hard_links", lost.hard_links);
    line.add("not_kept_xattrs", lost.xattrs).add("not_kept_acls", lost.acls);
    line.add("not_kept_mode_bits", lost.mode_bits).add("not_kept_specials", lost.specials);
    line.add("bytes_matched", report.bytes_matched).add("specials", report.specials);
    line.add("files_new", report.files_new).add("wire_sent", wire_.sent).add("wire_received", wire_.received);
    line.add("exit_code", static_cast<std::uint64_t>(code));
    print_json(line.take());
    flush(out_);
    return;
  }
  if (style_.quiet && !log_) return;
  const double rate = seconds > 0 ? static_cast<double>(report.bytes) / seconds : 0;
  std::string line =
      fmt::format("{}{} files, {} in {:.2f} s ({}/s) over {} circuits", style_.dry_run ? "dry run: " : "", report.files,
                  in_bytes(report.bytes), seconds, in_bytes(static_cast<std::uint64_t>(rate)), report.circuits);
  line += fmt::format("; {} directories, {} symlinks, {} attributes, {} deleted, {} unchanged", report.directories,
                      report.symlinks, report.attributes, report.deleted, report.unchanged);
  if (report.skipped > 0) line += fmt::format(", {} skipped", report.skipped);
  if (report.linked > 0) line += fmt::format(", {} linked", report.linked);
  if (report.passed_over > 0) line += fmt::format(", {} passed over", report.passed_over);
  if (report.vanished > 0) line += fmt::format(", {} vanished", report.vanished);
  if (report.warnings > 0) line += fmt::format(", {} warnings", report.warnings);
  if (report.errors > 0) line += fmt::format(", {} errors", report.errors);
  if (report.specials > 0) line += fmt::format(", {} special", report.specials);
  put_into_log(line);
  if (style_.quiet) return;
  if (style_.stats) say_stats(report);
  print(out_, line);
  say_not_kept(report.not_kept);
  flush(out_);
}

void SyncOutput::say_stats(const sync::Report& report) {
  const std::pair<const char*, std::uint64_t> rows[] = {
      {"entries listed", progress_->entries_listed},
      {"files sent", report.files},
      {"files sent that are new", report.files_new},
      {"directories made", report.directories},
      {"symlinks made", report.symlinks},
      {"attributes set", report.attributes},
      {"entries deleted", report.deleted},
      {"entries unchanged", report.unchanged},
      {"files linked", report.linked},
      {"devices, fifos and sockets made", report.specials},
      {"entries passed over", report.passed_over},
      {"bytes of the files sent", report.bytes},
      {"bytes of them, literal", report.bytes - std::min(report.bytes, report.bytes_matched)},
      {"bytes of them, matched", report.bytes_matched},
      {"bytes on the wire, sent", wire_.sent},
      {"bytes on the wire, received", wire_.received},
  };
  for (const auto& [what, count] : rows) print(out_, fmt::format("{}: {}", what, count));
}

void SyncOutput::say_not_kept(const sync::NotKept& counts) {
  const std::pair<std::uint64_t, const char*> rows[] = {
      {counts.owners, "owner or group of"},
      {counts.hard_links, "hard links of"},
      {counts.xattrs, "extended attributes of"},
      {counts.acls, "ACLs of"},
      {counts.mode_bits, "setuid, setgid or sticky bits of"},
      {counts.specials, "devices, fifos and sockets:"},
  };
  std::string line;
  for (const auto& [count, what] : rows)
    if (count > 0) line += fmt::format("{} {} {}", line.empty() ? "not kept:" : ",", what, count);
  if (!line.empty()) print(out_, line);
}

bool SyncOutput::finish() {
  clear();
  flush(out_);
  if (log_error_ != 0)
    print(err_, "trunkline: cannot write \"" + sync::printable(log_path_) + "\": " + std::strerror(log_error_));
  if (out_error_ == 0) return log_error_ == 0;
  const char* const words = out_error_ == EBADF ? "it is closed" : std::strerror(out_error_);
  print(err_, std::string("trunkline: cannot write the results to the standard output: ") + words);
  return false;
}

} // namespace trunkline::cli

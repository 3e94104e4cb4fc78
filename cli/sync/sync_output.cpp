#include "cli/sync/sync_output.hpp"

#include "cli/json.hpp"
#include "services/sync/path.hpp"

#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace trunkline::cli {
namespace {

constexpr double plain_interval_seconds = 5;
constexpr double json_interval_seconds = 1;

std::size_t columns_of(std::FILE* terminal) {
  winsize size{};
  if (::ioctl(::fileno(terminal), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
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
  }
  return "unknown";
}

std::string line_of(const sync::Note& note) {
  const std::string path = note.path.empty() ? "." : sync::printable(note.path);
  switch (note.kind) {
    case sync::Note::Kind::error: return sync::printable_sentence(note.text);
    case sync::Note::Kind::skipped: return "skipped " + path + ": " + sync::printable_sentence(note.text);
    case sync::Note::Kind::sent: return "sent " + path;
    case sync::Note::Kind::directory: return "made " + path + "/";
    case sync::Note::Kind::symlink: return "linked " + path + " -> " + sync::printable(note.text);
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

void SyncOutput::note(const sync::Note& note) {
  if (style_.json) {
    note_json(note);
  } else if (note.kind == sync::Note::Kind::error) {
    print(err_, "trunkline: " + line_of(note));
  } else if (style_.verbose || style_.dry_run || note.kind == sync::Note::Kind::skipped) {
    if (!style_.quiet) print(out_, line_of(note));
  }
}

void SyncOutput::note_json(const sync::Note& note) {
  const bool always = note.kind == sync::Note::Kind::error || note.kind == sync::Note::Kind::skipped;
  if (!always && style_.quiet) return;
  JsonLine line;
  line.add("event", name_of_kind(note.kind)).add_path(note.path);
  if (note.kind == sync::Note::Kind::sent) line.add("bytes", note.bytes);
  if (!note.text.empty()) line.add(note.kind == sync::Note::Kind::symlink ? "target" : "text", note.text);
  print_json(line.take());
}

void SyncOutput::log(const std::string& line) {
  if (style_.verbose) print(err_, sync::printable_sentence(line));
}

void SyncOutput::failure(std::exception_ptr failure) { this->failure(cli::line_of(std::move(failure))); }

void SyncOutput::failure(const std::string& line) {
  print(err_, "trunkline: " + line);
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
    line.add("exit_code", static_cast<std::uint64_t>(code));
    print_json(line.take());
    flush(out_);
    return;
  }
  if (style_.quiet) return;
  const double rate = seconds > 0 ? static_cast<double>(report.bytes) / seconds : 0;
  std::string line =
      fmt::format("{}{} files, {} in {:.2f} s ({}/s) over {} circuits", style_.dry_run ? "dry run: " : "", report.files,
                  in_bytes(report.bytes), seconds, in_bytes(static_cast<std::uint64_t>(rate)), report.circuits);
  line += fmt::format("; {} directories, {} symlinks, {} attributes, {} deleted, {} unchanged", report.directories,
                      report.symlinks, report.attributes, report.deleted, report.unchanged);
  if (report.skipped > 0) line += fmt::format(", {} skipped", report.skipped);
  if (report.errors > 0) line += fmt::format(", {} errors", report.errors);
  print(out_, line);
  flush(out_);
}

bool SyncOutput::finish() {
  clear();
  flush(out_);
  if (out_error_ == 0) return true;
  print(err_, std::string("trunkline: cannot write the results: ") + std::strerror(out_error_));
  return false;
}

} // namespace trunkline::cli

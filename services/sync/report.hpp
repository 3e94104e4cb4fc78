// What a sync says while it runs and when it is done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace trunkline::sync {

/// One thing that was done (in a dry run: would be), or could not be.
struct Note {
  enum class Kind : std::uint8_t { error, skipped, sent, directory, symlink, attributes, deleted };

  Kind kind = Kind::error;
  std::string path;        // relative; bytes as they are, see `printable`
  std::uint64_t bytes = 0; // of a file that was sent
  std::string text;        // error: a whole sentence; skipped: why; symlink: its target
};

/// How far it is. Both sides see the same within what is under way between them.
struct Progress {
  std::uint64_t files_done = 0;
  std::uint64_t files_total = 0; // known so far
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
  std::uint64_t entries_listed = 0;
  bool totals_known = false; // the totals will not grow any more
  std::uint64_t worked = 0;  // grows while this side works: walks, reads, digests, writes, deletes
  std::uint64_t heard = 0;   // grows with whatever comes from the far side
};

struct Report {
  std::uint64_t files = 0;       // whose content was sent
  std::uint64_t bytes = 0;       // of them
  std::uint64_t directories = 0; // made
  std::uint64_t symlinks = 0;    // made or replaced
  std::uint64_t attributes = 0;  // only mode or mtime set
  std::uint64_t deleted = 0;
  std::uint64_t unchanged = 0;
  std::uint64_t skipped = 0;
  std::uint64_t errors = 0;
  std::uint64_t circuits = 0;    // that the sync used
};

struct Options {
  bool checksum = false;     // content decides, not size and mtime
  bool delete_extra = false; // what the source does not have
  bool dry_run = false;
  std::vector<std::string> exclude; // see Filter
};

/// Where a running sync tells what happens; both may be left out.
struct Watch {
  std::shared_ptr<Progress> progress = std::make_shared<Progress>();
  std::function<void(const Note&)> on_note;

  void note(const Note& note) const {
    if (on_note) on_note(note);
  }
};

/// How much a sync has under way at once.
struct Tuning {
  std::size_t files_sending_max = 64;         // by a Giver; their data takes turns
  std::size_t files_outstanding_max = 200; // wanted by a Taker and not yet there; less than Limits::open_backlog_max
  std::size_t fragment_bytes = 256 * 1024; // of a file's data; at most fragment_bytes_max of both ends
  std::size_t entries_max = 10'000'000; // in a listing
  std::size_t listing_bytes_max =
      2ull << 30; // of what is listed here and there, in memory, of a sync that this side asks for
  std::size_t attempts_max = 3; // to read a file that changes meanwhile
};

/// The sync ended before it was done. What both sides have by then is whole files.
class Failure : public std::runtime_error {
 public:
  enum class Kind : std::uint8_t { file, protocol, denied, ending };

  Failure(Kind kind, const std::string& text) : std::runtime_error(text), kind_(kind) {}
  Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

} // namespace trunkline::sync

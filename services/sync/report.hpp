// What a sync says while it runs and when it is done.
#pragma once

#include "services/sync/entry.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace trunkline::sync {

/// What of an entry a sync changed, as flags.
struct Changes {
  static constexpr std::uint8_t is_new = 1;
  static constexpr std::uint8_t content = 2; // found by its digest; of a symlink: its target
  static constexpr std::uint8_t size = 4;
  static constexpr std::uint8_t time = 8;
  static constexpr std::uint8_t mode = 16;
  static constexpr std::uint8_t owner = 32;
  static constexpr std::uint8_t group = 64;
  static constexpr std::uint8_t xattrs = 128; // and ACLs
};

/// One thing that was done (in a dry run: would be), or could not be.
struct Note {
  enum class Kind : std::uint8_t {
    error,
    skipped,
    sent,
    directory,
    symlink,
    attributes,
    deleted,
    vanished,
    warning,
    special,
    hard_link
  };

  Kind kind = Kind::error;
  std::string path;        // relative; bytes as they are, see `printable`
  std::uint64_t bytes = 0; // of a file that was sent
  EntryType type = EntryType::file; // of what was done something to
  std::uint8_t changes = 0;         // see Changes
  std::string text;        // error, vanished, warning: a whole sentence; skipped: why; symlink: its target; hard_link:
                           // the name it is the same as
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

/// How many entries of a source have something that the destination does not get.
struct NotKept {
  std::uint64_t owners = 0; // or group
  std::uint64_t hard_links = 0;
  std::uint64_t xattrs = 0;
  std::uint64_t acls = 0;
  std::uint64_t mode_bits = 0; // setuid, setgid, sticky
  std::uint64_t specials = 0;  // devices, fifos, sockets

  friend bool operator==(const NotKept&, const NotKept&) = default;
};

struct Report {
  std::uint64_t files = 0;       // whose content was sent
  std::uint64_t files_new = 0;   // of those, the ones that were not there
  std::uint64_t bytes = 0;       // of them
  std::uint64_t bytes_matched = 0; // of those, what was here already
  std::uint64_t directories = 0; // made
  std::uint64_t symlinks = 0;    // made or replaced
  std::uint64_t attributes = 0;  // only mode or mtime set
  std::uint64_t deleted = 0;
  std::uint64_t unchanged = 0;
  std::uint64_t skipped = 0;
  std::uint64_t errors = 0;
  std::uint64_t vanished = 0;    // deleted from the source since they were listed
  std::uint64_t warnings = 0;
  std::uint64_t linked = 0;      // second names that were made, of files here or of another tree on this side
  std::uint64_t specials = 0;    // devices, fifos and sockets, made
  std::uint64_t passed_over = 0; // not looked at any further because an option says so
  std::uint64_t not_deleted = 0; // because deletions_max were
  std::uint64_t circuits = 0;    // that the sync used
  NotKept not_kept;

  /// Counts what a note says.
  void count(const Note& note) noexcept;
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
  std::size_t files_outstanding_max = 200; // wanted by a Taker and not yet there
  std::size_t files_open_max = 512; // that all syncs of a node read, and as many that they write
  std::size_t fragment_bytes = 256 * 1024; // of a file's data; at most fragment_bytes_max of both ends
  std::size_t entries_max = 10'000'000; // in a listing
  std::size_t listing_bytes_max =
      2ull << 30; // of what is listed here and there, in memory, of a sync that this side asks for
  std::size_t attempts_max = 3; // to read a file that changes meanwhile
  std::size_t attempts_small_max = 8; // the same when it fits into a fragment
  std::uint64_t basis_bytes_min = 16 * 1024; // a smaller file is not worth the sums
  std::uint64_t partial_bytes_min = 4ull << 20; // of a file that was interrupted, for the next sync to go on from
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

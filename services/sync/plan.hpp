// What a Taker does about each entry of a Giver's listing: a pure function of two sorted listings.
#pragma once

#include "services/sync/entry.hpp"
#include "services/sync/options.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::sync {

enum class Step : std::uint8_t {
  none,           // it is there already
  set_attributes, // only mode or mtime differ
  make_directory,
  make_symlink,
  make_special, // a device, a fifo or a socket
  send_file,
  compare_file,   // same size: the digests decide
};

/// What has the name that an entry needs. A directory has to go first, anything else is simply replaced.
enum class InTheWay : std::uint8_t { nothing, other, empty_directory, full_directory };

struct Decision {
  Step step = Step::none;
  InTheWay in_the_way = InTheWay::nothing;
  bool attributes_differ = false; // beside compare_file

  friend bool operator==(const Decision&, const Decision&) = default;
};

/// What the source does not have.
struct Extra {
  std::string path;
  EntryType type = EntryType::file;
};

/// Compares two listings, both as they come: neither is ever there as a whole.
class Planner {
 public:
  /// keeps_extras: what is only here is remembered.
  explicit Planner(bool checksum, XattrScope xattrs = {}, bool keeps_extras = true)
      : checksum_(checksum), xattrs_(xattrs), keeps_extras_(keeps_extras) {}

  /// The next entry that is here, ascending by path; nothing: that was all.
  void add(std::optional<Entry> here);
  /// True while what is here is not known far enough to decide about this path. Paths ascend.
  bool lacks(std::string_view path);
  /// For each wanted entry, ascending, when nothing is lacking for it.
  Decision next(const Entry& wanted);
  /// What is here under the name of the last one, until the next one; null: nothing.
  const Entry* found() const noexcept { return found_ ? &*found_ : nullptr; }
  /// After the last one: true while not everything that is here is known.
  bool lacks_end();
  /// Then, once: which of the entries here are in no listing there, ascending.
  std::vector<Extra> take_extras() { return std::move(extras_); }
  /// What they take in memory.
  std::size_t extras_bytes() const noexcept { return extras_bytes_; }

 private:
  Decision compare(const Entry& wanted) const;
  void pass();

  const bool checksum_;
  const XattrScope xattrs_; // that count
  const bool keeps_extras_;
  std::deque<Entry> ahead_; // here, and not compared: at most two
  bool has_end_ = false;    // nothing more is here
  std::vector<Extra> extras_;
  std::size_t extras_bytes_ = 0;
  std::optional<Entry> found_;
};

/// What an option leaves as it is, in rsync's order. `here` has the entry's name; null: nothing has.
bool is_passed_over(const Options& options, const Entry& entry, const Entry* here) noexcept;
/// What a decision is about to change of an entry, see Changes.
std::uint8_t changes_of(const Entry& entry, const Entry* here, const Decision& decision) noexcept;
/// As far as size, time and mode tell.
bool is_same_file(const Entry& entry, const Status& found) noexcept;

struct Plan {
  std::vector<Decision> decisions; // one for each wanted entry
  std::vector<std::string> extras; // paths of what is only here
};

/// The planner over two whole listings.
Plan plan(const std::vector<Entry>& wanted, const std::vector<Entry>& have, bool checksum);

} // namespace trunkline::sync

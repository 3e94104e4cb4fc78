// What a Taker does about each entry of a Giver's listing: a pure function of two sorted listings.
#pragma once

#include "services/sync/entry.hpp"
#include "services/sync/options.hpp"

#include <cstddef>
#include <cstdint>
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

/// Compares a listing, entry by entry as it comes, with what is here.
class Planner {
 public:
  /// `have` is sorted by path and stays as it is while the planner lives.
  Planner(const std::vector<Entry>& have, bool checksum, XattrScope xattrs = {})
      : have_(have), checksum_(checksum), xattrs_(xattrs) {}

  /// For each wanted entry in ascending order.
  Decision next(const Entry& wanted);
  /// What is here under the name of the last one; null: nothing.
  const Entry* found() const noexcept { return found_; }
  /// After the last one: which of the entries here are in no listing there, ascending.
  std::vector<std::size_t> extras();

 private:
  Decision compare(const Entry& wanted, std::size_t index) const;

  const std::vector<Entry>& have_;
  bool checksum_;
  XattrScope xattrs_; // that count
  std::size_t at_ = 0; // entries before it are dealt with
  std::vector<std::size_t> extras_;
  const Entry* found_ = nullptr;
};

/// What an option leaves as it is, in rsync's order. `here` has the entry's name; null: nothing has.
bool is_passed_over(const Options& options, const Entry& entry, const Entry* here) noexcept;
/// What a decision is about to change of an entry, see Changes.
std::uint8_t changes_of(const Entry& entry, const Entry* here, const Decision& decision) noexcept;
/// As far as size, time and mode tell.
bool is_same_file(const Entry& entry, const Status& found) noexcept;

struct Plan {
  std::vector<Decision> decisions; // one for each wanted entry
  std::vector<std::size_t> extras; // indices into what is here
};

/// The planner over two whole listings.
Plan plan(const std::vector<Entry>& wanted, const std::vector<Entry>& have, bool checksum);

} // namespace trunkline::sync

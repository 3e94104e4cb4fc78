// The messages of proto/sync.proto as values, and the checks of what the far side claims.
#pragma once

#include "async/clock.hpp"
#include "circuit/typed.hpp"
#include "proto/sync.pb.h"
#include "services/sync/budgets.hpp"
#include "services/sync/entry.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/options.hpp"
#include "services/sync/owners.hpp"
#include "services/sync/report.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::sync {

inline constexpr std::uint32_t protocol_version = 6;
inline constexpr const char* service_name = "sync";

namespace op {
enum : std::int32_t {
  request = 1,
  listing = 2,
  listing_end = 3,
  want = 4,
  withheld = 5,
  notes = 6,
  totals = 7,
  done = 8,
  failed = 9,
  packed_listing = 10, // a listing, compressed
  room = 11,
  compare = 12,
  compared = 13,
  file = 16, // first on a circuit of its own
  data = 17,
  copies = 18, // what of the basis belongs here
  packed_data = 19, // data, compressed
  whole_digest = 20, // of a file that has a basis, last
  basis = 32, // first on a circuit that the Taker opens
  sums = 33,
};
} // namespace op

/// The largest control message that is read; ours are much smaller, whose decoded form must not surprise us.
inline constexpr std::size_t message_bytes_max = 256 * 1024;
/// A side that works and has nothing to say sends a batch of no notes so often.
inline constexpr Duration alive_interval = std::chrono::milliseconds(500);
/// Why something is neither sent nor deleted.
inline constexpr const char* has_temporary_name = "has the name of a temporary file";
/// What compressed data of a fragment may become at most.
inline constexpr std::size_t packed_data_bytes_max = 1 << 20;
/// How many copies a fragment holds at most.
inline constexpr int copies_per_message = 512;
/// How far a listing goes on beyond what is compared.
inline constexpr std::size_t listing_window = 16'384;
/// How many results of comparisons are said together at most.
inline constexpr int compared_per_message = 256;
/// At about how many bytes a batch is sent.
inline constexpr std::size_t batch_bytes = 32 * 1024;

void to_wire(const Entry& entry, wire::Entry& into);
void to_wire(const Options& options, wire::Request& into);
void to_wire(const Note& note, wire::Note& into);
void to_wire(const Report& report, wire::Done& into);
void to_wire(const NotKept& counts, wire::NotKept& into);
Note from_wire(const wire::Note& note);
/// Nothing of it is checked: Filter and Selection do that.
Options from_wire(const wire::Request& from);
Report from_wire(const wire::Done& done);
NotKept from_wire(const wire::NotKept& from);
FileTime mtime_of(const wire::FileHeader& header);

/// Numbers of entries as a message holds them: each as its difference from the one before, which is mostly small.
/// Any difference gives some number.
class IndexDifferences {
 public:
  std::int64_t difference(std::size_t index) noexcept {
    return static_cast<std::int64_t>(index - std::exchange(last_, index));
  }
  std::uint64_t index(std::int64_t difference) noexcept { return last_ += static_cast<std::uint64_t>(difference); }

 private:
  std::uint64_t last_ = 0;
};

/// What an entry takes in memory.
std::size_t bytes_of(const Entry& entry) noexcept;

/// Reads a control message. Errors: Failure::Kind::protocol for one that is too large or cannot be decoded.
template <class Message> Message read_message(const Fragment& fragment);

/// What a `failed` fragment says. Throws Failure::Kind::protocol when it cannot be read.
std::exception_ptr read_failed(const Fragment& fragment);
/// Throws it.
[[noreturn]] void throw_failed(const Fragment& fragment);
/// What to tell the far side about an exception that ended a sync.
Fragment to_failed(std::exception_ptr failure);
/// Throws Failure::Kind::protocol.
[[noreturn]] void throw_protocol(const std::string& text);

/// Takes the listing of a far side, entry by entry, and believes nothing: an entry that cannot be used is refused
/// alone, and so is what is excluded here, with everything below it, for the far side may have left nothing out; a list
/// that cannot be sorted is refused whole. Options, filter and share have to outlive
/// the reader.
class ListingReader {
 public:
  ListingReader(const Options& options, const Filter& filter, std::size_t entries_max, ListingShare& share)
      : options_(options), filter_(filter), entries_max_(entries_max), share_(share), owners_(options) {}

  /// What is wrong with the entry; empty when it was taken into `into`, which has its path in any case.
  /// Charges what the entry takes, and for its place in the list, which one that is refused takes, too.
  /// Errors: Failure::Kind::protocol for a list that is not ascending, or too long; denied when there is no room for
  /// it.
  std::string read(wire::Entry&& from, Entry& into);
  std::uint64_t entries_count() const noexcept { return entries_count_; }

 private:
  std::string wrong_with(const wire::Entry& entry) const;
  std::string wrong_with_attributes(const wire::Entry& entry) const;
  bool is_excluded(const wire::Entry& entry);
  std::string wrong_with_place(const wire::Entry& entry) const;

  const Options& options_;
  const Filter& filter_;
  std::size_t entries_max_;
  ListingShare& share_;
  OwnerMap owners_;
  std::vector<bool> leaders_; // of each entry: others may be the same file as this one
  std::uint64_t entries_count_ = 0;
  std::string last_path_;
  std::vector<std::string> directories_; // taken, from the top down to where the list is
  std::string excluded_; // the last directory that was refused because it is excluded
};

// Implementation of the template.

/// Errors: Failure::Kind::protocol.
void read_message_into(const Fragment& fragment, google::protobuf::MessageLite& message);

template <class Message> Message read_message(const Fragment& fragment) {
  Message message;
  read_message_into(fragment, message);
  return message;
}

} // namespace trunkline::sync

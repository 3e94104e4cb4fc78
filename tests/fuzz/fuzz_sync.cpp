// What the far side of a sync says, as the other side reads it before anything touches a disk: requests, listings, packed
// or not, what is here beside them, wishes, pieces of files. Whatever it is, what is accepted stays below the root and in
// order, and no more memory is taken than was charged.
#include "services/sync/compression.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/mode_changes.hpp"
#include "services/sync/path.hpp"
#include "services/sync/piece_check.hpp"
#include "services/sync/place.hpp"
#include "services/sync/plan.hpp"
#include "services/sync/selection.hpp"
#include "services/sync/xattrs.hpp"
#include "tests/fuzz/input.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace trunkline;
using namespace trunkline::sync;

void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

/// No part of a path may lead out, or be nothing.
bool stays_inside(const std::string& path) {
  if (path.empty()) return true;
  if (path.front() == '/' || path.back() == '/' || path.find('\0') != std::string::npos) return false;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(at, slash - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = slash + 1;
  }
  return true;
}

std::string text(test::FuzzInput& input, std::size_t bytes_max) {
  return input.text(input.below(bytes_max + 1));
}

/// Names that meet each other often, and now and then anything.
std::string name(test::FuzzInput& input) {
  static const char* const names[] = {"a", "b", "a.b", "d", "..", ".", "", "d/e", "/a", "a/", "a\0b", "\xff", ".a.trunkline-abcdefgh"};
  const std::size_t which = input.below(std::size(names) + 2);
  return which < std::size(names) ? names[which] : text(input, 9);
}

wire::Entry entry(test::FuzzInput& input) {
  wire::Entry made;
  made.set_path(name(input));
  made.set_type(static_cast<wire::Entry::Type>(input.below(6)));
  made.set_shared_bytes(static_cast<std::uint32_t>(input.below(input.byte() % 8 == 0 ? 1000 : 3)));
  const std::uint8_t odd = input.byte();
  made.set_size(odd & 1 ? ~std::uint64_t{0} >> input.below(3) : input.below(100));
  if (odd & 2) made.set_mtime_nanoseconds(static_cast<std::uint32_t>(input.below(2'000'000'000)));
  if (odd & 4) made.set_target(text(input, 6));
  if (odd & 8) made.set_same_as(input.below(8));
  if (odd & 16) made.set_has_names(true);
  if (odd & 32) made.set_xattrs(text(input, 40));
  if (odd & 64) made.set_special_mode(static_cast<std::uint32_t>(input.below(0x10000)));
  made.set_mode(static_cast<std::uint32_t>(input.below(010000)));
  return made;
}

Options options_of(test::FuzzInput& input) {
  Options options;
  const std::uint8_t bits = input.byte();
  options.hard_links = bits & 1;
  options.devices = bits & 2;
  options.xattrs = bits & 4;
  options.acls = bits & 8;
  options.all_mode_bits = bits & 16;
  options.checksum = bits & 32;
  if (bits & 64) options.only.emplace();
  if (bits & 128) {
    Rule rule;
    rule.pattern = text(input, 6);
    options.rules.push_back(rule);
  }
  return options;
}

/// What a Taker makes of a listing, beside what is here.
void hear_listing(test::FuzzInput& input) {
  const Options options = options_of(input);
  std::optional<Filter> filter;
  try {
    filter.emplace(options.rules, false);
  } catch (const std::invalid_argument&) {
    return;
  }
  const auto budgets = std::make_shared<Budgets>(input.byte() % 4 == 0 ? 1000 : 1'000'000);
  ListingShare share(budgets);
  ListingReader reader(options, *filter, 64, share);
  Planner planner(options.checksum, options.xattr_scope());
  std::vector<std::string> here = {"", "a", "a/x", "a.b", "b", "d", "d/e"};
  std::size_t next = 0;
  const auto add_one = [&] {
    if (next == here.size()) return planner.add(std::nullopt);
    Entry found;
    found.path = here[next++];
    found.type = static_cast<EntryType>(input.below(4));
    planner.add(found);
  };
  std::string last;
  std::vector<bool> is_leader;
  const auto take = [&](wire::Listing& listing) {
    for (wire::Entry& from : *listing.mutable_entries()) {
      Entry taken;
      const std::string wrong = reader.read(std::move(from), taken);
      is_leader.push_back(wrong.empty() && taken.has_names);
      if (!wrong.empty()) continue;
      expect(stays_inside(taken.path), "a path that leads out was taken");
      expect(is_leader.size() == 1 || compare_paths(last, taken.path) < 0 || last.empty(), "a listing is not in order");
      expect(taken.same_as == 0 || (options.hard_links && is_leader[taken.same_as - 1]), "a link to nothing was taken");
      expect(taken.type != EntryType::other || options.devices, "a device was taken unasked");
      expect(taken.mode <= (options.all_mode_bits ? 07777 : 0777), "mode bits were taken unasked");
      expect(taken.xattrs.empty() || options.xattrs || options.acls, "attributes were taken unasked");
      while (planner.lacks(taken.path)) add_one();
      const Decision decision = planner.next(taken);
      expect(!planner.found() || planner.found()->path == taken.path, "an entry was compared with another one");
      expect(planner.found() || decision.in_the_way == InTheWay::nothing, "nothing is in the way");
      last = taken.path;
    }
  };
  while (input.more()) {
    wire::Listing listing;
    switch (input.byte() % 4) {
      case 0: {
        const std::string bytes = text(input, 200);
        if (!listing.ParseFromString(bytes)) break;
        take(listing);
        break;
      }
      case 1: {
        const std::string bytes = text(input, 200);
        const auto span = std::as_bytes(std::span(bytes));
        const std::optional<Payload> unpacked = decompress(span, message_bytes_max);
        if (!unpacked) break;
        expect(unpacked->size() <= message_bytes_max, "more was unpacked than is allowed");
        break;
      }
      default:
        for (std::size_t count = 1 + input.below(6); count > 0; --count) *listing.add_entries() = entry(input);
        take(listing);
    }
    expect(budgets->listing_bytes.amount_used() <= budgets->listing_bytes.amount_max(), "the budget does not hold");
  }
  while (planner.lacks_end()) add_one();
  std::string before;
  bool is_first = true;
  for (const Extra& extra : planner.take_extras()) {
    expect(is_first || compare_paths(before, extra.path) < 0, "extras are not in order");
    before = extra.path;
    is_first = false;
  }
}

/// What a side that is asked makes of a request.
void hear_request(test::FuzzInput& input) {
  wire::Request request;
  if (!request.ParseFromString(text(input, 2000))) return;
  try {
    const Options options = from_wire(request);
    const Filter filter(options.rules, options.delete_excluded);
    if (options.only) Selection(*options.only).missing();
    ModeChanges modes;
    for (const std::string& change : options.chmod) modes.add(change, 022);
    for (std::uint32_t mode : {0u, 0644u, 04755u}) expect(modes.of(mode, mode % 2 == 0) <= 07777, "a mode of too many bits");
    Place::from_wire(request.place()).lies_in(Place::from_wire(request.place()));
    filter.hides("a/b", false);
  } catch (const std::invalid_argument&) {
  } catch (const Failure&) {
  }
}

/// Pieces of a file: none goes beyond it, or comes from beyond its basis.
void hear_pieces(test::FuzzInput& input) {
  const std::uint64_t file_bytes = input.below(1000);
  const std::uint64_t basis_bytes = input.below(1000);
  PieceCheck check(file_bytes, basis_bytes, input.byte() % 2 == 0);
  const auto number = [&] { return input.byte() % 8 == 0 ? ~std::uint64_t{0} - input.below(1000) : input.below(1000); };
  while (input.more()) {
    const std::uint64_t end = check.end();
    const std::uint64_t to = input.byte() % 2 ? end : number();
    const std::uint64_t size = number();
    if (input.byte() % 2) {
      if (!check.wrong_with_data(to, size).empty()) return;
    } else {
      const std::uint64_t from = number();
      if (!check.wrong_with_copy(to, from, size).empty()) return;
      expect(from + size >= from && from + size <= basis_bytes, "a copy from beyond the basis");
    }
    expect(to >= end && to + size >= to && to + size <= file_bytes && check.end() == to + size, "a piece beyond the file");
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::FuzzInput input(std::span<const std::uint8_t>(data, size));
  try {
    switch (input.byte() % 4) {
      case 0: hear_request(input); break;
      case 1: hear_pieces(input); break;
      default: hear_listing(input);
    }
  } catch (const Failure&) { // the sync ends there
  }
  return 0;
}

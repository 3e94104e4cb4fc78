#include "services/sync/giver.hpp"

#include "async/clock.hpp"
#include "async/task_group.hpp"
#include "async/within.hpp"
#include "services/sync/compression.hpp"
#include "services/sync/file_digest.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/owners.hpp"
#include "services/sync/path.hpp"
#include "services/sync/selection.hpp"
#include "services/sync/sending.hpp"
#include "services/sync/walk.hpp"

#include <boost/asio/this_coro.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::sync {
namespace {

constexpr std::size_t notes_between_yields = 64;
constexpr std::size_t names_between_yields = 64;
constexpr std::size_t comparers_max = 8;
constexpr Duration pause_between_attempts = std::chrono::milliseconds(2);

/// A file that was listed and may be wanted.
struct Listed {
  std::string path;
  std::uint64_t size = 0;
  bool wanted = false;   // content
  bool compared = false; // digest only
  bool may_fail = false; // what the Taker has of it may turn out to be something else
  bool again = false;    // it has
  std::size_t hands = 0; // that have it, or that it waits for
};

constexpr std::size_t bytes_per_sum = sizeof(BlockSum) + 3 * sizeof(std::uint32_t) + 2; // with what a DeltaFinder needs

/// What the tasks of one Giver share. `control` belongs to the caller of `give`, who outlives them.
struct Giving : Sending {
  Giving(Circuit& control_circuit, Source from, Options wishes, Watch watcher, Tuning limits,
         std::shared_ptr<Budgets> shared)
      : Sending(control_circuit, std::move(from), std::move(wishes), std::move(watcher), limits, std::move(shared)),
        filter(options.rules, options.delete_excluded), share(budgets) {
    if (options.only) only.emplace(*options.only);
  }

  const Filter filter;
  std::optional<Selection> only;
  ListingShare share;
  std::map<std::size_t, Listed> files; // that may be wanted, by their number
  std::size_t listed_count = 0;
  std::size_t compared = 0; // entries below are compared, <= listed_count
  std::size_t resolved = 0; // nothing below is wanted any more, <= compared
  Signal has_room; // `compared` has grown
  std::size_t bases = 0; // circuits with one that are being read, <= twice files_outstanding_max
  std::deque<Wanted> wanted; // at most what is listed
  std::deque<Wanted> small_compared; // likewise, of files that are compared first
  wire::Compared same; // to be said, as the two below
  wire::Compared different;
  IndexDifferences same_differences; // in them
  IndexDifferences different_differences;
  std::size_t hands = 0; // tasks that give what is wanted, <= files_sending_max
  std::size_t comparers = 0; // tasks that compare small files, <= comparers_max
  bool listing_said = false;
  bool done = false; // the Taker is
  Signal at_rest; // a hand has ended, or the listing
  Report report;

  void forget(std::map<std::size_t, Listed>::iterator file) {
    share.give_back(sizeof *file + file->second.path.size());
    files.erase(file);
  }

  void note(Note::Kind kind, std::string path, std::string text) const {
    Note note;
    note.kind = kind;
    note.path = std::move(path);
    note.text = std::move(text);
    watch.note(note);
  }
};

std::string vanished(const std::string& path) { return '"' + printable(path) + "\" vanished before it could be read"; }

std::string as_it_was(const std::string& path) {
  return '"' + printable(path) + "\" is being written all the time: it arrived as it was at one moment";
}

using GivingPointer = std::shared_ptr<Giving>;

// The listing.

/// What a path has in common with the one before need not be said again.
void share_beginning(wire::Entry& entry, const std::string& last_path) {
  std::string& path = *entry.mutable_path();
  const auto [end, last_end] = std::mismatch(path.begin(), path.end(), last_path.begin(), last_path.end());
  entry.set_shared_bytes(static_cast<std::uint32_t>(end - path.begin()));
  path.erase(path.begin(), end);
}

/// `compressor` outlives the call.
awaitable<void> say_batch(GivingPointer giving, wire::Listing batch, Compressor* compressor) {
  Fragment fragment = to_fragment(op::listing, batch);
  if (std::optional<Payload> packed = compressor->compress(fragment.payload.bytes())) {
    fragment.op = op::packed_listing;
    fragment.payload = std::move(*packed);
  }
  co_await giving->control.send(std::move(fragment));
}

/// A path that is named and left out leads nowhere, nor does one that is not there. Returns those.
awaitable<std::vector<std::string>> drop_what_leads_nowhere(GivingPointer giving) {
  std::vector<std::string> missing;
  std::size_t count = 0;
  for (const std::string& path : giving->only->named()) {
    std::optional<Status> status;
    try {
      status = giving->source.root->directory(parent_of(path))->status(std::string(name_of(path)));
    } catch (const FileError&) {} // it cannot be reached, which is as good as not there
    if (!status) missing.push_back(path);
    if (!status || giving->filter.hides(path, status->is_directory())) giving->only->drop(path);
    ++giving->watch.progress->worked;
    if (++count % names_between_yields == 0) co_await let_others_run();
  }
  std::sort(missing.begin(), missing.end());
  co_return missing;
}

awaitable<void> give_listing(GivingPointer giving) {
  wire::Listing batch;
  wire::Notes notes;
  std::size_t bytes = 0;
  const auto add_note = [&, raw = giving.get()](Note::Kind kind, const std::string& path, const std::string& text) {
    raw->note(kind, path, text);
    Note note;
    note.kind = kind;
    note.path = path;
    note.text = text;
    to_wire(note, *notes.add_notes());
    bytes += path.size() + text.size() + 16;
  };
  WalkListener listener;
  listener.on_error = [&](const std::string& path, const std::string& text) {
    add_note(Note::Kind::error, path, text);
  };
  listener.on_skipped = [&](const std::string& path, const std::string& text) {
    add_note(Note::Kind::skipped, path, text);
  };
  listener.on_temporary = [&](const std::string& path) { add_note(Note::Kind::skipped, path, has_temporary_name); };
  listener.on_vanished = [&](const std::string& path) { add_note(Note::Kind::vanished, path, vanished(path)); };
  NotKept not_kept;
  listener.not_kept = &not_kept;
  const Source& source = giving->source;
  WalkScope scope;
  const Options& options = giving->options;
  scope.one_file_system = options.one_file_system;
  scope.xattrs = options.xattr_scope();
  scope.specials = options.devices;
  scope.all_mode_bits = options.all_mode_bits;
  scope.hard_links = options.hard_links;
  OwnerNames names(options);
  std::map<std::pair<dev_t, ino_t>, std::size_t> firsts; // of files with several names: the number of the first one
  scope.only = giving->only ? &*giving->only : nullptr;
  Walk walk = source.only.empty() ? Walk(source.root, giving->filter, std::move(listener), scope)
                                  : Walk(source.root, giving->filter, std::move(listener), source.only);

  Compressor compressor;
  std::vector<std::string> missing; // of what was named
  if (giving->only) missing = co_await drop_what_leads_nowhere(giving);
  std::string last_path;
  for (bool more = true; more;) {
    std::optional<Entry> entry = walk.next();
    more = entry || !walk.ended();
    if (!more && giving->only) {
      const std::vector<std::string> gone = giving->only->missing();
      missing.insert(missing.end(), gone.begin(), gone.end());
    }
    if (!more)
      for (const std::string& path : missing)
        add_note(Note::Kind::error, path, '"' + printable(path) + "\" is named, and is not there");
    if (entry) {
      const Status& status = walk.status();
      if (options.hard_links && entry->type != EntryType::directory && status.names_count > 1) {
        const auto [first, is_first] = firsts.try_emplace(std::pair(status.device, status.inode), giving->listed_count);
        entry->has_names = is_first;
        if (!is_first) entry->same_as = first->second + 1;
      }
      if (entry->type != EntryType::symlink)
        entry->mode = giving->chmod.of(entry->mode, entry->type == EntryType::directory);
      wire::Entry& added = *batch.add_entries();
      to_wire(*entry, added);
      share_beginning(added, last_path);
      names.name(added);
      bytes += entry->path.size() + entry->target.size() + entry->xattrs.size() + 32;
      if (entry->type == EntryType::file) {
        Listed listed;
        listed.size = entry->size;
        listed.path = entry->path;
        const auto file = giving->files.emplace_hint(giving->files.end(), giving->listed_count, std::move(listed));
        giving->share.add(sizeof *file + file->second.path.size());
      }
      last_path = std::move(entry->path);
      giving->watch.progress->entries_listed = ++giving->listed_count;
    }
    const bool is_far_ahead = giving->listed_count >= giving->compared + listing_window;
    if (bytes >= batch_bytes || !more || is_far_ahead) {
      if (notes.notes_size() > 0) co_await send_message(giving->control, op::notes, notes);
      if (batch.entries_size() > 0) co_await say_batch(giving, batch, &compressor);
      notes.Clear();
      batch.Clear();
      bytes = 0;
    }
    while (giving->listed_count >= giving->compared + listing_window) co_await giving->has_room.wait();
    ++giving->watch.progress->worked;
    if (!entry) co_await let_others_run();
  }
  // The list of a directory that was deleted meanwhile is empty, which must not empty the destination.
  const bool top_is_there = source.root->directory("")->own_status().names_count > 0;
  if (!top_is_there) {
    add_note(Note::Kind::error, "", "the directory that is to be sent was deleted while it was listed");
    co_await send_message(giving->control, op::notes, notes);
  }
  wire::ListingEnd end;
  end.set_entries(giving->listed_count);
  end.set_complete(walk.complete() && source.only.empty() && !giving->only && top_is_there);
  to_wire(not_kept, *end.mutable_not_kept());
  co_await send_message(giving->control, op::listing_end, end);
  giving->listing_said = true;
  giving->at_rest.notify_all();
}

// The files.

awaitable<void> give_withheld(GivingPointer giving, std::size_t index, wire::Withheld::Why why, std::string text) {
  const std::string& path = giving->files.at(index).path;
  if (why == wire::Withheld::GONE) text = vanished(path);
  if (!text.empty()) giving->note(why == wire::Withheld::GONE ? Note::Kind::vanished : Note::Kind::error, path, text);
  wire::Withheld withheld;
  withheld.set_index(index);
  withheld.set_why(why);
  withheld.set_text(std::move(text));
  co_await send_message(giving->control, op::withheld, withheld);
}

/// What comparing has come to; together, for each is little.
awaitable<void> say_compared(GivingPointer giving) {
  const wire::Compared same = std::exchange(giving->same, wire::Compared());
  wire::Compared different = std::exchange(giving->different, wire::Compared());
  giving->same_differences = {};
  giving->different_differences = {};
  different.set_different(true);
  if (same.indices_size() > 0) co_await send_message(giving->control, op::compared, same);
  if (different.indices_size() > 0) co_await send_message(giving->control, op::compared, different);
}

awaitable<void> give_warning(GivingPointer giving, std::string path, std::string text) {
  giving->note(Note::Kind::warning, path, text);
  Note note;
  note.kind = Note::Kind::warning;
  note.path = std::move(path);
  note.text = std::move(text);
  wire::Notes notes;
  to_wire(note, *notes.add_notes());
  co_await send_message(giving->control, op::notes, notes);
}

awaitable<void> give_file(GivingPointer giving, Wanted wanted) {
  const Listed& listed = giving->files.at(wanted.index); // which stays while it is in hand
  const std::string& path = listed.path;
  const std::size_t attempts_max =
      listed.size <= giving->tuning.fragment_bytes ? giving->tuning.attempts_small_max : giving->tuning.attempts_max;
  for (std::size_t attempt = 1; attempt <= attempts_max; ++attempt) {
    Given given = Given::changed;
    std::string trouble;
    bool is_gone = false;
    try {
      given = co_await send_file(giving, wanted, path, attempt >= giving->tuning.attempts_max);
    } catch (const FileError& failure) {
      trouble = failure.what();
      is_gone = failure.is_gone();
    }
    if (!trouble.empty()) {
      const auto why = is_gone ? wire::Withheld::GONE : wire::Withheld::UNREADABLE;
      co_await give_withheld(giving, wanted.index, why, std::move(trouble));
      co_return;
    }
    switch (given) {
      case Given::sent:
      case Given::unwanted: co_return;
      case Given::as_it_was: co_await give_warning(giving, path, as_it_was(path)); co_return;
      case Given::same: giving->same.add_indices(giving->same_differences.difference(wanted.index)); co_return;
      case Given::different:
        giving->different.add_indices(giving->different_differences.difference(wanted.index));
        co_return;
      case Given::changed: break;
    }
    // Whoever writes it may pause.
    if (attempt < attempts_max) co_await sleep_for(attempt * pause_between_attempts);
  }
  std::string text = "\"" + printable(path) + "\" changed while it was read, " + std::to_string(attempts_max) +
                     " times: what is there of it stays as it is";
  co_await give_withheld(giving, wanted.index, wire::Withheld::CHANGING, std::move(text));
}

/// Nobody works at the file any more. It is forgotten unless the Taker may want it again.
void let_go(Giving& giving, std::size_t index) {
  const auto file = giving.files.find(index);
  if (--file->second.hands > 0) return;
  const bool is_settled = !file->second.may_fail || file->second.again || index < giving.resolved;
  if (is_settled) giving.forget(file);
}

/// One of several that take turns at what is wanted; ends when nothing is, so that a sync that waits costs little.
awaitable<void> give_files(GivingPointer giving) {
  while (!giving->wanted.empty()) {
    Wanted wanted = giving->wanted.front();
    giving->wanted.pop_front();
    const std::size_t index = wanted.index;
    const std::size_t sums = wanted.sums ? wanted.sums->sums.size() : 0;
    co_await give_file(giving, std::move(wanted));
    giving->share.give_back(sums * bytes_per_sum);
    let_go(*giving, index);
    const int compared = giving->same.indices_size() + giving->different.indices_size();
    if (compared >= compared_per_message || giving->wanted.empty()) co_await say_compared(giving);
    co_await let_others_run();
  }
  --giving->hands;
  giving->at_rest.notify_all();
}

/// Small files that are compared, as many as make one work. None when the next one cannot be reached: it is tried
/// alone.
std::vector<Wanted> take_small_ones(Giving& giving, SmallFilesDigesting& digesting) {
  std::vector<Wanted> taken;
  while (!giving.small_compared.empty()) {
    const Wanted& next = giving.small_compared.front();
    const Listed& listed = giving.files.at(next.index);
    try {
      std::shared_ptr<Directory> directory = giving.source.root->directory(parent_of(listed.path));
      const bool is_another_seed = !taken.empty() && taken.front().seed != next.seed;
      if (is_another_seed || !digesting.has_room_for(*directory, listed.size)) break;
      digesting.add(std::move(directory), std::string(name_of(listed.path)), listed.size);
    } catch (const FileError&) {
      break;
    }
    taken.push_back(next);
    giving.small_compared.pop_front();
  }
  return taken;
}

/// What is different and wanted, or not as it was listed, takes its turn among the others.
void settle_compared(Giving& giving, Wanted wanted, const DigestedFile& file) {
  const std::size_t index = wanted.index;
  const bool is_made = !file.failure && file.made.unchanged;
  const bool is_same = is_made && file.made.digest == wanted.digest;
  if (is_same) {
    giving.same.add_indices(giving.same_differences.difference(index));
  } else if (is_made && wanted.compare_only) {
    giving.different.add_indices(giving.different_differences.difference(index));
  } else {
    wanted.has_digest = !is_made;
    giving.wanted.push_back(std::move(wanted));
    return;
  }
  let_go(giving, index);
}

void give_wanted(GivingPointer giving, TaskGroup group);

/// One of a few that take turns at small files that are compared; ends when there are none.
awaitable<void> compare_small_ones(GivingPointer giving, TaskGroup group) {
  while (!giving->small_compared.empty()) {
    const auto digesting = std::make_shared<SmallFilesDigesting>(giving->small_compared.front().seed);
    std::vector<Wanted> taken = take_small_ones(*giving, *digesting);
    if (taken.empty()) {
      giving->wanted.push_back(std::move(giving->small_compared.front()));
      giving->small_compared.pop_front();
    } else {
      co_await make_digests(giving->budgets, digesting, giving->watch.progress);
    }
    for (std::size_t i = 0; i < taken.size(); ++i) settle_compared(*giving, std::move(taken[i]), digesting->files()[i]);
    give_wanted(giving, group);
    const int compared = giving->same.indices_size() + giving->different.indices_size();
    if (compared >= compared_per_message || giving->small_compared.empty()) co_await say_compared(giving);
    co_await let_others_run();
  }
  --giving->comparers;
  giving->at_rest.notify_all();
}

void give_wanted(GivingPointer giving, TaskGroup group) {
  const std::size_t works =
      (giving->small_compared.size() + SmallFilesDigesting::files_max - 1) / SmallFilesDigesting::files_max;
  for (std::size_t idle = works; idle > 0 && giving->comparers < comparers_max; --idle) {
    ++giving->comparers;
    group.spawn(compare_small_ones(giving, group));
  }
  const std::size_t hands_max = std::max<std::size_t>(1, giving->tuning.files_sending_max);
  for (std::size_t idle = giving->wanted.size(); idle > 0 && giving->hands < hands_max; --idle) {
    ++giving->hands;
    group.spawn(give_files(giving));
  }
}

// What the Taker says.

void add_wanted(Giving& giving, Wanted wanted);

/// A file that may be wanted.
Listed& listed_file(Giving& giving, std::uint64_t index) {
  if (index >= giving.listed_count)
    throw_protocol("entry " + std::to_string(index) + " is wanted of a listing of " +
                   std::to_string(giving.listed_count));
  const auto found = giving.files.find(index);
  if (found == giving.files.end())
    throw_protocol("entry " + std::to_string(index) + " is wanted and is no file, or was not wanted before");
  return found->second;
}

void hear_want(Giving& giving, const wire::Want& want) {
  for (const wire::Want::File& file : want.files()) {
    Listed& listed = listed_file(giving, file.index());
    Wanted wanted;
    wanted.index = file.index();
    if (file.again()) {
      if (!listed.may_fail || listed.again)
        throw_protocol("entry " + std::to_string(file.index()) + " is wanted again");
      listed.again = true;
      ++listed.hands;
      giving.wanted.push_back(wanted);
      continue;
    }
    if (listed.wanted) throw_protocol("entry " + std::to_string(file.index()) + " is wanted twice");
    listed.wanted = true;
    add_wanted(giving, std::move(wanted));
  }
}

void hear_compare(Giving& giving, const wire::Compare& compare) {
  const std::size_t count = static_cast<std::size_t>(compare.indices_size());
  if (compare.digests().size() != count * Digest::bytes_count)
    throw_protocol("digests of " + std::to_string(count) + " files in " + std::to_string(compare.digests().size()) +
                   " bytes");
  IndexDifferences differences;
  std::string_view digests = compare.digests();
  for (const std::int64_t difference : compare.indices()) {
    Wanted wanted;
    wanted.index = differences.index(difference);
    Listed& listed = listed_file(giving, wanted.index);
    if (listed.wanted || (listed.compared && compare.compare_only()))
      throw_protocol("entry " + std::to_string(wanted.index) + " is wanted twice");
    wanted.has_digest = Digest::from_bytes(digests.substr(0, Digest::bytes_count), wanted.digest);
    digests.remove_prefix(Digest::bytes_count);
    wanted.compare_only = compare.compare_only();
    wanted.seed = compare.seed();
    (wanted.compare_only ? listed.compared : listed.wanted) = true;
    listed.may_fail = !wanted.compare_only;
    add_wanted(giving, std::move(wanted));
  }
}

void add_wanted(Giving& giving, Wanted wanted) {
  Listed& listed = giving.files.at(wanted.index);
  const std::uint64_t size = listed.size;
  ++listed.hands;
  const bool is_small = wanted.has_digest && size <= SmallFilesDigesting::file_bytes_max;
  (is_small ? giving.small_compared : giving.wanted).push_back(std::move(wanted));
  Progress& progress = *giving.watch.progress;
  if (progress.totals_known) return;
  ++progress.files_total;
  progress.bytes_total += size;
}

SumSizes sizes_of(const wire::Basis& header) {
  SumSizes sizes;
  sizes.block_bytes = header.block_bytes();
  sizes.strong_bytes = header.strong_bytes();
  return sizes;
}

/// Reads the sums of a basis to their end; null: there is no room for them, and the file comes whole.
awaitable<std::shared_ptr<const BlockSums>> hear_sums(GivingPointer giving, Circuit& circuit, wire::Basis header) {
  auto sums = std::make_shared<BlockSums>();
  sums->sizes = sizes_of(header);
  sums->seed = header.seed();
  std::size_t charged = 0;
  bool has_room = true;
  for (;;) {
    const std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) break;
    ++giving->watch.progress->heard;
    if (fragment->op != op::sums) throw_protocol("a basis does not say " + std::to_string(fragment->op));
    if (!has_room) continue;
    const std::size_t bytes = fragment->payload.size() / sums->sum_bytes() * bytes_per_sum;
    try {
      giving->share.add(bytes);
      charged += bytes;
    } catch (const Failure&) {
      has_room = false;
      sums->sums = {};
      giving->share.give_back(charged);
      continue;
    }
    if (!sums->append(fragment->payload.bytes(), BlockSums::blocks_max))
      throw_protocol("sums of a basis in " + std::to_string(fragment->payload.size()) + " bytes after " +
                     std::to_string(sums->sums.size()));
  }
  if (sums->sums.empty()) sums = nullptr;
  co_return sums;
}

/// A circuit that the Taker has opened: it wants a file, and says what it has of it.
awaitable<void> hear_basis(GivingPointer giving, Circuit circuit, TaskGroup group) {
  struct Count {
    explicit Count(Giving& of) : giving(of) { ++giving.bases; }
    Count(const Count&) = delete;
    ~Count() { --giving.bases; }
    Giving& giving;
  };
  const Count count(*giving);
  if (giving->bases > 2 * giving->tuning.files_outstanding_max)
    throw_protocol(std::to_string(giving->bases) + " bases at once");
  try {
    const std::optional<Fragment> first = co_await circuit.receive();
    if (!first || first->op != op::basis) throw_protocol("a circuit that does not begin with a basis");
    const auto header = read_message<wire::Basis>(*first);
    const std::size_t index = header.index();
    if (!giving->files.contains(index))
      throw_protocol("entry " + std::to_string(index) + " has a basis and is no file that is listed");
    if (!sizes_of(header).valid())
      throw_protocol("a basis in blocks of " + std::to_string(header.block_bytes()) + " bytes with sums of " +
                     std::to_string(header.strong_bytes()));
    Wanted wanted;
    wanted.index = index;
    wanted.seed = header.seed();
    wanted.prefix_bytes = header.prefix_bytes();
    wanted.sums = co_await hear_sums(giving, circuit, header);
    if (wanted.prefix_bytes > 0) wanted.sums = nullptr;
    const auto file = giving->files.find(index);
    if (file == giving->files.end() || file->second.wanted)
      throw_protocol("entry " + std::to_string(index) + " is wanted twice");
    file->second.wanted = true;
    file->second.may_fail = wanted.has_basis();
    add_wanted(*giving, std::move(wanted));
    give_wanted(giving, group);
    circuit.close();
  } catch (const boost::system::system_error&) {
    // The Taker has thought better of it; whatever else ends the circuit ends the control circuit, too.
    if (giving->control.is_open() && circuit.end() && !circuit.end()->clean()) co_return;
    throw;
  }
}

awaitable<void> hear_bases(GivingPointer giving, CircuitInbox& circuits, TaskGroup group) {
  for (;;) {
    std::optional<Circuit> circuit = co_await circuits.next();
    if (!circuit) co_return; // this side ends, and so does the control circuit
    group.spawn(hear_basis(giving, std::move(*circuit), group));
  }
}

void hear_room(Giving& giving, const wire::Room& room) {
  if (room.compared() < giving.compared || room.compared() > giving.listed_count || room.resolved() > room.compared())
    throw_protocol(std::to_string(room.compared()) + " entries of " + std::to_string(giving.listed_count) +
                   " are compared, and " + std::to_string(giving.compared) + " were before");
  auto file = giving.files.lower_bound(giving.compared);
  std::size_t kept = 0;
  const auto forget_until = [&](std::size_t end) {
    while (file != giving.files.end() && file->first < end) {
      const auto passed = file++;
      if (!passed->second.wanted && !passed->second.compared) giving.forget(passed);
    }
  };
  for (const std::uint64_t difference : room.kept()) {
    kept += difference;
    forget_until(kept);
    if (file != giving.files.end() && file->first == kept) ++file;
  }
  forget_until(room.compared());
  giving.compared = room.compared();
  giving.resolved = std::max<std::size_t>(giving.resolved, room.resolved());
  for (file = giving.files.begin(); file != giving.files.end() && file->first < giving.resolved;) {
    const auto passed = file++;
    if (passed->second.hands == 0) giving.forget(passed);
  }
  giving.has_room.notify_all();
}

void hear_totals(Giving& giving, const wire::Totals& totals) {
  Progress& progress = *giving.watch.progress;
  progress.files_total = std::max<std::uint64_t>(progress.files_total, totals.files());
  progress.bytes_total = std::max<std::uint64_t>(progress.bytes_total, totals.bytes());
  progress.totals_known = true;
}

awaitable<void> give_hearing(GivingPointer giving, TaskGroup group) {
  for (;;) {
    const std::optional<Fragment> fragment = co_await giving->control.receive();
    if (!fragment) throw_protocol("the far side stopped in the middle of the sync");
    ++giving->watch.progress->heard;
    switch (fragment->op) {
      case op::want:
        hear_want(*giving, read_message<wire::Want>(*fragment));
        give_wanted(giving, group);
        break;
      case op::compare:
        hear_compare(*giving, read_message<wire::Compare>(*fragment));
        give_wanted(giving, group);
        break;
      case op::room: hear_room(*giving, read_message<wire::Room>(*fragment)); break;
      case op::totals: hear_totals(*giving, read_message<wire::Totals>(*fragment)); break;
      case op::notes: {
        const auto notes = read_message<wire::Notes>(*fragment);
        std::size_t count = 0;
        for (const wire::Note& note : notes.notes()) {
          if (note.kind() == wire::Note::SENT) ++giving->watch.progress->files_done;
          giving->watch.note(from_wire(note));
          if (++count % notes_between_yields == 0) co_await let_others_run();
        }
        break;
      }
      case op::done:
        giving->report = from_wire(read_message<wire::Done>(*fragment));
        giving->done = true;
        giving->control.finish();
        co_await as_result(giving->control.receive()); // its finish, which tells the Taker that we know
        while (giving->hands > 0 || giving->comparers > 0 || !giving->listing_said) co_await giving->at_rest.wait();
        group.cancel();
        co_return;
      case op::failed: throw_failed(*fragment);
      default: throw_protocol("a Taker does not say " + std::to_string(fragment->op));
    }
  }
}

/// A far side that waits for us has to be able to tell work from death.
awaitable<void> give_say_alive(GivingPointer giving) {
  for (;;) {
    const std::uint64_t worked = giving->watch.progress->worked;
    co_await sleep_for(alive_interval);
    if (giving->watch.progress->worked != worked && !giving->done && giving->control.is_open())
      co_await send_message(giving->control, op::notes, wire::Notes());
  }
}

} // namespace

awaitable<Report> give(Circuit& control, CircuitInbox& circuits, Source source, Options options, Watch watch,
                       Tuning tuning, std::shared_ptr<Budgets> budgets) {
  const auto giving = std::make_shared<Giving>(control, std::move(source), std::move(options), std::move(watch), tuning,
                                               std::move(budgets));
  TaskGroup group(co_await asio::this_coro::executor);
  group.spawn(give_hearing(giving, group));
  group.spawn(give_listing(giving));
  group.spawn(give_say_alive(giving));
  group.spawn(hear_bases(giving, circuits, group));
  co_await group.join();
  Report report = giving->report;
  report.circuits = giving->circuits;
  co_return report;
}

} // namespace trunkline::sync

#include "services/sync/taker.hpp"

#include "async/within.hpp"
#include "async/task_group.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/path.hpp"
#include "services/sync/plan.hpp"
#include "services/sync/tree.hpp"
#include "services/sync/walk.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace trunkline::sync {
namespace {

constexpr std::size_t entries_between_yields = 64;
constexpr std::size_t bytes_between_yields = 1 << 20;
constexpr std::size_t notes_per_message = 256;
constexpr std::size_t notes_pending_max = 4096;
constexpr std::size_t notes_pending_bytes_max = 256 * 1024; // and what one message or one turn adds
constexpr std::size_t text_bytes_max = 8192; // of a note, so that a batch of them stays a small message

/// Where a file of the listing stands: wanted -> arriving -> resolved, and from arriving back to wanted when the Giver
/// has to read it again.
enum class FileState : std::uint8_t { not_wanted, wanted, compared, arriving, resolved };

struct Queued {
  std::size_t index = 0;
  std::optional<Digest> ours;
};

void throw_if_hopeless(const FileError& failure) {
  const int number = failure.error_number();
  if (number != ENOSPC && number != EROFS && number != EDQUOT) return;
  throw Failure(Failure::Kind::file, std::string(failure.what()) + "; nothing more is sent");
}

/// What the tasks of one Taker share. `control` belongs to the caller of `take`, who outlives them.
struct Taking {
  Taking(Circuit& control_circuit, std::shared_ptr<Root> root, Options wishes, Watch watcher, Tuning limits,
         std::function<std::uint64_t()> random, std::shared_ptr<SharedBudget> shared)
      : control(control_circuit), options(std::move(wishes)), filter(options.exclude), watch(std::move(watcher)),
        tuning(limits), commons(std::move(shared)), holding(commons), reader(filter, limits.entries_max, holding) {
    if (root) tree.emplace(std::move(root), std::move(random));
  }

  Circuit& control;
  const Options options;
  const Filter filter;
  const Watch watch;
  const Tuning tuning;
  const std::shared_ptr<SharedBudget> commons;
  BudgetShare holding;
  std::optional<Tree> tree; // none: a dry run into nothing

  std::vector<Entry> have; // what is here, before anything changes
  std::unordered_set<std::string> kept; // directories with something in them that is left alone
  bool have_complete = true;

  ListingReader reader;
  std::optional<Planner> planner;
  std::deque<Entry> entries; // of the Giver; a refused one without its path, a symlink that is made without its target
  std::vector<FileState> states; // one for each entry
  std::vector<std::size_t> directories;
  std::vector<std::size_t> blocked; // a directory with something in it has their name
  std::unordered_set<std::size_t> replaces_directory;
  std::size_t steps = 0; // of the filter, since others had their turn
  bool listing_ended = false;
  bool listing_complete = false;

  std::deque<Queued> queued;
  std::size_t outstanding = 0; // wanted and not resolved, <= files_outstanding_max
  std::unordered_set<std::size_t> attributes_differ; // beside the content, of files that are compared
  Signal resolved_one; // or the listing ended, or a file is wanted again
  std::size_t arrivals = 0; // circuits of files that are open here

  wire::Want want_pending;
  wire::Notes notes_pending;
  std::size_t notes_pending_bytes = 0;
  bool totals_pending = false;
  bool alive_pending = false; // nothing else was said for a while, and there was work
  bool saying = false; // some of it is being sent
  bool finishing = false;
  Signal outgoing; // one of the above has something to say
  Signal outgone;

  Report report;

  void note(Note note) {
    wire::Note& pending = *notes_pending.add_notes();
    if (note.text.size() > text_bytes_max) note.text.resize(text_bytes_max);
    to_wire(note, pending);
    notes_pending_bytes += note.path.size() + note.text.size();
    watch.note(note);
    outgoing.notify_all();
  }
  void note(Note::Kind kind, std::string path, std::string text = {}, std::uint64_t bytes = 0) {
    Note made;
    made.kind = kind;
    made.path = std::move(path);
    made.text = std::move(text);
    made.bytes = bytes;
    note(std::move(made));
  }
  void note_error(std::string path, std::string text) {
    ++report.errors;
    note(Note::Kind::error, std::move(path), std::move(text));
  }
  /// For what the Giver already knows.
  void note_here(Note::Kind kind, std::string path, std::string text) const {
    Note made;
    made.kind = kind;
    made.path = std::move(path);
    made.text = std::move(text);
    watch.note(made);
  }

  void keep_what_holds(std::string_view path) {
    if (!options.delete_extra) return;
    for (std::string_view directory = parent_of(path); !directory.empty(); directory = parent_of(directory)) {
      if (!kept.emplace(directory).second) return;
      holding.add(sizeof(std::string) + directory.size());
    }
  }

  /// Runs what may meet a file system that says no; false when it did. A disk that is full, or that nothing may be
  /// written to, ends the sync: every other file would say the same.
  template <class Action> bool attempt(const std::string& path, Action&& action) {
    try {
      action();
      return true;
    } catch (const FileError& failure) {
      throw_if_hopeless(failure);
      note_error(path, failure.what());
      return false;
    }
  }
};

using TakingPointer = std::shared_ptr<Taking>;

/// A Giver that does not listen to what was done has to wait with its own words.
awaitable<void> take_breath(TakingPointer taking) {
  ++taking->watch.progress->worked;
  co_await let_others_run();
  while (taking->notes_pending.notes_size() > static_cast<int>(notes_pending_max) ||
         taking->notes_pending_bytes > notes_pending_bytes_max)
    co_await taking->outgone.wait();
}

std::uint64_t add(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t sum = a + b;
  return sum < a ? std::numeric_limits<std::uint64_t>::max() : sum;
}

// What is here.

void take_temporary(Taking& taking, const std::string& path) {
  auto reaped = Reaped::in_use;
  try {
    reaped = taking.tree->reap(path);
  } catch (const FileError&) {} // it was only in the way of tidiness
  if (reaped == Reaped::removed) {
    ++taking.report.deleted;
    taking.note(Note::Kind::deleted, path, "a sync that died left it");
  } else if (reaped == Reaped::not_ours) {
    ++taking.report.skipped;
    taking.note(Note::Kind::skipped, path, has_temporary_name);
  }
}

awaitable<void> take_look_around(TakingPointer taking) {
  if (!taking->tree) co_return;
  std::vector<std::string> temporaries;
  const bool dry_run = taking->options.dry_run;
  WalkListener listener;
  listener.on_error = [raw = taking.get()](const std::string& path, const std::string& text) {
    raw->note_error(path, text);
  };
  listener.on_temporary = [raw = taking.get(), &temporaries](const std::string& path) {
    raw->holding.add(sizeof path + path.size());
    temporaries.push_back(path);
    raw->keep_what_holds(path);
  };
  listener.on_excluded = [raw = taking.get()](const std::string& path) { raw->keep_what_holds(path); };
  if (!dry_run) listener.on_shut = [raw = taking.get()](const std::string& path) { return raw->tree->open_shut(path); };
  // The walk shares the root: its open directories are of use later.
  Walk walk(std::shared_ptr<Root>(taking, &taking->tree->root()), taking->filter, std::move(listener));
  while (!walk.ended()) {
    std::optional<Entry> entry = walk.next();
    ++taking->watch.progress->worked;
    if (entry) {
      taking->holding.add(bytes_of(*entry));
      taking->have.push_back(std::move(*entry));
    } else {
      co_await let_others_run();
    }
  }
  taking->have_complete = walk.complete();
  if (dry_run) co_return;
  std::size_t count = 0;
  for (const std::string& path : temporaries) {
    take_temporary(*taking, path);
    if (++count % entries_between_yields == 0) co_await take_breath(taking);
  }
}

// What is wanted.

void take_pump(Taking& taking) {
  while (!taking.queued.empty() && taking.outstanding < taking.tuning.files_outstanding_max) {
    const Queued queued = std::move(taking.queued.front());
    taking.queued.pop_front();
    ++taking.outstanding;
    const bool compare_only = taking.options.dry_run;
    taking.states[queued.index] = compare_only ? FileState::compared : FileState::wanted;
    taking.want_pending.set_compare_only(compare_only);
    wire::Want::File& file = *taking.want_pending.add_files();
    file.set_index(queued.index);
    if (queued.ours) file.set_digest(queued.ours->bytes().data(), queued.ours->bytes().size());
    taking.outgoing.notify_all();
  }
}

void take_count_on(Taking& taking, std::size_t index) {
  Progress& progress = *taking.watch.progress;
  ++progress.files_total;
  progress.bytes_total = add(progress.bytes_total, taking.entries[index].size);
}

void take_want(Taking& taking, std::size_t index, std::optional<Digest> ours) {
  Queued queued;
  queued.index = index;
  queued.ours = std::move(ours);
  taking.queued.push_back(std::move(queued));
  take_count_on(taking, index);
  take_pump(taking);
}

void take_resolved(Taking& taking, std::size_t index) {
  taking.states[index] = FileState::resolved;
  --taking.outstanding;
  take_pump(taking);
  taking.resolved_one.notify_all();
}

void take_sent(Taking& taking, std::size_t index, std::uint64_t bytes) {
  ++taking.report.files;
  taking.report.bytes = add(taking.report.bytes, bytes);
  ++taking.watch.progress->files_done;
  taking.note(Note::Kind::sent, taking.entries[index].path, {}, bytes);
}

void take_attributes(Taking& taking, const Entry& entry) {
  if (!taking.options.dry_run && !taking.attempt(entry.path, [&] { taking.tree->set_attributes(entry); })) return;
  ++taking.report.attributes;
  taking.note(Note::Kind::attributes, entry.path);
}

void take_symlink(Taking& taking, Entry& entry) {
  if (!taking.options.dry_run && !taking.attempt(entry.path, [&] { taking.tree->make_symlink(entry); })) return;
  ++taking.report.symlinks;
  taking.holding.give_back(entry.target.size());
  taking.note(Note::Kind::symlink, entry.path, std::exchange(entry.target, {}));
}

void take_directory(Taking& taking, std::size_t index, Decision decision) {
  const Entry& entry = taking.entries[index];
  const bool dry_run = taking.options.dry_run;
  switch (decision.step) {
    case Step::make_directory: {
      const bool in_the_way = decision.in_the_way != InTheWay::nothing;
      if (!dry_run && !taking.attempt(entry.path, [&] { taking.tree->make_directory(entry, in_the_way); })) return;
      ++taking.report.directories;
      taking.note(Note::Kind::directory, entry.path);
      break;
    }
    case Step::set_attributes:
      if (!dry_run && !taking.attempt(entry.path, [&] { taking.tree->open_directory(entry); })) return;
      ++taking.report.attributes;
      taking.note(Note::Kind::attributes, entry.path);
      break;
    default:
      ++taking.report.unchanged;
      // Its mode is the one that it will have: only one that shuts out its owner is in the way now.
      if (!dry_run && (entry.mode & 0700) != 0700 &&
          !taking.attempt(entry.path, [&] { taking.tree->open_directory(entry); }))
        return;
  }
  taking.directories.push_back(index);
}

/// An empty directory makes room at once for a symlink; for a file when the file is whole.
void take_symlink_for_directory(Taking& taking, Entry& entry) {
  if (!taking.options.dry_run && !taking.attempt(entry.path, [&] {
        if (taking.tree->remove(entry.path, EntryType::directory) == Tree::Removal::not_empty)
          throw FileError("replace the directory", entry.path, ENOTEMPTY);
      }))
    return;
  take_symlink(taking, entry);
}

awaitable<std::optional<Digest>> take_digest_of_ours(TakingPointer taking, std::string path) {
  // A file of ours that cannot be read is simply wanted.
  try {
    const FileDigest found = co_await digest_file(taking->commons, taking->tree->root().directory(parent_of(path)),
                                                  std::string(name_of(path)), taking->watch.progress);
    if (found.unchanged) co_return found.digest;
  } catch (const FileError&) {}
  co_return std::nullopt;
}

awaitable<void> take_entry(TakingPointer taking, std::size_t index) {
  const Decision decision = taking->planner->next(taking->entries[index]);
  Entry& entry = taking->entries[index];
  if (decision.in_the_way == InTheWay::full_directory) {
    taking->blocked.push_back(index);
    co_return;
  }
  if (entry.type == EntryType::directory) {
    take_directory(*taking, index, decision);
    co_return;
  }
  switch (decision.step) {
    case Step::none: ++taking->report.unchanged; break;
    case Step::set_attributes: take_attributes(*taking, entry); break;
    case Step::make_symlink:
      if (decision.in_the_way == InTheWay::empty_directory) {
        take_symlink_for_directory(*taking, entry);
      } else {
        take_symlink(*taking, entry);
      }
      break;
    case Step::send_file:
      if (decision.in_the_way == InTheWay::empty_directory) taking->replaces_directory.insert(index);
      if (taking->options.dry_run) {
        take_count_on(*taking, index);
        take_sent(*taking, index, entry.size);
      } else {
        take_want(*taking, index, std::nullopt);
      }
      break;
    case Step::compare_file: {
      if (decision.attributes_differ) taking->attributes_differ.insert(index);
      std::optional<Digest> ours = co_await take_digest_of_ours(taking, entry.path);
      if (!ours && taking->options.dry_run) {
        take_count_on(*taking, index);
        take_sent(*taking, index, entry.size);
      } else {
        take_want(*taking, index, std::move(ours));
      }
      break;
    }
    case Step::make_directory: break; // directories are above
  }
}

// What the Giver says.

awaitable<void> take_listing(TakingPointer taking, wire::Listing listing) {
  if (taking->listing_ended) throw_protocol("a listing after its end");
  for (wire::Entry& from : *listing.mutable_entries()) {
    Entry entry;
    taking->steps += taking->filter.steps(from.path());
    const std::string wrong = taking->reader.read(std::move(from), entry);
    taking->watch.progress->entries_listed = taking->reader.entries_count();
    if (!wrong.empty()) {
      std::string text = "entry \"" + printable(entry.path) + "\" is refused: it " + wrong;
      taking->note_error(std::exchange(entry.path, {}), std::move(text));
    }
    taking->entries.push_back(std::move(entry));
    taking->states.push_back(FileState::not_wanted);
    if (wrong.empty()) co_await take_entry(taking, taking->entries.size() - 1);
    if (taking->entries.size() % entries_between_yields != 0 && taking->steps < Filter::steps_between_yields) continue;
    taking->steps = 0;
    co_await take_breath(taking);
  }
}

void take_listing_end(Taking& taking, const wire::ListingEnd& end) {
  if (taking.listing_ended) throw_protocol("two ends of a listing");
  if (end.entries() != taking.entries.size())
    throw_protocol("listing of " + std::to_string(taking.entries.size()) + " entries claims " +
                   std::to_string(end.entries()));
  taking.listing_ended = true;
  taking.listing_complete = end.complete();
  taking.watch.progress->totals_known = true;
  taking.totals_pending = true;
  taking.outgoing.notify_all();
  taking.resolved_one.notify_all();
}

/// Circuits have no order among each other: the end of a file's last circuit may be read after what follows it.
awaitable<void> take_last_arrival(TakingPointer taking, std::size_t index) {
  while (index < taking->states.size() && taking->states[index] == FileState::arriving)
    co_await taking->resolved_one.wait();
}

void take_withheld(Taking& taking, const wire::Withheld& withheld) {
  const std::size_t index = withheld.index();
  if (index >= taking.states.size() ||
      (taking.states[index] != FileState::wanted && taking.states[index] != FileState::compared))
    throw_protocol("entry " + std::to_string(withheld.index()) + " is withheld and was not wanted");
  const Entry& entry = taking.entries[index];
  switch (withheld.why()) {
    case wire::Withheld::SAME:
      if (taking.attributes_differ.contains(index)) {
        take_attributes(taking, entry);
      } else {
        ++taking.report.unchanged;
      }
      ++taking.watch.progress->files_done;
      taking.watch.progress->bytes_done += entry.size;
      break;
    case wire::Withheld::DIFFERENT:
      if (taking.states[index] != FileState::compared) throw_protocol("a comparison that nobody asked for");
      take_sent(taking, index, entry.size);
      break;
    default: // UNREADABLE
      ++taking.report.errors;
      taking.note_here(Note::Kind::error, entry.path, printable_sentence(withheld.text()));
  }
  take_resolved(taking, index);
}

awaitable<void> take_notes(TakingPointer taking, wire::Notes notes) {
  std::size_t count = 0;
  for (const wire::Note& from : notes.notes()) {
    Note note = from_wire(from);
    note.text = printable_sentence(note.text);
    if (note.kind == Note::Kind::error) ++taking->report.errors;
    if (note.kind == Note::Kind::skipped) ++taking->report.skipped;
    taking->watch.note(note);
    if (++count % entries_between_yields == 0) co_await let_others_run();
  }
}

awaitable<void> take_hearing(TakingPointer taking) {
  co_await take_look_around(taking);
  taking->planner.emplace(taking->have, taking->options.checksum);
  for (;;) {
    const result<std::optional<Fragment>> heard = co_await as_result(taking->control.receive());
    ++taking->watch.progress->heard;
    if (taking->finishing) co_return; // everything is done here, however the Giver goes
    if (!heard) throw boost::system::system_error(heard.error());
    const std::optional<Fragment>& fragment = *heard;
    if (!fragment) throw_protocol("the far side stopped in the middle of the sync");
    switch (fragment->op) {
      case op::listing: co_await take_listing(taking, read_message<wire::Listing>(*fragment)); break;
      case op::listing_end: take_listing_end(*taking, read_message<wire::ListingEnd>(*fragment)); break;
      case op::withheld: {
        const auto withheld = read_message<wire::Withheld>(*fragment);
        co_await take_last_arrival(taking, withheld.index());
        take_withheld(*taking, withheld);
        break;
      }
      case op::notes: co_await take_notes(taking, read_message<wire::Notes>(*fragment)); break;
      case op::failed: throw_failed(*fragment);
      default: throw_protocol("a Giver does not say " + std::to_string(fragment->op));
    }
  }
}

// The files.

/// The Giver gives a file up that it cannot read to the end, and will come again, or say why not; or it gives up
/// everything, and says why on the control circuit, which may not be read so far yet.
bool is_taken_back(const boost::system::error_code& code) {
  return code == error::circuit_reset || code == error::circuit_abandoned;
}

/// Reads the circuit of one file to its end. False: the Giver takes it back.
awaitable<bool> take_content(TakingPointer taking, Circuit& circuit, std::size_t index, wire::FileHeader header) {
  const Entry& listed = taking->entries[index];
  const FileTime mtime = mtime_of(header);
  std::unique_ptr<IncomingFile> file = taking->tree->receive_file(listed.path);
  std::uint64_t end = 0;
  std::size_t since_yield = 0;
  Progress& progress = *taking->watch.progress;
  const auto take_back = [&] { progress.bytes_done -= std::min(progress.bytes_done, end); };
  try {
    for (;;) {
      std::optional<Fragment> fragment = co_await circuit.receive();
      if (!fragment) break;
      ++progress.heard;
      const auto offset = static_cast<std::uint64_t>(fragment->part);
      const std::uint64_t size = fragment->payload.size();
      if (fragment->op != op::data || offset < end || offset > header.size() || size > header.size() - offset)
        throw_protocol("file \"" + printable(listed.path) + "\" of " + std::to_string(header.size()) + " bytes gets " +
                       std::to_string(size) + " bytes at " + std::to_string(offset) + " after " + std::to_string(end));
      file->write(offset, fragment->payload.bytes());
      progress.bytes_done += offset + size - end;
      end = offset + size;
      since_yield += fragment->payload.size();
      if (since_yield < bytes_between_yields) continue;
      since_yield = 0;
      co_await let_others_run();
    }
    if (taking->replaces_directory.contains(index)) taking->tree->remove(listed.path, EntryType::directory);
    file->commit(header.size(), header.mode() & mode_bits, mtime);
  } catch (const boost::system::system_error& ended) {
    take_back();
    if (!is_taken_back(ended.code())) throw;
    co_return false;
  } catch (...) {
    take_back();
    throw;
  }
  progress.bytes_done += header.size() - end;
  co_return true;
}

awaitable<void> take_file(TakingPointer taking, Circuit circuit) {
  struct Arrival {
    explicit Arrival(TakingPointer of) : taking(std::move(of)) { ++taking->arrivals; }
    Arrival(const Arrival&) = delete;
    ~Arrival() { --taking->arrivals; }
    TakingPointer taking;
  };
  const Arrival arrival(taking);
  if (taking->arrivals > 2 * taking->tuning.files_outstanding_max)
    throw_protocol(std::to_string(taking->arrivals) + " files at once, and " +
                   std::to_string(taking->tuning.files_outstanding_max) + " were wanted");

  const result<std::optional<Fragment>> first = co_await as_result(circuit.receive());
  if (!first && is_taken_back(first.error())) co_return;
  if (!first) throw boost::system::system_error(first.error());
  if (!*first || (*first)->op != op::file) throw_protocol("a circuit that does not begin with a file");
  const auto header = read_message<wire::FileHeader>(**first);
  const std::size_t index = header.index();
  co_await take_last_arrival(taking, index);
  if (index >= taking->states.size() || taking->states[index] != FileState::wanted)
    throw_protocol("entry " + std::to_string(header.index()) + " comes and was not wanted");
  if (header.size() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    throw_protocol("a file of " + std::to_string(header.size()) + " bytes");
  taking->states[index] = FileState::arriving;
  ++taking->report.circuits;

  bool whole = false;
  std::string trouble;
  try {
    whole = co_await take_content(taking, circuit, index, header);
  } catch (const FileError& failure) {
    throw_if_hopeless(failure);
    trouble = failure.what();
  }
  if (!trouble.empty()) {
    circuit.close(End(error::circuit_closed, trouble)); // what still comes of it is dropped
    taking->note_error(taking->entries[index].path, std::move(trouble));
    take_resolved(*taking, index);
    co_return;
  }
  circuit.close();
  if (!whole) {
    taking->states[index] = FileState::wanted;
    taking->resolved_one.notify_all();
    co_return;
  }
  take_sent(*taking, index, header.size());
  take_resolved(*taking, index);
}

awaitable<void> take_circuits(TakingPointer taking, CircuitInbox* circuits, TaskGroup crew) {
  for (;;) {
    std::optional<Circuit> circuit = co_await circuits->next();
    if (!circuit) throw Failure(Failure::Kind::ending, "this side is shutting down");
    crew.spawn(take_file(taking, std::move(*circuit)));
  }
}

// What the Giver hears.

awaitable<void> take_saying(TakingPointer taking) {
  for (;;) {
    const bool wants = taking->want_pending.files_size() > 0;
    const bool notes = taking->notes_pending.notes_size() > 0;
    const bool alive = std::exchange(taking->alive_pending, false) && !taking->finishing;
    taking->saying = wants || notes || alive || taking->totals_pending;
    if (!taking->saying) {
      taking->outgone.notify_all();
      co_await taking->outgoing.wait();
      continue; // what gathered meanwhile goes together
    }
    if (wants) {
      const wire::Want want = std::exchange(taking->want_pending, wire::Want());
      co_await send_message(taking->control, op::want, want);
    }
    if (std::exchange(taking->totals_pending, false)) {
      wire::Totals totals;
      totals.set_files(taking->watch.progress->files_total);
      totals.set_bytes(taking->watch.progress->bytes_total);
      co_await send_message(taking->control, op::totals, totals);
    }
    if (notes) {
      const wire::Notes gathered = std::exchange(taking->notes_pending, wire::Notes());
      taking->notes_pending_bytes = 0;
      wire::Notes batch;
      std::size_t bytes = 0;
      for (const wire::Note& note : gathered.notes()) {
        *batch.add_notes() = note;
        bytes += note.path().size() + note.text().size();
        const bool full = batch.notes_size() >= static_cast<int>(notes_per_message) || bytes >= batch_bytes;
        if (!full && &note != &*gathered.notes().rbegin()) continue;
        co_await send_message(taking->control, op::notes, batch);
        batch.Clear();
        bytes = 0;
      }
    } else if (alive) {
      co_await send_message(taking->control, op::notes, wire::Notes());
    }
    taking->outgone.notify_all();
  }
}

/// A far side that waits for us has to be able to tell work from death.
awaitable<void> take_say_alive(TakingPointer taking) {
  for (;;) {
    const std::uint64_t worked = taking->watch.progress->worked;
    co_await sleep_for(alive_interval);
    if (taking->watch.progress->worked == worked || taking->finishing) continue;
    taking->alive_pending = true;
    taking->outgoing.notify_all();
  }
}

// The end.

std::string take_why_not_delete(const Taking& taking) {
  if (!taking.listing_complete) return "the source was not listed completely";
  if (!taking.have_complete) return "the destination could not be read completely";
  if (taking.report.errors > 0) return "there were errors";
  return {};
}

awaitable<void> take_deletions(TakingPointer taking) {
  std::vector<std::size_t> extras = taking->planner->extras();
  if (!taking->options.delete_extra) extras.clear();
  const std::string why_not = take_why_not_delete(*taking);
  if (!extras.empty() && !why_not.empty()) {
    ++taking->report.skipped;
    taking->note(Note::Kind::skipped, "", "nothing is deleted: " + why_not);
    co_return;
  }
  std::size_t count = 0;
  for (auto index = extras.rbegin(); index != extras.rend(); ++index) { // what is in a directory before the directory
    const Entry& extra = taking->have[*index];
    if (++count % entries_between_yields == 0) co_await take_breath(taking);
    auto removal = taking->kept.contains(extra.path) ? Tree::Removal::not_empty : Tree::Removal::removed;
    if (removal == Tree::Removal::removed && !taking->options.dry_run &&
        !taking->attempt(extra.path, [&] { removal = taking->tree->remove(extra.path, extra.type); }))
      continue;
    if (removal == Tree::Removal::removed) {
      ++taking->report.deleted;
      taking->note(Note::Kind::deleted, extra.path);
    } else if (removal == Tree::Removal::not_empty) {
      ++taking->report.skipped;
      taking->note(Note::Kind::skipped, extra.path,
                   taking->kept.contains(extra.path) ? "not deleted, something that is left alone is in it"
                                                     : "not deleted, something new is in it");
    }
  }
}

/// What has the name of a directory that was full; deletions have emptied it, or nothing can be done.
void take_blocked(Taking& taking, bool emptied) {
  for (const std::size_t index : taking.blocked) {
    Entry& entry = taking.entries[index];
    if (!emptied) {
      taking.note_error(entry.path, "cannot replace the directory \"" + printable(entry.path) +
                                        "\": it is not empty, and nothing was to be deleted");
      continue;
    }
    if (entry.type == EntryType::symlink) {
      take_symlink_for_directory(taking, entry);
    } else if (taking.options.dry_run) {
      take_count_on(taking, index);
      take_sent(taking, index, entry.size);
    } else {
      taking.replaces_directory.insert(index);
      take_want(taking, index, std::nullopt);
    }
  }
}

awaitable<void> take_directories(TakingPointer taking) {
  if (taking->options.dry_run) co_return;
  std::size_t count = 0;
  for (auto index = taking->directories.rbegin(); index != taking->directories.rend(); ++index) {
    const Entry& entry = taking->entries[*index];
    if (++count % entries_between_yields == 0) co_await take_breath(taking);
    taking->attempt(entry.path, [&] { taking->tree->finish_directory(entry); });
  }
  if (taking->tree) taking->tree->shut_again();
}

awaitable<void> take_everything_wanted(TakingPointer taking) {
  while (!taking->listing_ended || taking->outstanding > 0) co_await taking->resolved_one.wait();
}

awaitable<void> take_to_the_end(TakingPointer taking, TaskGroup crew) {
  co_await take_everything_wanted(taking);
  if (!taking->blocked.empty() && taking->options.delete_extra && take_why_not_delete(*taking).empty()) {
    co_await take_deletions(taking);
    take_blocked(*taking, true);
    co_await take_everything_wanted(taking);
  } else {
    take_blocked(*taking, false);
    co_await take_deletions(taking);
  }
  co_await take_directories(taking);

  while (taking->saying || taking->notes_pending.notes_size() > 0 || taking->totals_pending)
    co_await taking->outgone.wait();
  taking->finishing = true;
  wire::Done done;
  to_wire(taking->report, done);
  co_await send_message(taking->control, op::done, done);
  taking->control.finish();
  // The Giver may be gone by the time it could acknowledge; everything is done here in any case.
  co_await as_result(taking->control.finish_acknowledged());
  crew.cancel();
}

} // namespace

awaitable<Report> take(Circuit& control, CircuitInbox& circuits, std::shared_ptr<Root> root, Options options,
                       Watch watch, Tuning tuning, std::function<std::uint64_t()> random,
                       std::shared_ptr<SharedBudget> commons) {
  const auto taking = std::make_shared<Taking>(control, std::move(root), std::move(options), std::move(watch), tuning,
                                               std::move(random), std::move(commons));
  taking->report.circuits = 1;
  TaskGroup crew(co_await asio::this_coro::executor);
  crew.spawn(take_hearing(taking));
  crew.spawn(take_saying(taking));
  crew.spawn(take_say_alive(taking));
  crew.spawn(take_circuits(taking, &circuits, crew));
  crew.spawn(take_to_the_end(taking, crew));
  co_await crew.join();
  co_return taking->report;
}

} // namespace trunkline::sync

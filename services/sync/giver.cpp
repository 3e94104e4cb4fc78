#include "services/sync/giver.hpp"

#include "async/clock.hpp"
#include "async/task_group.hpp"
#include "async/within.hpp"
#include "services/sync/file_digest.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/outgoing_file.hpp"
#include "services/sync/path.hpp"
#include "services/sync/selection.hpp"
#include "services/sync/walk.hpp"

#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::sync {
namespace {

constexpr std::size_t notes_between_yields = 64;
constexpr std::size_t bytes_between_yields = 1 << 20;
constexpr Duration pause_between_attempts = std::chrono::milliseconds(2);

struct Listed {
  std::string path;
  std::uint64_t size = 0;
  bool is_file = false;
  bool wanted = false;   // content
  bool compared = false; // digest only
};

struct Wanted {
  std::size_t index = 0;
  bool has_digest = false;
  bool compare_only = false;
  Digest digest;
};

/// What the tasks of one Giver share. `control` belongs to the caller of `give`, who outlives them.
struct Giving {
  Giving(Circuit& control_circuit, Source from, const Options& options, Watch watcher, Tuning limits,
         std::shared_ptr<Budgets> shared)
      : control(control_circuit), source(std::move(from)), filter(options.rules, options.delete_excluded),
        one_file_system(options.one_file_system), watch(std::move(watcher)), tuning(limits), budgets(std::move(shared)),
        share(budgets) {
    if (options.only) only.emplace(*options.only);
  }

  Circuit& control;
  const Source source;
  const Filter filter;
  std::optional<Selection> only;
  const bool one_file_system;
  const Watch watch;
  const Tuning tuning;
  const std::shared_ptr<Budgets> budgets;
  ListingShare share;
  std::deque<Listed> listed;
  std::deque<Wanted> wanted; // at most what is listed
  std::size_t hands = 0;     // tasks that give what is wanted, <= files_sending_max
  bool listing_said = false;
  bool done = false;         // the Taker is
  Signal at_rest;            // a hand has ended, or the listing
  Report report;
  std::uint64_t circuits = 1;

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
  scope.one_file_system = giving->one_file_system;
  scope.only = giving->only ? &*giving->only : nullptr;
  Walk walk = source.only.empty() ? Walk(source.root, giving->filter, std::move(listener), scope)
                                  : Walk(source.root, giving->filter, std::move(listener), source.only);

  for (bool more = true; more;) {
    std::optional<Entry> entry = walk.next();
    more = entry || !walk.ended();
    if (!more && giving->only)
      for (const std::string& path : giving->only->missing())
        add_note(Note::Kind::error, path, '"' + printable(path) + "\" is named, and is not there");
    if (entry) {
      to_wire(*entry, *batch.add_entries());
      bytes += entry->path.size() + entry->target.size() + 32;
      Listed listed;
      listed.size = entry->size;
      listed.is_file = entry->type == EntryType::file;
      if (listed.is_file) listed.path = std::move(entry->path);
      giving->share.add(sizeof(Listed) + listed.path.size());
      giving->listed.push_back(std::move(listed));
      giving->watch.progress->entries_listed = giving->listed.size();
    }
    if (bytes >= batch_bytes || !more) {
      if (notes.notes_size() > 0) co_await send_message(giving->control, op::notes, notes);
      if (batch.entries_size() > 0) co_await send_message(giving->control, op::listing, batch);
      notes.Clear();
      batch.Clear();
      bytes = 0;
    }
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
  end.set_entries(giving->listed.size());
  end.set_complete(walk.complete() && source.only.empty() && !giving->only && top_is_there);
  to_wire(not_kept, *end.mutable_not_kept());
  co_await send_message(giving->control, op::listing_end, end);
  giving->listing_said = true;
  giving->at_rest.notify_all();
}

// The files.

awaitable<void> give_withheld(GivingPointer giving, std::size_t index, wire::Withheld::Why why, std::string text) {
  const std::string& path = giving->listed[index].path;
  if (why == wire::Withheld::GONE) text = vanished(path);
  if (!text.empty()) giving->note(why == wire::Withheld::GONE ? Note::Kind::vanished : Note::Kind::error, path, text);
  wire::Withheld withheld;
  withheld.set_index(index);
  withheld.set_why(why);
  withheld.set_text(std::move(text));
  co_await send_message(giving->control, op::withheld, withheld);
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

enum class Given : std::uint8_t { sent, as_it_was, unwanted, same, different, changed };

/// What a send says about a circuit that is over, in the words of its end.
[[noreturn]] void throw_ended(const Circuit& circuit, const boost::system::error_code& code) {
  const std::optional<End> end = circuit.end();
  if (!end || end->text.empty()) throw boost::system::system_error(code);
  throw boost::system::system_error(code, end->text);
}

/// Why a circuit for a file is over before the file is: the Taker gave the file up, or everything, and says why on the
/// control circuit, which may not be read so far yet; or something that ends the whole sync.
bool taker_gave_up(const Circuit& circuit) {
  const std::optional<End> end = circuit.end();
  if (!end) return false;
  constexpr std::array said_elsewhere{error::circuit_closed, error::circuit_reset, error::circuit_abandoned,
                                      error::peer_ended, error::no_peer};
  return end->clean() || std::ranges::any_of(said_elsewhere, [&](error code) { return end->code == code; });
}

/// The digest of what was sent of a file, holes as the zeros that they are.
class SentDigest {
 public:
  awaitable<void> add_hole(std::uint64_t until) {
    if (done_ < until && zeros_.empty()) zeros_.resize(256 * 1024);
    while (done_ < until) {
      const std::size_t count = std::min<std::uint64_t>(zeros_.size(), until - done_);
      add(std::span(zeros_).first(count));
      co_await let_others_run();
    }
  }
  void add(std::span<const std::byte> bytes) {
    digester_.add(bytes);
    done_ += bytes.size();
  }
  Digest take() { return digester_.take(); }

 private:
  Digester digester_;
  std::vector<std::byte> zeros_;
  std::uint64_t done_ = 0;
};

/// Sends the data of a file; the circuit stays unfinished.
awaitable<Given> give_data(GivingPointer giving, Circuit& circuit, OutgoingFile& file, std::uint64_t& counted,
                           SentDigest* digest) {
  std::size_t since_yield = 0;
  while (const std::size_t size = file.next_bytes(giving->tuning.fragment_bytes)) {
    if (digest) co_await digest->add_hole(file.offset());
    Fragment fragment(op::data, Payload::uninitialized(size));
    fragment.part = static_cast<std::int64_t>(file.offset());
    const std::size_t count = file.read(fragment.payload.writable());
    if (count < size) co_return Given::changed; // it has become shorter
    if (digest) digest->add(fragment.payload.bytes());
    const result<void> sent = co_await as_result(circuit.send(std::move(fragment)));
    if (!sent && taker_gave_up(circuit)) co_return Given::unwanted;
    if (!sent) throw_ended(circuit, sent.error());
    giving->watch.progress->bytes_done += file.offset() - counted;
    counted = file.offset();
    ++giving->watch.progress->worked;
    since_yield += count;
    if (since_yield < bytes_between_yields) continue;
    since_yield = 0;
    co_await let_others_run();
  }
  if (digest) co_await digest->add_hole(file.status().size);
  co_return file.unchanged() ? Given::sent : Given::changed;
}

/// A file that is written all the time, as a log is: when a second reading of what was sent finds the same, the file
/// was like this at the moment between the two.
awaitable<Given> give_as_it_was(GivingPointer giving, std::size_t index, std::uint64_t size, Digest sent) {
  const std::string& path = giving->listed[index].path;
  const std::shared_ptr<Directory> directory = giving->source.root->directory(parent_of(path));
  const FileDigest again =
      co_await digest_file(giving->budgets, directory, std::string(name_of(path)), giving->watch.progress, size);
  co_return again.digest == sent ? Given::as_it_was : Given::changed;
}

awaitable<Given> give_content(GivingPointer giving, std::size_t index, OutgoingFile& file, bool last_attempt) {
  wire::FileHeader header;
  header.set_index(index);
  header.set_size(file.status().size);
  header.set_mtime_seconds(file.status().mtime.seconds);
  header.set_mtime_nanoseconds(file.status().mtime.nanoseconds);
  header.set_mode(file.status().mode & 07777);
  Circuit circuit = giving->control.new_circuit(to_fragment(op::file, header));
  ++giving->circuits;

  std::uint64_t counted = 0; // of the file's size, in the progress
  Given given = Given::changed;
  try {
    std::optional<SentDigest> digest;
    if (last_attempt) digest.emplace();
    SentDigest* const digest_of_sent = digest ? &*digest : nullptr;
    given = co_await give_data(giving, circuit, file, counted, digest_of_sent);
    if (given == Given::changed && digest && file.offset() >= file.status().size)
      given = co_await give_as_it_was(giving, index, file.status().size, digest->take());
  } catch (const FileError&) {
    giving->watch.progress->bytes_done -= counted;
    if (taker_gave_up(circuit)) co_return Given::unwanted; // it is done with this file, and wants no word about it
    circuit.reset(End(error::circuit_reset, "the file cannot be read"));
    throw;
  }
  if (given == Given::sent || given == Given::as_it_was) {
    giving->watch.progress->bytes_done += file.status().size - counted;
    circuit.finish();
    co_return given;
  }
  giving->watch.progress->bytes_done -= counted;
  if (taker_gave_up(circuit)) co_return Given::unwanted;
  if (given == Given::changed) circuit.reset(End(error::circuit_reset, "the file changes"));
  co_return given;
}

awaitable<Given> give_file_once(GivingPointer giving, Wanted wanted, bool last_attempt) {
  const std::string& path = giving->listed[wanted.index].path;
  const std::shared_ptr<Directory> directory = giving->source.root->directory(parent_of(path));
  const std::string name(name_of(path));
  if (wanted.has_digest) {
    const FileDigest found = co_await digest_file(giving->budgets, directory, name, giving->watch.progress);
    if (!found.unchanged) co_return Given::changed;
    if (found.digest == wanted.digest) co_return Given::same;
    if (wanted.compare_only) co_return Given::different;
  }
  BudgetShare turn(one_of(giving->budgets, &Budgets::files_read));
  co_await turn.wait_for_one();
  OutgoingFile file(directory, name);
  co_return co_await give_content(giving, wanted.index, file, last_attempt);
}

awaitable<void> give_file(GivingPointer giving, Wanted wanted) {
  const std::string& path = giving->listed[wanted.index].path;
  const std::size_t attempts_max = giving->listed[wanted.index].size <= giving->tuning.fragment_bytes
                                       ? giving->tuning.attempts_small_max
                                       : giving->tuning.attempts_max;
  for (std::size_t attempt = 1; attempt <= attempts_max; ++attempt) {
    Given given = Given::changed;
    std::string trouble;
    bool is_gone = false;
    try {
      given = co_await give_file_once(giving, wanted, attempt >= giving->tuning.attempts_max);
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
      case Given::same: co_await give_withheld(giving, wanted.index, wire::Withheld::SAME, std::string()); co_return;
      case Given::different:
        co_await give_withheld(giving, wanted.index, wire::Withheld::DIFFERENT, std::string());
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

/// One of several that take turns at what is wanted; ends when nothing is, so that a sync that waits costs little.
awaitable<void> give_files(GivingPointer giving) {
  while (!giving->wanted.empty()) {
    Wanted wanted = giving->wanted.front();
    giving->wanted.pop_front();
    co_await give_file(giving, std::move(wanted));
    co_await let_others_run();
  }
  --giving->hands;
  giving->at_rest.notify_all();
}

void give_wanted(GivingPointer giving, TaskGroup group) {
  const std::size_t hands_max = std::max<std::size_t>(1, giving->tuning.files_sending_max);
  for (std::size_t idle = giving->wanted.size(); idle > 0 && giving->hands < hands_max; --idle) {
    ++giving->hands;
    group.spawn(give_files(giving));
  }
}

// What the Taker says.

void hear_want(Giving& giving, const wire::Want& want) {
  for (const wire::Want::File& file : want.files()) {
    if (file.index() >= giving.listed.size())
      throw_protocol("entry " + std::to_string(file.index()) + " is wanted of a listing of " +
                     std::to_string(giving.listed.size()));
    Listed& listed = giving.listed[file.index()];
    Wanted wanted;
    wanted.index = file.index();
    wanted.compare_only = want.compare_only();
    wanted.has_digest = !file.digest().empty();
    if (!listed.is_file) throw_protocol("entry " + std::to_string(file.index()) + " is wanted and is no file");
    if (listed.wanted || (listed.compared && wanted.compare_only))
      throw_protocol("entry " + std::to_string(file.index()) + " is wanted twice");
    if (wanted.has_digest && !Digest::from_bytes(file.digest(), wanted.digest))
      throw_protocol("a digest of " + std::to_string(file.digest().size()) + " bytes");
    if (wanted.compare_only && !wanted.has_digest) throw_protocol("a comparison without a digest");
    (wanted.compare_only ? listed.compared : listed.wanted) = true;
    giving.wanted.push_back(wanted);
    if (giving.watch.progress->totals_known) continue;
    ++giving.watch.progress->files_total;
    giving.watch.progress->bytes_total += listed.size;
  }
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
        while (giving->hands > 0 || !giving->listing_said) co_await giving->at_rest.wait();
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

awaitable<Report> give(Circuit& control, Source source, Options options, Watch watch, Tuning tuning,
                       std::shared_ptr<Budgets> budgets) {
  const auto giving =
      std::make_shared<Giving>(control, std::move(source), options, std::move(watch), tuning, std::move(budgets));
  TaskGroup group(co_await asio::this_coro::executor);
  group.spawn(give_hearing(giving, group));
  group.spawn(give_listing(giving));
  group.spawn(give_say_alive(giving));
  co_await group.join();
  Report report = giving->report;
  report.circuits = giving->circuits;
  co_return report;
}

} // namespace trunkline::sync

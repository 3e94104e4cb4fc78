#include "services/sync/taker.hpp"

#include "async/task_group.hpp"
#include "async/within.hpp"
#include "services/sync/arrival.hpp"
#include "services/sync/attempt.hpp"
#include "services/sync/compression.hpp"
#include "services/sync/deletion.hpp"
#include "services/sync/fetch.hpp"
#include "services/sync/incoming_listing.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/path.hpp"
#include "services/sync/partials.hpp"
#include "services/sync/plan.hpp"
#include "services/sync/survey.hpp"
#include "services/sync/taken_directories.hpp"
#include "services/sync/taken_links.hpp"
#include "services/sync/taker_voice.hpp"
#include "services/sync/tree.hpp"
#include "services/sync/want_list.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>

#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::sync {
namespace {

constexpr std::size_t entries_between_yields = 64;

/// One sync, as the plan that it follows: look around, hear the listing and take what it wants of it, delete, finish.
/// `control` belongs to the caller of `take`, who outlives it.
class Taker {
 public:
  Taker(Circuit& control, std::shared_ptr<Root> root, Options options, Watch watch, Tuning tuning,
        std::function<std::uint64_t()> random, std::shared_ptr<Budgets> budgets, std::string place)
      : control_(control), options_(std::move(options)), tuning_(tuning),
        filter_(options_.rules, options_.delete_excluded), budgets_(std::move(budgets)), share_(budgets_),
        voice_(control, std::move(watch)), wants_(tuning.files_outstanding_max, options_.dry_run, voice_, budgets_),
        place_(std::move(place)), partials_(tuning.partial_bytes_min, voice_),
        survey_(options_, filter_, share_, voice_, partials_), reader_(options_, filter_, tuning.entries_max, share_),
        planner_(options_.checksum, options_.xattr_scope(), options_.delete_extra), listing_(share_),
        directories_(listing_, tree_, options_.dry_run, voice_), links_(listing_, tree_, options_.dry_run, voice_),
        deletion_(options_, filter_, tree_, survey_, voice_), seed_(random()),
        fetch_({control_, options_, tuning, listing_, survey_, partials_, tree_, wants_, voice_, budgets_, seed_}) {
    wants_.set_seed(seed_);
    if (root) {
      tree_.emplace(std::move(root), std::move(random));
      tree_->keep_attributes(options_.xattr_scope(), not_kept_);
      if (options_.backup) tree_->keep_backups(options_.backup_root, options_.backup_suffix);
    }
    voice_.report().circuits = 1;
    wants_.on_resolved([this](std::size_t index) {
      listing_.forget(index);
      give_room();
    });
    if (tree_ && !options_.dry_run) {
      wants_.ask_by([this](std::size_t index) { return fetch_.asks(index); });
      wants_.look_again([this](std::size_t index) { return fetch_.is_there(index); },
                        [this](std::size_t index) { return join(place_, listing_.entry(index).path); });
    }
  }

  /// The tasks of one Taker; a task gets its Taker, too, and keeps it.
  static void start(const std::shared_ptr<Taker>& taker, CircuitInbox& circuits, TaskGroup group);
  Report report() { return voice_.report(); }

 private:
  using Pointer = std::shared_ptr<Taker>;

  static awaitable<void> keep(Pointer taker, awaitable<void> task) {
    (void)taker;
    co_await std::move(task);
  }
  static awaitable<void> arrive(Pointer taker, Circuit circuit);
  static awaitable<void> take_circuits(Pointer taker, CircuitInbox& circuits, TaskGroup group);

  // What is here.
  void look_around();
  awaitable<void> look_on();

  // What the Giver says.
  static awaitable<void> hear(Pointer taker);
  awaitable<void> hear_listing(wire::Listing listing);
  awaitable<void> hear_listing_end(wire::ListingEnd end);
  void give_room();
  void hear_withheld(const wire::Withheld& withheld);
  awaitable<void> hear_compared(wire::Compared compared);
  awaitable<void> take_same(std::size_t index);
  awaitable<void> take_moved(std::size_t index);
  awaitable<void> hear_notes(wire::Notes notes);

  // One entry of the listing.
  awaitable<void> take_entry(std::size_t index);
  void decide(std::size_t index);
  void count_owner(const Entry& entry, const Decision& decision);
  void take_symlink(std::size_t index);
  void take_special(std::size_t index);
  bool make_room_for(std::size_t index);
  void take_attributes(std::size_t index);

  // The end.
  awaitable<void> finish(TaskGroup group);
  std::string why_not_delete() const;
  void take_blocked(bool emptied);

  Circuit& control_;
  const Options options_;
  const Tuning tuning_;
  const Filter filter_;
  const std::shared_ptr<Budgets> budgets_;
  ListingShare share_;
  std::optional<Tree> tree_; // none: a dry run into nothing
  TakerVoice voice_;
  WantList wants_;
  const std::string place_;

  Partials partials_;
  Survey survey_;
  ListingReader reader_;
  Planner planner_;
  std::size_t extras_bytes_ = 0; // of the planner, that are charged
  IncomingListing listing_;
  std::size_t room_said_ = 0; // entries that the Giver knows to be compared
  TakenDirectories directories_;
  TakenLinks links_;
  Deletion deletion_;
  const std::uint64_t seed_;
  Fetch fetch_;
  std::vector<std::size_t> blocked_; // a directory with something in it has their name
  std::size_t steps_ = 0; // of the filter, since others had their turn
  NotKept not_kept_; // what this side could not keep
  bool listing_complete_ = false;
  std::size_t changing_count_ = 0; // files that could not be read as they were at one time, each an error
};

void Taker::start(const Pointer& taker, CircuitInbox& circuits, TaskGroup group) {
  group.spawn(hear(taker));
  group.spawn(keep(taker, taker->voice_.speak()));
  group.spawn(keep(taker, taker->wants_.revisit()));
  group.spawn(keep(taker, taker->fetch_.ask_with_bases()));
  if (taker->options_.checksum)
    for (std::size_t lane = taker->fetch_.lanes_count(); lane > 0; --lane)
      group.spawn(keep(taker, taker->fetch_.digest_what_is_compared()));
  group.spawn(keep(taker, taker->voice_.say_alive()));
  group.spawn(take_circuits(taker, circuits, group));
  group.spawn(keep(taker, taker->finish(group)));
}

awaitable<void> Taker::take_circuits(Pointer taker, CircuitInbox& circuits, TaskGroup group) {
  for (;;) {
    std::optional<Circuit> circuit = co_await circuits.next();
    if (!circuit) throw Failure(Failure::Kind::ending, "this side is shutting down");
    group.spawn(arrive(taker, std::move(*circuit)));
  }
}

awaitable<void> Taker::arrive(Pointer taker, Circuit circuit) {
  Arrival arrival(taker->tree_ ? &*taker->tree_ : nullptr, taker->listing_, taker->options_, taker->tuning_,
                  taker->fetch_, taker->wants_, taker->voice_, taker->budgets_);
  co_await arrival.take(std::move(circuit));
}

// What is here.

void Taker::look_around() {
  if (!options_.link_dest.empty() && !options_.link_root)
    voice_.note(Note::Kind::warning, "",
                '"' + printable(options_.link_dest) + "\" is not there: nothing is linked to it");
  survey_.begin(tree_ ? &*tree_ : nullptr);
}

/// One step further through what is here.
awaitable<void> Taker::look_on() {
  std::optional<Entry> here = survey_.next();
  ++voice_.progress().worked;
  if (here || survey_.ended()) {
    planner_.add(std::move(here));
  } else {
    co_await voice_.breath();
  }
  if (planner_.extras_bytes() == extras_bytes_) co_return;
  share_.add(planner_.extras_bytes() - extras_bytes_);
  extras_bytes_ = planner_.extras_bytes();
}

// What the Giver says.

awaitable<void> Taker::hear(Pointer taker) {
  Taker& self = *taker;
  self.look_around();
  for (;;) {
    const result<std::optional<Fragment>> heard = co_await as_result(self.control_.receive());
    ++self.voice_.progress().heard;
    if (self.voice_.is_finishing()) co_return; // everything is done here, however the Giver goes
    if (!heard) throw boost::system::system_error(heard.error());
    const std::optional<Fragment>& fragment = *heard;
    if (!fragment) throw_protocol("the far side stopped in the middle of the sync");
    switch (fragment->op) {
      case op::listing: co_await self.hear_listing(read_message<wire::Listing>(*fragment)); break;
      case op::packed_listing: {
        const std::optional<Payload> listing = decompress(fragment->payload.bytes(), message_bytes_max);
        if (!listing) throw_protocol("a listing that cannot be unpacked");
        co_await self.hear_listing(read_message<wire::Listing>(Fragment(op::listing, *listing)));
        break;
      }
      case op::listing_end: co_await self.hear_listing_end(read_message<wire::ListingEnd>(*fragment)); break;
      case op::withheld: {
        const auto withheld = read_message<wire::Withheld>(*fragment);
        co_await self.wants_.last_arrival(withheld.index());
        self.hear_withheld(withheld);
        break;
      }
      case op::compared: co_await self.hear_compared(read_message<wire::Compared>(*fragment)); break;
      case op::notes: co_await self.hear_notes(read_message<wire::Notes>(*fragment)); break;
      case op::failed: throw_failed(*fragment);
      default: throw_protocol("a Giver does not say " + std::to_string(fragment->op));
    }
  }
}

awaitable<void> Taker::hear_listing(wire::Listing listing) {
  if (wants_.listing_ended()) throw_protocol("a listing after its end");
  for (wire::Entry& from : *listing.mutable_entries()) {
    Entry entry;
    const std::string wrong = reader_.read(std::move(from), entry);
    steps_ += filter_.steps(entry.path);
    voice_.progress().entries_listed = reader_.entries_count();
    if (!wrong.empty()) {
      std::string text = "entry \"" + printable(entry.path) + "\" is refused: it " + wrong;
      voice_.note(Note::Kind::error, std::exchange(entry.path, {}), std::move(text));
    }
    if (wrong.empty()) {
      listing_.add(std::move(entry));
      co_await take_entry(listing_.size() - 1);
    } else {
      listing_.add_nothing();
    }
    const std::size_t count = listing_.size();
    if (count % entries_between_yields != 0 && steps_ < Filter::steps_between_yields) continue;
    steps_ = 0;
    co_await voice_.breath();
  }
  give_room();
}

/// The Giver may list more, unless much of what it has listed is wanted and has not come.
void Taker::give_room() {
  constexpr std::size_t step = listing_window / 4;
  constexpr std::size_t waiting_max = listing_window / 2;
  const std::size_t count = listing_.size();
  if (count < room_said_ + step || wants_.unresolved_count() > waiting_max || wants_.listing_ended()) return;
  // The last one may be in the middle of being compared.
  const std::size_t compared = count - 1;
  voice_.say_room(compared, wants_.unresolved(room_said_, compared), wants_.resolved_below(compared));
  room_said_ = compared;
}

awaitable<void> Taker::hear_listing_end(wire::ListingEnd end) {
  if (wants_.listing_ended()) throw_protocol("two ends of a listing");
  if (end.entries() != listing_.size())
    throw_protocol("listing of " + std::to_string(listing_.size()) + " entries claims " +
                   std::to_string(end.entries()));
  directories_.end();
  while (planner_.lacks_end()) co_await look_on();
  listing_complete_ = end.complete();
  const NotKept lost = from_wire(end.not_kept());
  not_kept_.hard_links += lost.hard_links;
  not_kept_.xattrs += lost.xattrs;
  not_kept_.acls += lost.acls;
  not_kept_.mode_bits += lost.mode_bits;
  not_kept_.specials += lost.specials;
  voice_.progress().totals_known = true;
  voice_.say_totals();
  wants_.end_listing();
}

void Taker::hear_withheld(const wire::Withheld& withheld) {
  const std::size_t index = withheld.index();
  wants_.withheld(index);
  // What is there of a file that changes is kept, and says nothing about what may be deleted.
  if (withheld.why() == wire::Withheld::CHANGING) ++changing_count_;
  Note note;
  if (withheld.why() == wire::Withheld::GONE) note.kind = Note::Kind::vanished;
  note.path = listing_.entry(index).path;
  note.text = printable_sentence(withheld.text());
  voice_.note_here(note);
  fetch_.forget(index);
  wants_.resolve(index);
}

awaitable<void> Taker::hear_compared(wire::Compared compared) {
  IndexDifferences differences;
  std::size_t count = 0;
  for (const std::int64_t difference : compared.indices()) {
    const std::size_t index = differences.index(difference);
    co_await wants_.last_arrival(index);
    wants_.withheld(index);
    if (compared.different()) {
      wants_.different(index);
      fetch_.differs(index);
      fetch_.forget(index);
      wants_.resolve(index);
    } else {
      co_await take_same(index);
    }
    if (++count % entries_between_yields == 0) co_await voice_.breath();
  }
}

/// The content is here already, perhaps under another name.
awaitable<void> Taker::take_same(std::size_t index) {
  if (fetch_.is_moved(index)) co_return co_await take_moved(index);
  if (listing_.attributes_differ(index)) {
    take_attributes(index);
  } else {
    ++voice_.report().unchanged;
  }
  ++voice_.progress().files_done;
  voice_.progress().bytes_done += listing_.entry(index).size;
  fetch_.forget(index);
  wants_.resolve(index);
}

awaitable<void> Taker::take_moved(std::size_t index) {
  bool is_copied = false;
  std::string trouble;
  try {
    is_copied = co_await fetch_.copy_moved(index);
  } catch (const FileError& failure) {
    throw_if_hopeless(failure);
    if (!failure.is_gone()) trouble = failure.what();
  }
  if (!is_copied && trouble.empty()) co_return wants_.ask_again(index);
  if (!trouble.empty()) voice_.note(Note::Kind::error, listing_.entry(index).path, std::move(trouble));
  fetch_.forget(index);
  wants_.resolve(index);
}

awaitable<void> Taker::hear_notes(wire::Notes notes) {
  std::size_t count = 0;
  for (const wire::Note& from : notes.notes()) {
    Note note = from_wire(from);
    note.text = printable_sentence(note.text);
    voice_.note_here(note);
    if (note.kind == Note::Kind::skipped) survey_.leave_alone(note.path);
    if (++count % entries_between_yields == 0) co_await let_others_run();
  }
}

// One entry of the listing.

/// What is made here belongs to whoever runs this; what stays has the owner that it had.
void Taker::count_owner(const Entry& entry, const Decision& decision) {
  const Entry* const here = planner_.found();
  const bool stays = here && here->type == entry.type && decision.step != Step::send_file &&
                     decision.step != Step::make_symlink && decision.step != Step::make_directory &&
                     decision.step != Step::make_special;
  const std::uint32_t owner = stays ? here->owner : ::geteuid();
  const std::uint32_t group = stays ? here->group : ::getegid();
  const bool keeps_owner = entry.keeps_owner || entry.owner == owner;
  const bool keeps_group = entry.keeps_group || entry.group == group;
  if (!keeps_owner || !keeps_group) ++not_kept_.owners;
}

awaitable<void> Taker::take_entry(std::size_t index) {
  const Entry& entry = listing_.entry(index);
  if (entry.type == EntryType::directory || entry.has_names || entry.same_as > 0) listing_.stay(index);
  if (!directories_.shuts_out(entry)) {
    while (planner_.lacks(entry.path)) co_await look_on();
    decide(index);
  }
  if (!wants_.awaits(index)) listing_.forget(index);
}

void Taker::decide(std::size_t index) {
  const Entry& entry = listing_.entry(index);
  const Decision decision = planner_.next(entry);
  if (is_passed_over(options_, entry, planner_.found())) {
    ++voice_.report().passed_over;
    return;
  }
  listing_.set_changes(index, changes_of(entry, planner_.found(), decision));
  count_owner(entry, decision);
  if (decision.in_the_way == InTheWay::full_directory) {
    blocked_.push_back(index);
    listing_.stay(index);
    wants_.postpone(index);
    return;
  }
  if (entry.type == EntryType::directory) {
    directories_.take(index, decision);
    return;
  }
  if (entry.same_as > 0) {
    if (decision.in_the_way == InTheWay::empty_directory) listing_.set_replaces_directory(index);
    links_.add(index);
    return;
  }
  switch (decision.step) {
    case Step::none:
      if (entry.type != EntryType::file || !fetch_.link(entry, planner_.found(), true)) ++voice_.report().unchanged;
      break;
    case Step::set_attributes:
      if (entry.type != EntryType::file || !fetch_.link(entry, planner_.found(), true)) take_attributes(index);
      break;
    case Step::make_symlink:
    case Step::make_special:
      if (decision.in_the_way == InTheWay::empty_directory && !make_room_for(index)) break;
      if (entry.type == EntryType::symlink) {
        take_symlink(index);
      } else {
        take_special(index);
      }
      break;
    case Step::send_file:
      if (decision.in_the_way != InTheWay::empty_directory && fetch_.link(entry, planner_.found(), false)) break;
      if (decision.in_the_way == InTheWay::empty_directory) listing_.set_replaces_directory(index);
      fetch_.want(index, planner_.found());
      break;
    case Step::compare_file:
      if (decision.attributes_differ) listing_.set_attributes_differ(index);
      fetch_.compare(index, planner_.found());
      break;
    case Step::make_directory: break; // directories are above
  }
}

void Taker::take_symlink(std::size_t index) {
  const Entry& entry = listing_.entry(index);
  if (!options_.dry_run && !attempt(voice_, entry.path, [&] { tree_->make_symlink(entry); })) return;
  listing_.say(voice_, Note::Kind::symlink, index, listing_.changes(index), listing_.take_target(index));
}

/// An empty directory makes room at once for a symlink or a special file; for a file when the file is whole.
bool Taker::make_room_for(std::size_t index) {
  const Entry& entry = listing_.entry(index);
  return options_.dry_run || attempt(voice_, entry.path, [&] {
           if (tree_->remove(entry.path, EntryType::directory) == Tree::Removal::not_empty)
             throw FileError("replace the directory", entry.path, ENOTEMPTY);
         });
}

void Taker::take_special(std::size_t index) {
  const Entry& entry = listing_.entry(index);
  bool is_made = true;
  if (!options_.dry_run && !attempt(voice_, entry.path, [&] { is_made = tree_->make_special(entry); })) return;
  if (is_made) {
    listing_.say(voice_, Note::Kind::special, index, listing_.changes(index));
  } else {
    ++not_kept_.specials;
    voice_.note(Note::Kind::skipped, entry.path, "cannot be made without more privilege");
  }
}

void Taker::take_attributes(std::size_t index) {
  const Entry& entry = listing_.entry(index);
  if (!options_.dry_run && !attempt(voice_, entry.path, [&] { tree_->set_attributes(entry); })) return;
  listing_.say(voice_, Note::Kind::attributes, index, listing_.changes(index) & ~(Changes::size | Changes::content));
}

// The end.

awaitable<void> Taker::finish(TaskGroup group) {
  co_await wants_.all_resolved();
  co_await links_.finish();
  if (!blocked_.empty() && options_.delete_extra && why_not_delete().empty()) {
    co_await deletion_.run(planner_.take_extras(), why_not_delete());
    take_blocked(true);
    co_await wants_.all_resolved();
    co_await links_.finish();
  } else {
    take_blocked(false);
    co_await deletion_.run(planner_.take_extras(), why_not_delete());
  }
  if (tree_ && !options_.dry_run) partials_.drop_all(*tree_);
  co_await directories_.finish();
  voice_.report().not_kept = not_kept_;
  co_await voice_.say_done();
  group.cancel();
}

std::string Taker::why_not_delete() const {
  if (!listing_complete_) return "the source was not listed completely";
  if (!survey_.complete()) return "the destination could not be read completely";
  if (voice_.report().errors > changing_count_) return "there were errors";
  return {};
}

/// What has the name of a directory that was full; deletions have emptied it, or nothing can be done.
void Taker::take_blocked(bool emptied) {
  for (const std::size_t index : blocked_) {
    const Entry& entry = listing_.entry(index);
    if (!emptied) {
      voice_.note(Note::Kind::error, entry.path,
                  "cannot replace the directory \"" + printable(entry.path) +
                      "\": it is not empty, and nothing was to be deleted");
      continue;
    }
    if (entry.same_as > 0) {
      listing_.set_replaces_directory(index);
      links_.add(index);
    } else if (entry.type == EntryType::file) {
      if (!options_.dry_run) listing_.set_replaces_directory(index);
      fetch_.want(index, nullptr);
    } else if (make_room_for(index)) {
      if (entry.type == EntryType::symlink) {
        take_symlink(index);
      } else {
        take_special(index);
      }
    }
  }
}

} // namespace

awaitable<Report> take(Circuit& control, CircuitInbox& circuits, std::shared_ptr<Root> root, Options options,
                       Watch watch, Tuning tuning, std::function<std::uint64_t()> random,
                       std::shared_ptr<Budgets> budgets, std::string place) {
  const auto taker = std::make_shared<Taker>(control, std::move(root), std::move(options), std::move(watch), tuning,
                                             std::move(random), std::move(budgets), std::move(place));
  TaskGroup group(co_await asio::this_coro::executor);
  Taker::start(taker, circuits, group);
  co_await group.join();
  co_return taker->report();
}

} // namespace trunkline::sync

#include "services/sync/taker.hpp"

#include "async/task_group.hpp"
#include "async/within.hpp"
#include "services/sync/arrival.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/path.hpp"
#include "services/sync/plan.hpp"
#include "services/sync/taker_voice.hpp"
#include "services/sync/tree.hpp"
#include "services/sync/walk.hpp"
#include "services/sync/want_list.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>

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

std::uint64_t add(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t sum = a + b;
  return sum < a ? std::numeric_limits<std::uint64_t>::max() : sum;
}

/// One sync, as the plan that it follows: look around, hear the listing and take what it wants of it, delete, finish.
/// `control` belongs to the caller of `take`, who outlives it.
class Taker {
 public:
  Taker(Circuit& control, std::shared_ptr<Root> root, Options options, Watch watch, Tuning tuning,
        std::function<std::uint64_t()> random, std::shared_ptr<SharedBudget> budget)
      : control_(control), options_(std::move(options)), filter_(options_.exclude), budget_(std::move(budget)),
        share_(budget_), voice_(control, std::move(watch)),
        wants_(tuning.files_outstanding_max, options_.dry_run, voice_), reader_(filter_, tuning.entries_max, share_) {
    if (root) tree_.emplace(std::move(root), std::move(random));
    voice_.report().circuits = 1;
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
  static awaitable<void> look_around(Pointer taker);
  void reap(const std::string& path);
  void keep_what_holds(std::string_view path);

  // What the Giver says.
  static awaitable<void> hear(Pointer taker);
  awaitable<void> hear_listing(wire::Listing listing);
  void hear_listing_end(const wire::ListingEnd& end);
  void hear_withheld(const wire::Withheld& withheld);
  awaitable<void> hear_notes(wire::Notes notes);

  // One entry of the listing.
  awaitable<void> take_entry(std::size_t index);
  void take_directory(std::size_t index, Decision decision);
  void take_symlink(Entry& entry);
  void take_symlink_for_directory(Entry& entry);
  void take_attributes(const Entry& entry);
  void want(std::size_t index, std::optional<Digest> ours);
  void want_or_count(std::size_t index, std::optional<Digest> ours);
  void count_on(std::size_t index);
  void count_sent(std::size_t index);
  awaitable<std::optional<Digest>> digest_of_ours(std::string path);
  template <class Action> bool attempt(const std::string& path, Action&& action);

  // The end.
  awaitable<void> finish(TaskGroup group);
  std::string why_not_delete() const;
  awaitable<void> delete_extras();
  void take_blocked(bool emptied);
  awaitable<void> finish_directories();

  Circuit& control_;
  const Options options_;
  const Filter filter_;
  const std::shared_ptr<SharedBudget> budget_;
  BudgetShare share_;
  std::optional<Tree> tree_; // none: a dry run into nothing
  TakerVoice voice_;
  WantList wants_;

  std::vector<Entry> have_;               // what is here, before anything changes
  std::unordered_set<std::string> kept_;  // directories with something in them that is left alone
  bool have_complete_ = true;

  ListingReader reader_;
  std::optional<Planner> planner_;
  std::deque<Entry> entries_; // of the Giver; a refused one without its path, a symlink that is made without its target
  std::vector<std::size_t> directories_;
  std::vector<std::size_t> blocked_; // a directory with something in it has their name
  std::unordered_set<std::size_t> replaces_directory_;
  std::unordered_set<std::size_t> attributes_differ_; // beside the content, of files that are compared
  std::size_t steps_ = 0; // of the filter, since others had their turn
  bool listing_complete_ = false;
};

void Taker::start(const Pointer& taker, CircuitInbox& circuits, TaskGroup group) {
  group.spawn(hear(taker));
  group.spawn(keep(taker, taker->voice_.speak()));
  group.spawn(keep(taker, taker->voice_.say_alive()));
  group.spawn(take_circuits(taker, circuits, group));
  group.spawn(keep(taker, taker->finish(group)));
}

/// Runs what may meet a file system that says no; false when it did.
template <class Action> bool Taker::attempt(const std::string& path, Action&& action) {
  try {
    action();
    return true;
  } catch (const FileError& failure) {
    throw_if_hopeless(failure);
    voice_.note(Note::Kind::error, path, failure.what());
    return false;
  }
}

awaitable<void> Taker::take_circuits(Pointer taker, CircuitInbox& circuits, TaskGroup group) {
  for (;;) {
    std::optional<Circuit> circuit = co_await circuits.next();
    if (!circuit) throw Failure(Failure::Kind::ending, "this side is shutting down");
    group.spawn(arrive(taker, std::move(*circuit)));
  }
}

awaitable<void> Taker::arrive(Pointer taker, Circuit circuit) {
  Arrival arrival(taker->tree_ ? &*taker->tree_ : nullptr, taker->entries_, taker->replaces_directory_, taker->wants_,
                  taker->voice_);
  co_await arrival.take(std::move(circuit));
}

// What is here.

awaitable<void> Taker::look_around(Pointer taker) {
  Taker& self = *taker;
  if (!self.tree_) co_return;
  std::vector<std::string> temporaries;
  WalkListener listener;
  listener.on_error = [&self](const std::string& path, const std::string& text) {
    self.voice_.note(Note::Kind::error, path, text);
  };
  listener.on_temporary = [&self, &temporaries](const std::string& path) {
    self.share_.add(sizeof path + path.size());
    temporaries.push_back(path);
    self.keep_what_holds(path);
  };
  listener.on_excluded = [&self](const std::string& path) { self.keep_what_holds(path); };
  if (!self.options_.dry_run)
    listener.on_shut = [&self](const std::string& path) { return self.tree_->open_shut(path); };
  // The walk shares the root: its open directories are of use later.
  Walk walk(std::shared_ptr<Root>(taker, &self.tree_->root()), self.filter_, std::move(listener));
  while (!walk.ended()) {
    std::optional<Entry> entry = walk.next();
    ++self.voice_.progress().worked;
    if (entry) {
      self.share_.add(bytes_of(*entry));
      self.have_.push_back(std::move(*entry));
    } else {
      co_await let_others_run();
    }
  }
  self.have_complete_ = walk.complete();
  if (self.options_.dry_run) co_return;
  std::size_t count = 0;
  for (const std::string& path : temporaries) {
    self.reap(path);
    if (++count % entries_between_yields == 0) co_await self.voice_.breath();
  }
}

void Taker::reap(const std::string& path) {
  auto reaped = Reaped::in_use;
  try {
    reaped = tree_->reap(path);
  } catch (const FileError&) {} // it was only in the way of tidiness
  if (reaped == Reaped::removed) {
    voice_.note(Note::Kind::deleted, path, "a sync that died left it");
  } else if (reaped == Reaped::not_ours) {
    voice_.note(Note::Kind::skipped, path, has_temporary_name);
  }
}

void Taker::keep_what_holds(std::string_view path) {
  if (!options_.delete_extra) return;
  for (std::string_view directory = parent_of(path); !directory.empty(); directory = parent_of(directory)) {
    if (!kept_.emplace(directory).second) return;
    share_.add(sizeof(std::string) + directory.size());
  }
}

// What the Giver says.

awaitable<void> Taker::hear(Pointer taker) {
  co_await look_around(taker);
  Taker& self = *taker;
  self.planner_.emplace(self.have_, self.options_.checksum);
  for (;;) {
    const result<std::optional<Fragment>> heard = co_await as_result(self.control_.receive());
    ++self.voice_.progress().heard;
    if (self.voice_.is_finishing()) co_return; // everything is done here, however the Giver goes
    if (!heard) throw boost::system::system_error(heard.error());
    const std::optional<Fragment>& fragment = *heard;
    if (!fragment) throw_protocol("the far side stopped in the middle of the sync");
    switch (fragment->op) {
      case op::listing: co_await self.hear_listing(read_message<wire::Listing>(*fragment)); break;
      case op::listing_end: self.hear_listing_end(read_message<wire::ListingEnd>(*fragment)); break;
      case op::withheld: {
        const auto withheld = read_message<wire::Withheld>(*fragment);
        co_await self.wants_.last_arrival(withheld.index());
        self.hear_withheld(withheld);
        break;
      }
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
    steps_ += filter_.steps(from.path());
    const std::string wrong = reader_.read(std::move(from), entry);
    voice_.progress().entries_listed = reader_.entries_count();
    if (!wrong.empty()) {
      std::string text = "entry \"" + printable(entry.path) + "\" is refused: it " + wrong;
      voice_.note(Note::Kind::error, std::exchange(entry.path, {}), std::move(text));
    }
    entries_.push_back(std::move(entry));
    wants_.add_entry();
    if (wrong.empty()) co_await take_entry(entries_.size() - 1);
    if (entries_.size() % entries_between_yields != 0 && steps_ < Filter::steps_between_yields) continue;
    steps_ = 0;
    co_await voice_.breath();
  }
}

void Taker::hear_listing_end(const wire::ListingEnd& end) {
  if (wants_.listing_ended()) throw_protocol("two ends of a listing");
  if (end.entries() != entries_.size())
    throw_protocol("listing of " + std::to_string(entries_.size()) + " entries claims " +
                   std::to_string(end.entries()));
  listing_complete_ = end.complete();
  voice_.progress().totals_known = true;
  voice_.say_totals();
  wants_.end_listing();
}

void Taker::hear_withheld(const wire::Withheld& withheld) {
  const std::size_t index = withheld.index();
  wants_.withheld(index);
  const Entry& entry = entries_[index];
  switch (withheld.why()) {
    case wire::Withheld::SAME:
      if (attributes_differ_.contains(index)) {
        take_attributes(entry);
      } else {
        ++voice_.report().unchanged;
      }
      ++voice_.progress().files_done;
      voice_.progress().bytes_done += entry.size;
      break;
    case wire::Withheld::DIFFERENT:
      wants_.different(index);
      count_sent(index);
      break;
    default: { // UNREADABLE
      Note note;
      note.path = entry.path;
      note.text = printable_sentence(withheld.text());
      voice_.note_here(note);
    }
  }
  wants_.resolve(index);
}

awaitable<void> Taker::hear_notes(wire::Notes notes) {
  std::size_t count = 0;
  for (const wire::Note& from : notes.notes()) {
    Note note = from_wire(from);
    note.text = printable_sentence(note.text);
    voice_.note_here(note);
    if (++count % entries_between_yields == 0) co_await let_others_run();
  }
}

// One entry of the listing.

awaitable<void> Taker::take_entry(std::size_t index) {
  const Decision decision = planner_->next(entries_[index]);
  Entry& entry = entries_[index];
  if (decision.in_the_way == InTheWay::full_directory) {
    blocked_.push_back(index);
    co_return;
  }
  if (entry.type == EntryType::directory) {
    take_directory(index, decision);
    co_return;
  }
  switch (decision.step) {
    case Step::none: ++voice_.report().unchanged; break;
    case Step::set_attributes: take_attributes(entry); break;
    case Step::make_symlink:
      if (decision.in_the_way == InTheWay::empty_directory) {
        take_symlink_for_directory(entry);
      } else {
        take_symlink(entry);
      }
      break;
    case Step::send_file:
      if (decision.in_the_way == InTheWay::empty_directory) replaces_directory_.insert(index);
      want_or_count(index, std::nullopt);
      break;
    case Step::compare_file: {
      if (decision.attributes_differ) attributes_differ_.insert(index);
      std::optional<Digest> ours = co_await digest_of_ours(entry.path);
      want_or_count(index, std::move(ours));
      break;
    }
    case Step::make_directory: break; // directories are above
  }
}

void Taker::take_directory(std::size_t index, Decision decision) {
  const Entry& entry = entries_[index];
  const bool dry_run = options_.dry_run;
  switch (decision.step) {
    case Step::make_directory: {
      const bool in_the_way = decision.in_the_way != InTheWay::nothing;
      if (!dry_run && !attempt(entry.path, [&] { tree_->make_directory(entry, in_the_way); })) return;
      voice_.note(Note::Kind::directory, entry.path);
      break;
    }
    case Step::set_attributes:
      if (!dry_run && !attempt(entry.path, [&] { tree_->open_directory(entry); })) return;
      voice_.note(Note::Kind::attributes, entry.path);
      break;
    default:
      ++voice_.report().unchanged;
      // Its mode is the one that it will have: only one that shuts out its owner is in the way now.
      if (!dry_run && (entry.mode & 0700) != 0700 && !attempt(entry.path, [&] { tree_->open_directory(entry); }))
        return;
  }
  directories_.push_back(index);
}

void Taker::take_symlink(Entry& entry) {
  if (!options_.dry_run && !attempt(entry.path, [&] { tree_->make_symlink(entry); })) return;
  share_.give_back(entry.target.size());
  voice_.note(Note::Kind::symlink, entry.path, std::exchange(entry.target, {}));
}

/// An empty directory makes room at once for a symlink; for a file when the file is whole.
void Taker::take_symlink_for_directory(Entry& entry) {
  if (!options_.dry_run && !attempt(entry.path, [&] {
        if (tree_->remove(entry.path, EntryType::directory) == Tree::Removal::not_empty)
          throw FileError("replace the directory", entry.path, ENOTEMPTY);
      }))
    return;
  take_symlink(entry);
}

void Taker::take_attributes(const Entry& entry) {
  if (!options_.dry_run && !attempt(entry.path, [&] { tree_->set_attributes(entry); })) return;
  voice_.note(Note::Kind::attributes, entry.path);
}

void Taker::want(std::size_t index, std::optional<Digest> ours) {
  count_on(index);
  wants_.want(index, std::move(ours));
}

/// A dry run that would send the content, whatever the Giver has, only counts it.
void Taker::want_or_count(std::size_t index, std::optional<Digest> ours) {
  if (ours || !options_.dry_run) return want(index, std::move(ours));
  count_on(index);
  count_sent(index);
}

void Taker::count_on(std::size_t index) {
  Progress& progress = voice_.progress();
  ++progress.files_total;
  progress.bytes_total = add(progress.bytes_total, entries_[index].size);
}

/// What a dry run would send.
void Taker::count_sent(std::size_t index) {
  ++voice_.progress().files_done;
  voice_.note(Note::Kind::sent, entries_[index].path, {}, entries_[index].size);
}

awaitable<std::optional<Digest>> Taker::digest_of_ours(std::string path) {
  // A file of ours that cannot be read is simply wanted.
  try {
    const FileDigest found = co_await digest_file(budget_, tree_->root().directory(parent_of(path)),
                                                  std::string(name_of(path)), voice_.shared_progress());
    if (found.unchanged) co_return found.digest;
  } catch (const FileError&) {}
  co_return std::nullopt;
}

// The end.

awaitable<void> Taker::finish(TaskGroup group) {
  co_await wants_.all_resolved();
  if (!blocked_.empty() && options_.delete_extra && why_not_delete().empty()) {
    co_await delete_extras();
    take_blocked(true);
    co_await wants_.all_resolved();
  } else {
    take_blocked(false);
    co_await delete_extras();
  }
  co_await finish_directories();
  co_await voice_.say_done();
  group.cancel();
}

std::string Taker::why_not_delete() const {
  if (!listing_complete_) return "the source was not listed completely";
  if (!have_complete_) return "the destination could not be read completely";
  if (voice_.report().errors > 0) return "there were errors";
  return {};
}

awaitable<void> Taker::delete_extras() {
  std::vector<std::size_t> extras = planner_->extras();
  if (!options_.delete_extra) extras.clear();
  const std::string why_not = why_not_delete();
  if (!extras.empty() && !why_not.empty()) {
    voice_.note(Note::Kind::skipped, "", "nothing is deleted: " + why_not);
    co_return;
  }
  std::size_t count = 0;
  for (auto index = extras.rbegin(); index != extras.rend(); ++index) { // what is in a directory before the directory
    const Entry& extra = have_[*index];
    if (++count % entries_between_yields == 0) co_await voice_.breath();
    auto removal = kept_.contains(extra.path) ? Tree::Removal::not_empty : Tree::Removal::removed;
    if (removal == Tree::Removal::removed && !options_.dry_run &&
        !attempt(extra.path, [&] { removal = tree_->remove(extra.path, extra.type); }))
      continue;
    if (removal == Tree::Removal::removed) {
      voice_.note(Note::Kind::deleted, extra.path);
    } else if (removal == Tree::Removal::not_empty) {
      voice_.note(Note::Kind::skipped, extra.path,
                  kept_.contains(extra.path) ? "not deleted, something that is left alone is in it"
                                             : "not deleted, something new is in it");
    }
  }
}

/// What has the name of a directory that was full; deletions have emptied it, or nothing can be done.
void Taker::take_blocked(bool emptied) {
  for (const std::size_t index : blocked_) {
    Entry& entry = entries_[index];
    if (!emptied) {
      voice_.note(Note::Kind::error, entry.path,
                  "cannot replace the directory \"" + printable(entry.path) +
                      "\": it is not empty, and nothing was to be deleted");
      continue;
    }
    if (entry.type == EntryType::symlink) {
      take_symlink_for_directory(entry);
    } else {
      if (!options_.dry_run) replaces_directory_.insert(index);
      want_or_count(index, std::nullopt);
    }
  }
}

awaitable<void> Taker::finish_directories() {
  if (options_.dry_run) co_return;
  std::size_t count = 0;
  for (auto index = directories_.rbegin(); index != directories_.rend(); ++index) {
    const Entry& entry = entries_[*index];
    if (++count % entries_between_yields == 0) co_await voice_.breath();
    attempt(entry.path, [&] { tree_->finish_directory(entry); });
  }
  if (tree_) tree_->shut_again();
}

} // namespace

awaitable<Report> take(Circuit& control, CircuitInbox& circuits, std::shared_ptr<Root> root, Options options,
                       Watch watch, Tuning tuning, std::function<std::uint64_t()> random,
                       std::shared_ptr<SharedBudget> budget) {
  const auto taker = std::make_shared<Taker>(control, std::move(root), std::move(options), std::move(watch), tuning,
                                             std::move(random), std::move(budget));
  TaskGroup group(co_await asio::this_coro::executor);
  Taker::start(taker, circuits, group);
  co_await group.join();
  co_return taker->report();
}

} // namespace trunkline::sync

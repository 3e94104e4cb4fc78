#include "services/sync/taker.hpp"

#include "async/task_group.hpp"
#include "async/within.hpp"
#include "services/sync/arrival.hpp"
#include "services/sync/file_digest.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/path.hpp"
#include "services/sync/plan.hpp"
#include "services/sync/taker_voice.hpp"
#include "services/sync/tree.hpp"
#include "services/sync/walk.hpp"
#include "services/sync/want_list.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>

#include <unistd.h>

#include <cerrno>
#include <deque>
#include <limits>
#include <optional>
#include <stdexcept>
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
        std::function<std::uint64_t()> random, std::shared_ptr<Budgets> budgets, std::string place)
      : control_(control), options_(std::move(options)), filter_(options_.rules, options_.delete_excluded),
        directory_rules_(filter_), budgets_(std::move(budgets)), share_(budgets_), voice_(control, std::move(watch)),
        wants_(tuning.files_outstanding_max, options_.dry_run, voice_, budgets_), place_(std::move(place)),
        reader_(filter_, tuning.entries_max, share_) {
    if (root) {
      tree_.emplace(std::move(root), std::move(random));
      if (options_.backup) tree_->keep_backups(options_.backup_root, options_.backup_suffix);
    }
    voice_.report().circuits = 1;
    if (tree_ && !options_.dry_run) {
      wants_.look_again([this](std::size_t index) { return is_there(index); },
                        [this](std::size_t index) { return join(place_, entries_[index].path); });
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
  bool is_passed_over(const Entry& entry) const;
  bool is_linked(const Entry& entry, bool is_same);
  std::uint8_t changes_of(const Entry& entry, const Decision& decision) const;
  void say(Note::Kind kind, std::size_t index, std::uint8_t changes, std::string text = {}, std::uint64_t bytes = 0);
  void count_owner(const Entry& entry, const Decision& decision);
  void take_directory(std::size_t index, Decision decision);
  void count_directory(std::size_t index, Step step);
  bool is_shut_out(const Entry& entry);
  void say_shut_out();
  void take_symlink(std::size_t index);
  void take_symlink_for_directory(std::size_t index);
  void take_attributes(std::size_t index);
  void want(std::size_t index, std::optional<Digest> ours);
  bool is_there(std::size_t index);
  void want_or_count(std::size_t index, std::optional<Digest> ours);
  void count_on(std::size_t index);
  void count_sent(std::size_t index);
  awaitable<std::optional<Digest>> digest_of_ours(std::string path);
  template <class Action> bool attempt(const std::string& path, Action&& action);

  // The end.
  awaitable<void> finish(TaskGroup group);
  std::string why_not_delete() const;
  awaitable<void> delete_extras();
  void protect(std::vector<std::size_t>& extras);
  void take_blocked(bool emptied);
  awaitable<void> finish_directories();

  Circuit& control_;
  const Options options_;
  const Filter filter_;
  DirectoryRules directory_rules_; // of the files that are here
  const std::shared_ptr<Budgets> budgets_;
  ListingShare share_;
  std::optional<Tree> tree_; // none: a dry run into nothing
  TakerVoice voice_;
  WantList wants_;
  const std::string place_;

  std::vector<Entry> have_;               // what is here, before anything changes
  std::unordered_set<std::string> kept_;  // directories with something in them that is left alone
  bool have_complete_ = true;

  ListingReader reader_;
  std::optional<Planner> planner_;
  std::deque<Entry> entries_; // of the Giver; a refused one without its path, a symlink that is made without its target
  std::vector<std::pair<std::size_t, Step>> directories_; // to be finished, and counted then
  std::vector<std::uint8_t> changes_; // one for each entry
  std::optional<std::size_t> closed_; // the last directory that could not be made
  std::uint64_t shut_out_count_ = 0; // entries below it
  std::vector<std::size_t> blocked_; // a directory with something in it has their name
  std::unordered_set<std::size_t> replaces_directory_;
  std::unordered_set<std::size_t> attributes_differ_; // beside the content, of files that are compared
  std::size_t steps_ = 0; // of the filter, since others had their turn
  bool listing_complete_ = false;
  std::uint64_t deletions_count_ = 0;
  std::size_t changing_count_ = 0; // files that could not be read as they were at one time, each an error
};

void Taker::start(const Pointer& taker, CircuitInbox& circuits, TaskGroup group) {
  group.spawn(hear(taker));
  group.spawn(keep(taker, taker->voice_.speak()));
  group.spawn(keep(taker, taker->wants_.revisit()));
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
  Arrival arrival(taker->tree_ ? &*taker->tree_ : nullptr, taker->entries_, taker->changes_, taker->replaces_directory_,
                  taker->wants_, taker->voice_, taker->budgets_);
  co_await arrival.take(std::move(circuit));
}

// What is here.

awaitable<void> Taker::look_around(Pointer taker) {
  Taker& self = *taker;
  if (!self.options_.link_dest.empty() && !self.options_.link_root)
    self.voice_.note(Note::Kind::warning, "",
                     '"' + printable(self.options_.link_dest) + "\" is not there: nothing is linked to it");
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
  WalkScope scope;
  scope.for_taker = true;
  scope.one_file_system = self.options_.one_file_system;
  if (self.options_.backup_root) { // wherever it lies, what is kept there is not deleted
    const Status kept = self.options_.backup_root->directory("")->own_status();
    scope.left_alone.emplace(kept.device, kept.inode);
  }
  // The walk shares the root: its open directories are of use later.
  Walk walk(std::shared_ptr<Root>(taker, &self.tree_->root()), self.filter_, std::move(listener), scope);
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
    changes_.push_back(0);
    if (wrong.empty() && !is_shut_out(entries_.back())) co_await take_entry(entries_.size() - 1);
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
  say_shut_out();
  listing_complete_ = end.complete();
  const std::uint64_t owners = voice_.report().not_kept.owners;
  voice_.report().not_kept = from_wire(end.not_kept());
  voice_.report().not_kept.owners = owners;
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
        take_attributes(index);
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
    default: { // UNREADABLE, GONE, CHANGING
      // What is there of a file that changes is kept, and says nothing about what may be deleted.
      if (withheld.why() == wire::Withheld::CHANGING) ++changing_count_;
      Note note;
      if (withheld.why() == wire::Withheld::GONE) note.kind = Note::Kind::vanished;
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

/// What an option leaves as it is, in rsync's order.
bool Taker::is_passed_over(const Entry& entry) const {
  const Entry* const here = planner_->found();
  const bool is_directory = entry.type == EntryType::directory;
  if (options_.existing && !here) return true;
  if (options_.ignore_existing && here && !(is_directory && here->type == EntryType::directory)) return true;
  if (entry.type != EntryType::file) return false;
  if (options_.size_max && entry.size > *options_.size_max) return true;
  if (options_.size_min && entry.size < *options_.size_min) return true;
  return options_.update && here && here->type == EntryType::file && entry.mtime.seconds < here->mtime.seconds;
}

/// The same file in another tree of this side takes the place of one that would be sent, or that is the same already.
bool Taker::is_linked(const Entry& entry, bool is_same) {
  if (!options_.link_root || options_.checksum) return false;
  try {
    const std::shared_ptr<Directory> at = options_.link_root->directory(parent_of(entry.path));
    const std::optional<Status> there = at->status(std::string(name_of(entry.path)));
    if (!there || !there->is_file() || there->size != entry.size || there->mtime != entry.mtime ||
        (there->mode & 07777) != (entry.mode & mode_bits))
      return false;
    if (const Entry* const here = planner_->found(); here && here->type == EntryType::file && tree_) {
      const std::optional<Status> ours =
          tree_->root().directory(parent_of(entry.path))->status(std::string(name_of(entry.path)));
      if (ours && ours->device == there->device && ours->inode == there->inode) return false;
    }
    if (!options_.dry_run) tree_->link_file(entry.path, *at, is_same);
  } catch (const FileError&) {
    return false; // it is sent, then, and says what is wrong with this side if it meets it
  }
  ++voice_.report().linked;
  return true;
}

/// What a sync is about to change of an entry.
std::uint8_t Taker::changes_of(const Entry& entry, const Decision& decision) const {
  const Entry* const here = planner_->found();
  if (!here || here->type != entry.type) return Changes::is_new;
  std::uint8_t changes = 0;
  if (entry.type == EntryType::file && entry.size != here->size) changes |= Changes::size;
  if (entry.mtime != here->mtime) changes |= Changes::time;
  if (entry.type != EntryType::symlink && (entry.mode & mode_bits) != here->mode) changes |= Changes::mode;
  if (decision.step == Step::compare_file || decision.step == Step::make_symlink) changes |= Changes::content;
  return changes;
}

void Taker::say(Note::Kind kind, std::size_t index, std::uint8_t changes, std::string text, std::uint64_t bytes) {
  Note note;
  note.kind = kind;
  note.path = entries_[index].path;
  note.type = entries_[index].type;
  note.text = std::move(text);
  note.bytes = bytes;
  note.changes = changes;
  voice_.note(std::move(note));
}

/// What is made here belongs to whoever runs this; what stays has the owner that it had.
void Taker::count_owner(const Entry& entry, const Decision& decision) {
  const Entry* const here = planner_->found();
  const bool stays = here && here->type == entry.type && decision.step != Step::send_file &&
                     decision.step != Step::make_symlink && decision.step != Step::make_directory;
  const std::uint32_t owner = stays ? here->owner : ::geteuid();
  const std::uint32_t group = stays ? here->group : ::getegid();
  if (entry.owner != owner || entry.group != group) ++voice_.report().not_kept.owners;
}

awaitable<void> Taker::take_entry(std::size_t index) {
  const Decision decision = planner_->next(entries_[index]);
  Entry& entry = entries_[index];
  if (is_passed_over(entry)) {
    ++voice_.report().passed_over;
    co_return;
  }
  changes_[index] = changes_of(entry, decision);
  count_owner(entry, decision);
  if (decision.in_the_way == InTheWay::full_directory) {
    blocked_.push_back(index);
    co_return;
  }
  if (entry.type == EntryType::directory) {
    take_directory(index, decision);
    co_return;
  }
  switch (decision.step) {
    case Step::none:
      if (entry.type != EntryType::file || !is_linked(entry, true)) ++voice_.report().unchanged;
      break;
    case Step::set_attributes:
      if (entry.type != EntryType::file || !is_linked(entry, true)) take_attributes(index);
      break;
    case Step::make_symlink:
      if (decision.in_the_way == InTheWay::empty_directory) {
        take_symlink_for_directory(index);
      } else {
        take_symlink(index);
      }
      break;
    case Step::send_file:
      if (decision.in_the_way != InTheWay::empty_directory && is_linked(entry, false)) break;
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
      if (!dry_run && !attempt(entry.path, [&] { tree_->make_directory(entry, in_the_way); })) {
        closed_ = index;
        return;
      }
      say(Note::Kind::directory, index, changes_[index]);
      break;
    }
    default:
      // Its mode may be the one that it will have: only one that shuts out its owner is in the way now.
      const bool has_to_open = decision.step == Step::set_attributes || (entry.mode & 0700) != 0700;
      if (!dry_run && has_to_open && !attempt(entry.path, [&] { tree_->open_directory(entry); })) {
        closed_ = index;
        return;
      }
  }
  if (!dry_run) {
    directories_.push_back({index, decision.step});
  } else if (decision.step != Step::make_directory) {
    count_directory(index, decision.step);
  }
}

void Taker::count_directory(std::size_t index, Step step) {
  if (step == Step::none) ++voice_.report().unchanged;
  if (step == Step::set_attributes) say(Note::Kind::attributes, index, changes_[index]);
}

/// What lies in a directory that could not be made has no trouble of its own.
bool Taker::is_shut_out(const Entry& entry) {
  if (!closed_) return false;
  if (!is_below(entry.path, entries_[*closed_].path)) {
    say_shut_out();
    return false;
  }
  ++shut_out_count_;
  return true;
}

void Taker::say_shut_out() {
  if (closed_ && shut_out_count_ > 0)
    voice_.note(Note::Kind::skipped, entries_[*closed_].path,
                std::to_string(shut_out_count_) + " entries in it, which cannot be entered");
  closed_.reset();
  shut_out_count_ = 0;
}

void Taker::take_symlink(std::size_t index) {
  Entry& entry = entries_[index];
  if (!options_.dry_run && !attempt(entry.path, [&] { tree_->make_symlink(entry); })) return;
  share_.give_back(entry.target.size());
  say(Note::Kind::symlink, index, changes_[index], std::exchange(entry.target, {}));
}

/// An empty directory makes room at once for a symlink; for a file when the file is whole.
void Taker::take_symlink_for_directory(std::size_t index) {
  const Entry& entry = entries_[index];
  if (!options_.dry_run && !attempt(entry.path, [&] {
        if (tree_->remove(entry.path, EntryType::directory) == Tree::Removal::not_empty)
          throw FileError("replace the directory", entry.path, ENOTEMPTY);
      }))
    return;
  take_symlink(index);
}

void Taker::take_attributes(std::size_t index) {
  const Entry& entry = entries_[index];
  if (!options_.dry_run && !attempt(entry.path, [&] { tree_->set_attributes(entry); })) return;
  say(Note::Kind::attributes, index, changes_[index] & (Changes::time | Changes::mode));
}

void Taker::want(std::size_t index, std::optional<Digest> ours) {
  count_on(index);
  wants_.want(index, std::move(ours));
}

/// Another sync may have brought a file since this one looked around.
bool Taker::is_there(std::size_t index) {
  if (options_.checksum) return false; // size and time prove nothing then
  const Entry& entry = entries_[index];
  try {
    const auto found = tree_->root().directory(parent_of(entry.path))->status(std::string(name_of(entry.path)));
    if (!found || !found->is_file() || found->size != entry.size || found->mtime != entry.mtime ||
        (found->mode & 07777) != (entry.mode & mode_bits))
      return false;
  } catch (const FileError&) {
    return false;
  }
  ++voice_.report().unchanged;
  ++voice_.progress().files_done;
  voice_.progress().bytes_done = add(voice_.progress().bytes_done, entry.size);
  return true;
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
  say(Note::Kind::sent, index, changes_[index], {}, entries_[index].size);
}

awaitable<std::optional<Digest>> Taker::digest_of_ours(std::string path) {
  // A file of ours that cannot be read is simply wanted.
  try {
    const FileDigest found = co_await digest_file(budgets_, tree_->root().directory(parent_of(path)),
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
  if (voice_.report().errors > changing_count_) return "there were errors";
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
  protect(extras);
  std::size_t count = 0;
  for (auto index = extras.rbegin(); index != extras.rend(); ++index) { // what is in a directory before the directory
    const Entry& extra = have_[*index];
    if (++count % entries_between_yields == 0) co_await voice_.breath();
    if (options_.deletions_max && deletions_count_ >= *options_.deletions_max) { // and what holds it comes later
      ++voice_.report().not_deleted;
      continue;
    }
    auto removal = kept_.contains(extra.path) ? Tree::Removal::not_empty : Tree::Removal::removed;
    if (removal == Tree::Removal::removed && !options_.dry_run &&
        !attempt(extra.path, [&] { removal = tree_->remove(extra.path, extra.type); }))
      continue;
    if (removal == Tree::Removal::removed) {
      ++deletions_count_;
      Note note;
      note.kind = Note::Kind::deleted;
      note.path = extra.path;
      note.type = extra.type;
      voice_.note(std::move(note));
    } else if (removal == Tree::Removal::not_empty) {
      voice_.note(Note::Kind::skipped, extra.path,
                  kept_.contains(extra.path) ? "not deleted, something that is left alone is in it"
                                             : "not deleted, something new is in it");
    }
  }
  if (voice_.report().not_deleted > 0)
    voice_.note(Note::Kind::skipped, "",
                std::to_string(voice_.report().not_deleted) + " more are not deleted: the limit is " +
                    std::to_string(*options_.deletions_max));
}

/// Takes out of what is not in the source whatever a rule protects, with everything in it, and keeps what holds that.
void Taker::protect(std::vector<std::size_t>& extras) {
  const auto read = [this](const std::string& directory, const std::string& name) {
    return tree_ ? read_small_file(tree_->root(), directory, name, Filter::file_bytes_max + 1) : std::nullopt;
  };
  std::string kept; // the last directory that is protected
  std::string deleted; // the last one that is not, to tell what is in it
  std::erase_if(extras, [&](std::size_t index) {
    const Entry& extra = have_[index];
    const bool is_directory = extra.type == EntryType::directory;
    if (!kept.empty() && is_below(extra.path, kept)) return true;
    const bool is_in_deleted = !deleted.empty() && is_below(extra.path, deleted);
    try { // a directory that is deleted has a say about what is in it, too
      directory_rules_.enter_all(std::string(parent_of(extra.path)), read);
    } catch (const std::invalid_argument& refused) {
      throw Failure(Failure::Kind::denied, refused.what());
    }
    if (filter_.protects(extra.path, is_directory, directory_rules_, is_in_deleted)) {
      keep_what_holds(extra.path);
      if (is_directory) kept = extra.path;
      return true;
    }
    if (is_directory && !is_in_deleted) deleted = extra.path;
    return false;
  });
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
      take_symlink_for_directory(index);
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
    const Entry& entry = entries_[index->first];
    if (++count % entries_between_yields == 0) co_await voice_.breath();
    if (attempt(entry.path, [&] { tree_->finish_directory(entry); })) count_directory(index->first, index->second);
  }
  if (tree_) tree_->shut_again();
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

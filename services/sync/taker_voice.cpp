#include "services/sync/taker_voice.hpp"

#include "async/clock.hpp"
#include "async/task_group.hpp"
#include "async/within.hpp"

#include <utility>

namespace trunkline::sync {
namespace {

constexpr std::size_t notes_per_message = 256;
constexpr std::size_t notes_pending_max = 4096;
constexpr std::size_t notes_pending_bytes_max = 256 * 1024; // and what one message or one turn adds
constexpr std::size_t text_bytes_max = 8192; // of a note, so that a batch of them stays a small message

} // namespace

void TakerVoice::note(Note note) {
  report_.count(note);
  if (note.text.size() > text_bytes_max) note.text.resize(text_bytes_max);
  to_wire(note, *notes_pending_.add_notes());
  notes_pending_bytes_ += note.path.size() + note.text.size();
  watch_.note(note);
  outgoing_.notify_all();
}

void TakerVoice::note(Note::Kind kind, std::string path, std::string text, std::uint64_t bytes) {
  Note made;
  made.kind = kind;
  made.path = std::move(path);
  made.text = std::move(text);
  made.bytes = bytes;
  note(std::move(made));
}

void TakerVoice::note_here(const Note& note) {
  switch (note.kind) {
    case Note::Kind::error:
    case Note::Kind::skipped:
    case Note::Kind::vanished:
    case Note::Kind::warning: report_.count(note); break;
    default: break; // what is done is done on this side, and counted when it is
  }
  watch_.note(note);
}

void TakerVoice::want(std::size_t index) {
  want_pending_.add_files()->set_index(index);
  outgoing_.notify_all();
}

void TakerVoice::compare(std::size_t index, const Digest& ours, bool compare_only, std::uint64_t seed) {
  compare_pending_.set_compare_only(compare_only);
  compare_pending_.set_seed(seed);
  compare_pending_.add_indices(compare_differences_.difference(index));
  compare_pending_.mutable_digests()->append(ours.bytes());
  outgoing_.notify_all();
}

void TakerVoice::want_again(std::size_t index) {
  wire::Want::File& file = *want_pending_.add_files();
  file.set_index(index);
  file.set_again(true);
  outgoing_.notify_all();
}

void TakerVoice::say_room(std::size_t compared, const std::vector<std::size_t>& kept, std::size_t resolved) {
  for (const std::size_t index : kept) {
    room_pending_.add_kept(index - room_kept_last_);
    room_kept_last_ = index;
  }
  room_pending_.set_compared(compared);
  room_pending_.set_resolved(resolved);
  outgoing_.notify_all();
}

void TakerVoice::say_totals() {
  totals_pending_ = true;
  outgoing_.notify_all();
}

bool TakerVoice::has_something_to_say() const noexcept {
  return want_pending_.files_size() > 0 || compare_pending_.indices_size() > 0 || notes_pending_.notes_size() > 0 || totals_pending_ ||
         room_pending_.compared() > 0;
}

awaitable<void> TakerVoice::speak() {
  for (;;) {
    const bool alive = std::exchange(alive_pending_, false) && !finishing_;
    saying_ = has_something_to_say() || alive;
    if (!saying_) {
      outgone_.notify_all();
      co_await outgoing_.wait();
      continue; // what gathered meanwhile goes together
    }
    const bool notes = notes_pending_.notes_size() > 0;
    if (want_pending_.files_size() > 0) co_await say_want();
    if (compare_pending_.indices_size() > 0) co_await say_compare();
    if (room_pending_.compared() > 0) {
      const wire::Room room = std::exchange(room_pending_, wire::Room());
      room_kept_last_ = 0;
      co_await send_message(control_, op::room, room);
    }
    if (std::exchange(totals_pending_, false)) {
      wire::Totals totals;
      totals.set_files(progress().files_total);
      totals.set_bytes(progress().bytes_total);
      co_await send_message(control_, op::totals, totals);
    }
    if (notes) {
      co_await say_notes();
    } else if (alive) {
      co_await send_message(control_, op::notes, wire::Notes());
    }
    outgone_.notify_all();
  }
}

awaitable<void> TakerVoice::say_want() {
  const wire::Want want = std::exchange(want_pending_, wire::Want());
  co_await send_message(control_, op::want, want);
}

awaitable<void> TakerVoice::say_compare() {
  const wire::Compare compare = std::exchange(compare_pending_, wire::Compare());
  compare_differences_ = IndexDifferences();
  co_await send_message(control_, op::compare, compare);
}

awaitable<void> TakerVoice::say_notes() {
  const wire::Notes gathered = std::exchange(notes_pending_, wire::Notes());
  notes_pending_bytes_ = 0;
  wire::Notes batch;
  std::size_t bytes = 0;
  for (const wire::Note& note : gathered.notes()) {
    *batch.add_notes() = note;
    bytes += note.path().size() + note.text().size();
    const bool full = batch.notes_size() >= static_cast<int>(notes_per_message) || bytes >= batch_bytes;
    if (!full && &note != &*gathered.notes().rbegin()) continue;
    co_await send_message(control_, op::notes, batch);
    batch.Clear();
    bytes = 0;
  }
}

awaitable<void> TakerVoice::say_alive() {
  for (;;) {
    const std::uint64_t worked = progress().worked;
    co_await sleep_for(alive_interval);
    if (progress().worked == worked || finishing_) continue;
    alive_pending_ = true;
    outgoing_.notify_all();
  }
}

awaitable<void> TakerVoice::breath() {
  ++progress().worked;
  co_await let_others_run();
  while (notes_pending_.notes_size() > static_cast<int>(notes_pending_max) ||
         notes_pending_bytes_ > notes_pending_bytes_max)
    co_await outgone_.wait();
}

awaitable<void> TakerVoice::say_done() {
  while (saying_ || has_something_to_say()) co_await outgone_.wait();
  finishing_ = true;
  wire::Done done;
  to_wire(report_, done);
  co_await send_message(control_, op::done, done);
  control_.finish();
  // The Giver may be gone by the time it could acknowledge; everything is done here in any case.
  co_await as_result(control_.finish_acknowledged());
}

} // namespace trunkline::sync

// What a Taker says: to the Giver over the control circuit, to whoever watches here, and in the report.
#pragma once

#include "async/signal.hpp"
#include "async/types.hpp"
#include "circuit/circuit.hpp"
#include "proto/sync.pb.h"
#include "services/sync/digest.hpp"
#include "services/sync/messages.hpp"
#include "services/sync/report.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace trunkline::sync {

/// Gathers what there is to say and sends it in batches, so that saying something never waits. One executor; the
/// control circuit must outlive it.
class TakerVoice {
 public:
  TakerVoice(Circuit& control, Watch watch) : control_(control), watch_(std::move(watch)) {}
  TakerVoice(const TakerVoice&) = delete;
  TakerVoice& operator=(const TakerVoice&) = delete;

  /// Counts in the report what was done, and tells both sides.
  void note(Note note);
  void note(Note::Kind kind, std::string path, std::string text = {}, std::uint64_t bytes = 0);
  /// The same for what the Giver knows already: only this side is told, and only trouble is counted.
  void note_here(const Note& note);
  /// A file's content.
  void want(std::size_t index);
  /// The same if the Giver's content has another digest; or only whether it has. All of a sync with one seed.
  void compare(std::size_t index, const Digest& ours, bool compare_only, std::uint64_t seed);
  /// All of the content after all.
  void want_again(std::size_t index);
  /// Entries below `compared` are compared. Of those behind the last ones that were said so, these may be wanted yet,
  /// and nothing below `resolved` is.
  void say_room(std::size_t compared, const std::vector<std::size_t>& kept, std::size_t resolved);
  /// The totals of the progress will not grow any more.
  void say_totals();

  /// Sends what gathers. Runs until it is cancelled.
  awaitable<void> speak();
  /// Tells a far side that waits for us that this side works. Runs until it is cancelled.
  awaitable<void> say_alive();
  /// Lets others run; waits while the Giver does not read what was said, so that notes do not pile up without end.
  awaitable<void> breath();
  /// Sends the report, behind everything else, and finishes the control circuit.
  awaitable<void> say_done();
  /// From the moment on when nothing is left but the report.
  bool is_finishing() const noexcept { return finishing_; }

  Report& report() noexcept { return report_; }
  const Report& report() const noexcept { return report_; }
  Progress& progress() const noexcept { return *watch_.progress; }
  const std::shared_ptr<Progress>& shared_progress() const noexcept { return watch_.progress; }

 private:
  bool has_something_to_say() const noexcept;
  awaitable<void> say_want();
  awaitable<void> say_compare();
  awaitable<void> say_notes();

  Circuit& control_;
  const Watch watch_;
  Report report_;
  wire::Want want_pending_;
  wire::Compare compare_pending_;
  IndexDifferences compare_differences_; // in it
  wire::Notes notes_pending_;
  std::size_t notes_pending_bytes_ = 0;
  wire::Room room_pending_; // where `compared` is set
  std::size_t room_kept_last_ = 0; // in it
  bool totals_pending_ = false;
  bool alive_pending_ = false; // nothing else was said for a while, and there was work
  bool saying_ = false;        // some of it is being sent
  bool finishing_ = false;
  Signal outgoing_; // one of the above has something to say
  Signal outgone_;
};

} // namespace trunkline::sync

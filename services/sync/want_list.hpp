// Which files of a listing a Taker wants, and where each of them stands.
#pragma once

#include "async/signal.hpp"
#include "async/types.hpp"
#include "services/sync/budgets.hpp"
#include "services/sync/digest.hpp"
#include "services/sync/taker_voice.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace trunkline::sync {

/// Asks for so many files at a time and no more: outstanding <= outstanding_max. Errors: Failure::Kind::protocol for
/// whatever a far side says about a file that does not stand where that would be right.
class WantList {
 public:
  /// compare_only: the digests decide, and no content is wanted. The voice must outlive it.
  WantList(std::size_t outstanding_max, bool compare_only, TakerVoice& voice, std::shared_ptr<Budgets> budgets)
      : outstanding_max_(outstanding_max), compare_only_(compare_only), voice_(voice), budgets_(std::move(budgets)) {}
  ~WantList();
  WantList(const WantList&) = delete;
  WantList& operator=(const WantList&) = delete;

  /// From now on a file is asked for only when `is_there` still says no, and when no other sync of these budgets is
  /// about to get what has the same key. `is_there` counts the file.
  void look_again(std::function<bool(std::size_t)> is_there, std::function<std::string(std::size_t)> key);
  bool is_there(std::size_t index) const { return is_there_ && is_there_(index); }
  /// A file that could be asked for now may be asked for by somebody else: true when it is, now or a little later.
  void ask_by(std::function<bool(std::size_t)> asks) { asks_ = std::move(asks); }
  /// Digests that come with a `want` are made with it.
  void set_seed(std::uint64_t seed) noexcept { seed_ = seed; }
  /// Called with each file of which nothing more comes, last of all.
  void on_resolved(std::function<void(std::size_t)> callback) { on_resolved_ = std::move(callback); }
  /// Asks for what others were about to get and did not bring, or not soon. Runs until it is cancelled.
  awaitable<void> revisit();

  /// With a digest, only if the Giver's content has another one.
  void want(std::size_t index, std::optional<Digest> ours);
  /// The file will be wanted once this side knows what it has of it: one of the next two follows.
  void expect(std::size_t index);
  void want_expected(std::size_t index, std::optional<Digest> ours);
  void settle_expected(std::size_t index);
  /// It may be wanted once everything is compared.
  void postpone(std::size_t index) { unresolved_.insert(index); }
  /// Files that are wanted and have not come.
  std::size_t unresolved_count() const noexcept { return expected_count_ + queued_.size() + outstanding_ + elsewhere_.size(); }
  /// Nothing below it is wanted any more.
  std::size_t resolved_below(std::size_t end) const;
  /// Those of [begin, end) that may be wanted yet.
  std::vector<std::size_t> unresolved(std::size_t begin, std::size_t end) const;
  /// The file is wanted and not resolved.
  bool awaits(std::size_t index) const { return unresolved_.contains(index); }
  void end_listing();
  bool listing_ended() const noexcept { return listing_ended_; }

  /// A circuit of a file is open here, or no longer.
  void add_circuit();
  void remove_circuit() noexcept { --circuits_count_; }
  /// The circuit of a file that is wanted has said which one it brings.
  void arriving(std::size_t index);
  /// What has come, or was said to be the same, is not what the Giver has: all of it has to come, once.
  void ask_again(std::size_t index);
  /// The Giver takes the file back and comes again, or says why not.
  void again(std::size_t index);
  /// No content of the file comes: it is the same here and there, or cannot be read.
  void withheld(std::size_t index) const;
  /// The contents differ, which is all that was asked.
  void different(std::size_t index) const;
  /// Nothing more comes of the file.
  void resolve(std::size_t index);

  /// Circuits have no order among each other: the end of a file's last circuit may be read after what follows it.
  awaitable<void> last_arrival(std::size_t index);
  /// The listing has ended and nothing is outstanding, here or in another sync that is about to get it.
  awaitable<void> all_resolved();

 private:
  /// wanted -> arriving, and back to wanted when the Giver has to read the file again; or compared. Before and after, it
  /// has none.
  enum class State : std::uint8_t { wanted, compared, arriving };
  struct Queued {
    std::size_t index = 0;
    std::optional<Digest> ours;
  };

  void ask();
  bool may_ask(const Queued& queued);
  void release(std::size_t index);
  void settle(std::size_t index);
  void check() const;
  bool is(std::size_t index, State state) const {
    const auto found = states_.find(index);
    return found != states_.end() && found->second == state;
  }

  const std::size_t outstanding_max_;
  const bool compare_only_;
  TakerVoice& voice_;
  std::unordered_map<std::size_t, State> states_; // of what is outstanding
  std::shared_ptr<Budgets> budgets_;
  std::function<bool(std::size_t)> is_there_;
  std::function<std::string(std::size_t)> key_;
  std::function<bool(std::size_t)> asks_;
  std::uint64_t seed_ = 0;
  std::unordered_map<std::size_t, std::string> claimed_; // by this sync, with their keys
  std::deque<Queued> queued_; // wanted once there is room
  std::deque<Queued> elsewhere_; // another sync is about to get it
  bool impatient_ = false; // with the other syncs
  std::size_t expected_count_ = 0; // files of which this side makes a digest
  std::set<std::size_t> unresolved_; // expected, queued, elsewhere, outstanding or postponed
  std::function<void(std::size_t)> on_resolved_;
  std::size_t outstanding_ = 0; // asked for and not resolved
  std::size_t circuits_count_ = 0;
  bool listing_ended_ = false;
  Signal changed_; // one is resolved or wanted again, or the listing ended
};

} // namespace trunkline::sync

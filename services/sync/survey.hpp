// What a Taker's tree holds before anything in it changes.
#pragma once

#include "async/types.hpp"
#include "services/sync/entry.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/options.hpp"
#include "services/sync/budgets.hpp"
#include "services/sync/partials.hpp"
#include "services/sync/taker_voice.hpp"
#include "services/sync/tree.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace trunkline::sync {

/// Walks the tree once, opens directories that shut us out, and clears away what dead runs have left,
/// but for what is worth going on from. Everything that
/// it is made with must outlive it.
class Survey {
 public:
  Survey(const Options& options, const Filter& filter, ListingShare& share, TakerVoice& voice, Partials& partials)
      : options_(options), filter_(filter), share_(share), voice_(voice), partials_(partials) {}
  Survey(const Survey&) = delete;
  Survey& operator=(const Survey&) = delete;

  /// Runs the walk, once. `owner` keeps the tree alive as long.
  /// Errors: Failure::Kind::denied when there is no room for the list, or for a file with rules that are not
  /// understood.
  awaitable<void> look_around(Tree& tree, std::shared_ptr<void> owner);

  /// Sorted; does not change any more after `look_around`.
  const std::vector<Entry>& have() const noexcept { return have_; }
  /// Everything that is here could be listed.
  bool complete() const noexcept { return complete_; }

  /// The directories above a path have something in them that is left alone: they are not to be deleted.
  void keep_what_holds(std::string_view path);
  bool keeps(const std::string& directory) const { return kept_.contains(directory); }

 private:
  void reap(Tree& tree, const std::string& path);

  const Options& options_;
  const Filter& filter_;
  ListingShare& share_;
  TakerVoice& voice_;
  Partials& partials_;
  std::vector<Entry> have_;
  std::unordered_set<std::string> kept_; // directories
  bool complete_ = true;
};

} // namespace trunkline::sync

// What a Taker's tree holds before a sync changes it, entry by entry as the sync gets there.
#pragma once

#include "async/types.hpp"
#include "services/sync/budgets.hpp"
#include "services/sync/entry.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/options.hpp"
#include "services/sync/partials.hpp"
#include "services/sync/taker_voice.hpp"
#include "services/sync/tree.hpp"
#include "services/sync/walk.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

namespace trunkline::sync {

/// Walks the tree once, opens directories that shut us out, and clears away what dead runs have left, but for what is
/// worth going on from. It meets a directory before anything comes into it. Everything that it is made with must
/// outlive it.
class Survey {
 public:
  Survey(const Options& options, const Filter& filter, ListingShare& share, TakerVoice& voice, Partials& partials)
      : options_(options), filter_(filter), share_(share), voice_(voice), partials_(partials) {}
  Survey(const Survey&) = delete;
  Survey& operator=(const Survey&) = delete;

  /// Once, before anything else. Without a tree nothing is here.
  void begin(Tree* tree);
  /// As Walk::next. Errors: Failure::Kind::denied when there is no room for what has to be remembered, or for a file
  /// with rules that are not understood; FileError for the top.
  std::optional<Entry> next() { return walk_ ? walk_->next() : std::nullopt; }
  bool ended() const noexcept { return !walk_ || walk_->ended(); }
  /// Everything that is here could be listed, as far as it has come.
  bool complete() const noexcept { return !walk_ || walk_->complete(); }

  /// Walks the whole tree as it is now, besides.
  awaitable<void> each_file(std::function<void(const Entry&)> met);

  /// The directories above a path have something in them that is left alone: they are not to be deleted.
  void keep_what_holds(std::string_view path);
  bool keeps(const std::string& directory) const { return kept_.contains(directory); }
  /// The source has something of this name that does not come: what has the name here is not deleted for that, nor is
  /// anything in it. Errors: Failure::Kind::denied when there is no room to remember it.
  void leave_alone(const std::string& path);
  bool leaves_alone(const std::string& path) const { return left_alone_.contains(path); }

 private:
  void meet_temporary(const std::string& path);
  WalkScope scope() const;

  const Options& options_;
  const Filter& filter_;
  ListingShare& share_;
  TakerVoice& voice_;
  Partials& partials_;
  Tree* tree_ = nullptr;
  std::optional<Walk> walk_;
  std::unordered_set<std::string> kept_; // directories
  std::unordered_set<std::string> left_alone_; // names of what does not come
};

} // namespace trunkline::sync

// The directories of a listing in the tree of a Taker: open while something may come into them, finished last.
#pragma once

#include "async/types.hpp"
#include "services/sync/incoming_listing.hpp"
#include "services/sync/plan.hpp"
#include "services/sync/taker_voice.hpp"
#include "services/sync/tree.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace trunkline::sync {

/// Everything that it is made with must outlive it.
class TakenDirectories {
 public:
  TakenDirectories(const IncomingListing& listing, std::optional<Tree>& tree, bool dry_run, TakerVoice& voice)
      : listing_(listing), tree_(tree), dry_run_(dry_run), voice_(voice) {}
  TakenDirectories(const TakenDirectories&) = delete;
  TakenDirectories& operator=(const TakenDirectories&) = delete;

  /// In ascending order.
  void take(std::size_t index, Decision decision);
  /// True when an entry lies in a directory that could not be made: it is only counted, and has no trouble of its own.
  bool shuts_out(const Entry& entry);
  /// No entry follows that may lie in one that could not be made.
  void end();
  /// Gives them their modes and times, once everything in them has come to rest.
  awaitable<void> finish();

 private:
  void count(std::size_t index, Step step);

  const IncomingListing& listing_;
  std::optional<Tree>& tree_; // none: a dry run into nothing
  const bool dry_run_;
  TakerVoice& voice_;
  std::vector<std::pair<std::size_t, Step>> open_; // to be finished, and counted then
  std::optional<std::size_t> closed_; // the last one that could not be made
  std::uint64_t shut_out_count_ = 0; // entries below it
};

} // namespace trunkline::sync

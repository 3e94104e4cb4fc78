// Entries that are one file under several names, in the tree of a Taker: the first name comes as any other file, the
// others become names of it, once it is there.
#pragma once

#include "async/types.hpp"
#include "services/sync/incoming_listing.hpp"
#include "services/sync/taker_voice.hpp"
#include "services/sync/tree.hpp"

#include <cstddef>
#include <optional>
#include <vector>

namespace trunkline::sync {

/// Everything that it is made with must outlive it.
class TakenLinks {
 public:
  TakenLinks(const IncomingListing& listing, std::optional<Tree>& tree, bool dry_run, TakerVoice& voice)
      : listing_(listing), tree_(tree), dry_run_(dry_run), voice_(voice) {}
  TakenLinks(const TakenLinks&) = delete;
  TakenLinks& operator=(const TakenLinks&) = delete;

  void add(std::size_t index) { indices_.push_back(index); }
  /// Makes them, after all files have come and before anything is deleted.
  awaitable<void> finish();

 private:
  bool is_made(const Entry& entry, const Entry& first);
  void make(std::size_t index);

  const IncomingListing& listing_;
  std::optional<Tree>& tree_; // none: a dry run into nothing
  const bool dry_run_;
  TakerVoice& voice_;
  std::vector<std::size_t> indices_;
};

} // namespace trunkline::sync

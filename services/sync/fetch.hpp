// How the content of a listed file gets into the tree of a Taker: as a second name of a file that is there, or from the
// Giver, where it differs.
#pragma once

#include "async/types.hpp"
#include "services/sync/digest.hpp"
#include "services/sync/incoming_listing.hpp"
#include "services/sync/options.hpp"
#include "services/sync/budgets.hpp"
#include "services/sync/taker_voice.hpp"
#include "services/sync/tree.hpp"
#include "services/sync/want_list.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::sync {

/// Everything that it is made with must outlive it.
class Fetch {
 public:
  Fetch(const Options& options, const IncomingListing& listing, std::optional<Tree>& tree, WantList& wants,
        TakerVoice& voice, std::shared_ptr<Budgets> budgets)
      : options_(options), listing_(listing), tree_(tree), wants_(wants), voice_(voice), budgets_(std::move(budgets)) {}
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;

  /// The content has to come; a dry run only counts it.
  void want(std::size_t index);
  /// The digests decide whether it has to. Waits while this side reads its file.
  awaitable<void> compare(std::size_t index);
  /// The Giver says that the digests differ, and a dry run wants no more.
  void differs(std::size_t index);
  /// A file that is the same in another tree of this side takes the place of one that would be sent, or that is the
  /// same already. `here` has its name; null: nothing has. False: there is no such file.
  bool link(const Entry& entry, const Entry* here, bool is_same);
  /// The content is there, for another sync has brought it since this one looked around; counted as done then.
  bool is_there(std::size_t index);

 private:
  void count_on(std::size_t index);
  awaitable<std::optional<Digest>> digest_of_ours(std::string path);

  const Options& options_;
  const IncomingListing& listing_;
  std::optional<Tree>& tree_; // none: a dry run into nothing
  WantList& wants_;
  TakerVoice& voice_;
  const std::shared_ptr<Budgets> budgets_;
};

} // namespace trunkline::sync

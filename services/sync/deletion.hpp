// What a Taker deletes, last: what the source does not have, as far as options and rules allow.
#pragma once

#include "async/types.hpp"
#include "services/sync/filter.hpp"
#include "services/sync/options.hpp"
#include "services/sync/plan.hpp"
#include "services/sync/survey.hpp"
#include "services/sync/taker_voice.hpp"
#include "services/sync/tree.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::sync {

/// Everything that it is made with must outlive it.
class Deletion {
 public:
  Deletion(const Options& options, const Filter& filter, std::optional<Tree>& tree, Survey& survey, TakerVoice& voice)
      : options_(options), filter_(filter), rules_(filter), tree_(tree), survey_(survey), voice_(voice) {}
  Deletion(const Deletion&) = delete;
  Deletion& operator=(const Deletion&) = delete;

  /// Deletes those entries, which ascend; or only notes why nothing is deleted, where `why_not` says so.
  /// Errors: Failure::Kind::denied for a file with the rules of a directory that says what is not understood.
  awaitable<void> run(std::vector<Extra> extras, std::string why_not);

 private:
  void protect(std::vector<Extra>& extras);
  void remove(const Extra& extra);

  const Options& options_;
  const Filter& filter_;
  DirectoryRules rules_; // of the files that are here
  std::optional<Tree>& tree_; // none: a dry run into nothing
  Survey& survey_;
  TakerVoice& voice_;
  std::uint64_t done_count_ = 0; // <= deletions_max
};

} // namespace trunkline::sync

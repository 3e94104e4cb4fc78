// Which block is the tip of a shard: the root chain decides first, height among what it allows.
#pragma once

#include "services/quarkchain/shard/shard_database.hpp"

#include <cstdint>

namespace trunkline::quarkchain {

/// The tip's root block is the root tip or below it; confirmed, if there is one, is the tip or below it.
struct Tips {
  RootPointPtr root;
  MinorPointPtr confirmed; // by the root tip; null while the root chain has confirmed nothing
  MinorPointPtr minor;

  void check(const ShardDatabase& database) const;
};

class ForkChoice {
 public:
  /// `database` must outlive it.
  ForkChoice(const ShardDatabase& database, std::uint32_t genesis_root_height)
      : database_(database), genesis_root_height_(genesis_root_height) {}

  /// Whether a block that is valid takes the tip's place. Of two of a height the first stays, unless the second knows
  /// more of the root chain.
  bool takes_tip(const Tips& now, const MinorPointPtr& block) const;
  /// Where a root block that has become the root tip puts the tip: on what it confirms and no further, and down to
  /// where the chains of both agree.
  Tips after_root(const Tips& now, const RootPointPtr& root) const;
  /// Where a shard begins again: at the last block that this root chain confirms, or at its genesis.
  Tips at_start(const RootPointPtr& root) const;

 private:
  MinorPointPtr confirmed_by(const RootPointPtr& root) const;
  MinorPointPtr genesis_on(const RootPointPtr& root) const;

  const ShardDatabase& database_;
  std::uint32_t genesis_root_height_;
};

} // namespace trunkline::quarkchain

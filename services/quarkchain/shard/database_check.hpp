// Whether what a shard's database holds is what its rules and its executor make of it: every block is validated and run
// once more, and nothing is written.
#pragma once

#include "services/quarkchain/shard/shard_cl.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

class DatabaseCheck {
 public:
  /// `shard` must outlive it. One that does not run is made to look at where its index ends. Errors: StoreFailure.
  explicit DatabaseCheck(ShardCL& shard);

  /// All that are held, canonical or not, by height. Errors: StoreFailure.
  std::vector<Hash256> blocks() const;
  /// This one will be asked for soon.
  void expect(const Hash256& block);
  /// What is wrong with one; nothing for a good one. `now`: seconds of the clock. Errors: ExecutorDown, AnswerPending.
  std::optional<std::string> fault_of(const Hash256& block, std::uint64_t now);

 private:
  ShardCL& shard_;
  std::map<Hash256, std::shared_ptr<const MinorBlock>> expected_; // read already
};

} // namespace trunkline::quarkchain

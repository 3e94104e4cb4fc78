// A block that is not taken, and which rule it broke. Whoever sent it is named by those who know.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace trunkline::quarkchain {

enum class Rule : std::uint8_t {
  // Before a minor block runs, in the order in which they are checked.
  block_too_old,
  version,
  height_from_one,
  parent_held,
  height_follows,
  branch,
  time_not_ahead,
  time_after_parent,
  hash_of_meta,
  extra_data_size,
  tracking_data_size,
  gas_limit,
  xshard_gas_limit_below,
  xshard_gas_limit,
  merkle_root,
  coinbase_in_shard,
  difficulty,
  root_held,
  root_height_rises,
  confirmed_below,
  roots_linked,
  seal,
  // While it runs, and after.
  transaction,
  cursor,
  state_root,
  receipt_root,
  gas_used,
  xshard_gas_used,
  coinbase_amount,
  bloom,
  // Of root blocks.
  root_version,
  root_parent_held,
  root_below_genesis,
  minor_held,
  list_missing,
  list_unexpected,
  minors_count,
  minors_linked,
  minor_on_root_chain,
  // Of lists, and of starting.
  another_list,
  start_root_held,
};

class ConsensusRefusal : public std::runtime_error {
 public:
  ConsensusRefusal(Rule broken, const std::string& why) : std::runtime_error(why), rule(broken) {}

  const Rule rule;
};

} // namespace trunkline::quarkchain

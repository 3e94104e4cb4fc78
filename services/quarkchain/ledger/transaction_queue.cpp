#include "services/quarkchain/ledger/transaction_queue.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/rpc/refusal.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {

InspectedTransaction InspectedTransaction::of(const TypedTransaction& transaction, const QuarkChainConfig& config,
                                              std::uint32_t branch) {
  InspectedTransaction of;
  of.typed = transaction;
  try {
    of.inside = EvmTransaction::from(transaction);
    of.sender = of.inside.sender();
  } catch (const TransactionFailure& failure) {
    throw Refused(Refusal::failed, failure.what());
  }
  if (!contains_key(branch, of.inside.from_full_shard_key))
    throw Refused(Refusal::failed, fmt::format("the sender's key {} is not of {}",
                                               shard_text(of.inside.from_full_shard_key), shard_text(branch)));
  if (!config.full_shard_id_of_key(of.inside.to_full_shard_key))
    throw Refused(Refusal::failed,
                  fmt::format("the receiver's key {} is of no chain", shard_text(of.inside.to_full_shard_key)));
  if (of.inside.network_id != BigUint(config.network_id))
    throw Refused(Refusal::failed,
                  fmt::format("network_id is {}, expected {}", of.inside.network_id.to_decimal(), config.network_id));
  return of;
}

const InspectedTransaction* TransactionQueue::find(const Hash256& hash) const {
  const auto found = places_.find(hash);
  return found == places_.end() ? nullptr : &found->second->second;
}

void TransactionQueue::push(const Hash256& hash, InspectedTransaction transaction) {
  places_.emplace(hash, entries_.emplace(entries_.end(), hash, std::move(transaction)));
}

void TransactionQueue::remove(const MinorBlock& block) {
  for (const TypedTransaction& transaction : block.tx_list) {
    const auto found = places_.find(hash_of(transaction));
    if (found == places_.end()) continue;
    entries_.erase(found->second);
    places_.erase(found);
  }
}

} // namespace trunkline::quarkchain

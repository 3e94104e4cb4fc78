#include "services/quarkchain/shard/shard_work.hpp"

#include "services/quarkchain/chain/hashes.hpp"

#include <algorithm>
#include <utility>

namespace trunkline::quarkchain {

OfferedWork ShardWork::offer(std::uint64_t now, const std::optional<Address>& coinbase) {
  Address payee = coinbase ? *coinbase : shard_.shard().coinbase_address;
  if (payee.recipient.is_zero()) payee.full_shard_key = shard_.shard().full_shard_id;
  const Hash256& tip = shard_.tips().minor->hash;
  const auto known = std::find_if(offers_.begin(), offers_.end(), [&](const Offer& offer) {
    const MinorBlockHeader& header = offer.block.header;
    return offer.coinbase == payee && header.hash_prev_minor_block == tip &&
           now <= header.create_time + seconds_reused_max;
  });
  if (known != offers_.end()) {
    offers_.splice(offers_.begin(), offers_, known);
    return known->work;
  }
  Offer offer;
  offer.coinbase = payee;
  offer.block = shard_.build(now, payee);
  const MinorBlockHeader& header = offer.block.header;
  const auto posw = shard_.rules().posw_of(header);
  offer.work = {mining_hash_of(header), header.height, posw ? posw->difficulty : header.difficulty};
  if (offers_.size() == offers_max) offers_.pop_back();
  offers_.push_front(std::move(offer));
  return offers_.front().work;
}

std::optional<MinorBlock> ShardWork::solve(const Hash256& mining_hash, std::uint64_t nonce, const Hash256& mixhash) {
  const auto offer = std::find_if(offers_.begin(), offers_.end(),
                                  [&](const Offer& each) { return each.work.mining_hash == mining_hash; });
  if (offer == offers_.end()) return std::nullopt;
  if (offer->block.header.hash_prev_minor_block != shard_.tips().minor->hash) {
    offers_.erase(offer);
    return std::nullopt;
  }
  offers_.splice(offers_.begin(), offers_, offer);
  MinorBlock sealed = offer->block;
  sealed.header.nonce = nonce;
  sealed.header.mixhash = mixhash;
  if (!shard_.rules().is_sealed(sealed.header)) return std::nullopt;
  return sealed;
}

void ShardWork::forget(const Hash256& mining_hash) {
  offers_.remove_if([&](const Offer& offer) { return offer.work.mining_hash == mining_hash; });
}

} // namespace trunkline::quarkchain

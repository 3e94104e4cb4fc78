#include "services/quarkchain/shard/miner_window.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {

MinerWindow::Counts MinerWindow::counts(const MinorPointPtr& last) const {
  const Miners* known = recent_.find(last->hash);
  if (!known) {
    Miners miners;
    if (const Miners* below = recent_.find(last->header.hash_prev_minor_block); below && last->header.height > 0) {
      miners = *below;
      miners.push_back(last->header.coinbase_address.recipient);
      if (miners.size() > blocks_max_) miners.pop_front();
    } else {
      for (MinorPointPtr at = last; miners.size() < blocks_max_;
           at = database_.minor(at->header.hash_prev_minor_block)) {
        if (!at) throw StoreFailure(fmt::format("a block below {} is missing", last->hash.hex()));
        miners.push_front(at->header.coinbase_address.recipient);
        if (at->header.height == 0) break;
      }
    }
    recent_.keep(last->hash, std::move(miners));
    known = recent_.find(last->hash);
  }
  Counts counts;
  for (const Recipient& miner : *known) ++counts[miner];
  return counts;
}

} // namespace trunkline::quarkchain

#include "circuit/native/node_pool.hpp"

namespace trunkline {

void NodePool::free_spares() noexcept {
  while (spare_) delete std::exchange(spare_, spare_->next);
  spare_count_ = 0;
}

void NodePool::check(bool full) const {
  invariant(spare_count_ <= spares_max, "node pool: spares <= spares_max");
  if (!full || spare_count_ > 64) return;
  std::size_t count = 0;
  for (const FragmentNode* node = spare_; node; node = node->next) ++count;
  invariant(count == spare_count_, "node pool: spares == nodes in the list");
}

} // namespace trunkline

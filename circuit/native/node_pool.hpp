// Queue nodes for reuse: a stream of small fragments allocates nothing.
#pragma once

#include "circuit/invariant.hpp"
#include "circuit/native/circuit.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

namespace trunkline {

/// Prefetches a node that is needed soon: a stream of small fragments spends its time waiting for memory.
inline void prefetch(const FragmentNode* node) noexcept {
  constexpr std::size_t line_bytes = 64;
  const auto* const bytes = reinterpret_cast<const char*>(node);
  for (std::size_t at = 0; node && at < sizeof(FragmentNode); at += line_bytes) __builtin_prefetch(bytes + at, 1);
}

class NodePool {
 public:
  NodePool() = default;
  NodePool(const NodePool&) = delete;
  NodePool& operator=(const NodePool&) = delete;
  ~NodePool() { free_spares(); }

  FragmentNode* make() {
    if (!spare_) return new FragmentNode;
    --spare_count_;
    FragmentNode* const next = spare_->next;
    prefetch(next);
    return std::exchange(spare_, next);
  }
  void free(FragmentNode* node) {
    const Fragment& fragment = node->fragment;
    const bool is_large = std::max(fragment.subject.capacity(), fragment.err.capacity()) > std::string().capacity();
    if (is_large || spare_count_ >= spares_max + static_cast<std::size_t>(off_by_one("node pool"))) {
      delete node; // spare ones are small
      return;
    }
    node->fragment.clear();
    node->extra = 0;
    node->trunk_extra = 0;
    node->next = spare_;
    spare_ = node;
    ++spare_count_;
  }
  /// A quiet trunk holds no memory for a busy one.
  void free_spares() noexcept;

  /// spares <= spares_max. Counts them when `full`.
  void check(bool full) const;

 private:
  static constexpr std::size_t spares_max = 2048;

  FragmentNode* spare_ = nullptr;
  std::size_t spare_count_ = 0;
};

} // namespace trunkline

// Facts that were looked up lately, of which at most so many are kept: the oldest goes first.
#pragma once

#include <cstddef>
#include <deque>
#include <unordered_map>
#include <utility>

namespace trunkline::quarkchain {

/// For what never changes once it is known. A value stays where it is only until the next one is kept.
template <class Key, class Value> class Recent {
 public:
  explicit Recent(std::size_t count_max) : count_max_(count_max) {}

  const Value* find(const Key& key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : &found->second;
  }
  void keep(const Key& key, Value value) {
    if (count_max_ == 0 || values_.contains(key)) return;
    if (values_.size() == count_max_) {
      values_.erase(oldest_.front());
      oldest_.pop_front();
    }
    values_.emplace(key, std::move(value));
    oldest_.push_back(key);
  }

 private:
  std::size_t count_max_;
  std::unordered_map<Key, Value> values_;
  std::deque<Key> oldest_;
};

} // namespace trunkline::quarkchain

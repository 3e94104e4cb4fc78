// Which files the syncs of a node are about to get, so that several into one tree do not all get the same.
#pragma once

#include "async/signal.hpp"

#include <memory>
#include <string>
#include <unordered_set>

namespace trunkline::sync {

/// One executor; not thread safe.
class Claims {
 public:
  /// True when nobody had it; the caller has it from now on, until it releases it.
  bool claim(const std::string& path) { return paths_.insert(path).second; }
  void release(const std::string& path) {
    paths_.erase(path);
    released_.notify_all();
  }
  bool is_claimed(const std::string& path) const { return paths_.contains(path); }
  /// Some path was released.
  Signal& released() noexcept { return released_; }

 private:
  std::unordered_set<std::string> paths_;
  Signal released_;
};

} // namespace trunkline::sync

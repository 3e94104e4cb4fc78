#include "services/quarkchain/store/store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

namespace trunkline::quarkchain {
namespace {

/// Nodes of states are most of what a shard keeps and are looked up by their hash: they are in a table, all others in
/// order. A scan is right for both; one that meets nodes has to sort them first.
class MemoryStore final : public Store {
 public:
  explicit MemoryStore(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  std::optional<std::string> get(std::string_view key) const override {
    if (key.starts_with(hashed_prefix)) {
      const auto found = hashed_.find(key);
      return found == hashed_.end() ? std::nullopt : std::optional(found->second);
    }
    const auto found = ordered_.find(key);
    return found == ordered_.end() ? std::nullopt : std::optional(found->second);
  }

  void write(const StoreBatch& batch) override {
    std::size_t more = 0; // counts replaced values twice: it only decides when to count exactly
    for (const auto& [key, value] : batch.changes())
      if (value) more += key.size() + value->size();
    if (bytes_ + more > bytes_max_)
      throw StoreFailure(fmt::format("the memory store holds {} bytes, store_bytes_max is {}", bytes_, bytes_max_));
    for (const auto& [key, value] : batch.changes()) {
      if (key.starts_with(hashed_prefix)) change(hashed_, key, value);
      else change(ordered_, key, value);
    }
  }

  void scan(std::string_view prefix, std::string_view from,
            const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    using Entry = std::pair<std::string_view, std::string_view>;
    std::vector<Entry> hashed; // ascending
    if (hashed_prefix.starts_with(prefix) || prefix.starts_with(hashed_prefix))
      for (const auto& [key, value] : hashed_)
        if (key.starts_with(prefix) && key >= from) hashed.emplace_back(key, value);
    std::ranges::sort(hashed);
    auto next = hashed.begin();
    for (auto at = ordered_.lower_bound(std::max(prefix, from)); at != ordered_.end(); ++at) {
      if (!at->first.starts_with(prefix)) break;
      for (; next != hashed.end() && next->first < at->first; ++next)
        if (!visit(next->first, next->second)) return;
      if (!visit(at->first, at->second)) return;
    }
    for (; next != hashed.end(); ++next)
      if (!visit(next->first, next->second)) return;
  }

 private:
  static constexpr std::string_view hashed_prefix = "state_n";

  /// Looks up by a part of a larger text, without a copy of it.
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view key) const noexcept {
      std::size_t first; // bytes of a hash, which are as good as any
      if (key.size() < hashed_prefix.size() + sizeof first) return std::hash<std::string_view>()(key);
      std::memcpy(&first, key.data() + hashed_prefix.size(), sizeof first);
      return first;
    }
  };

  template <class Entries>
  void change(Entries& entries, const std::string& key, const std::optional<std::string>& value) {
    if (!value) {
      const auto found = entries.find(key);
      if (found == entries.end()) return;
      bytes_ -= key.size() + found->second.size();
      entries.erase(found);
      return;
    }
    const auto [place, fresh] = entries.try_emplace(key, *value);
    bytes_ += key.size() + value->size();
    if (fresh) return;
    bytes_ -= key.size() + place->second.size();
    place->second = *value;
  }

  std::unordered_map<std::string, std::string, Hash, std::equal_to<>> hashed_;
  std::map<std::string, std::string, std::less<>> ordered_;
  std::size_t bytes_ = 0;
  std::size_t bytes_max_;
};

} // namespace

std::unique_ptr<Store> make_memory_store(std::size_t bytes_max) { return std::make_unique<MemoryStore>(bytes_max); }

} // namespace trunkline::quarkchain

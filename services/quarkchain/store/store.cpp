#include "services/quarkchain/store/store.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

class MemoryStore final : public Store {
 public:
  explicit MemoryStore(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  std::optional<std::string> get(std::string_view key) const override {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return std::nullopt;
    return found->second;
  }

  void write(const StoreBatch& batch) override {
    std::size_t more = 0; // counts replaced values twice: it only decides when to count exactly
    for (const auto& [key, value] : batch.changes())
      if (value) more += key.size() + value->size();
    if (bytes_ + more > bytes_max_)
      throw StoreFailure(fmt::format("the memory store holds {} bytes, store_bytes_max is {}", bytes_, bytes_max_));
    for (const auto& [key, value] : batch.changes()) {
      const auto found = entries_.find(key);
      if (found != entries_.end()) {
        bytes_ -= key.size() + found->second.size();
        entries_.erase(found);
      }
      if (!value) continue;
      bytes_ += key.size() + value->size();
      entries_.emplace(key, *value);
    }
  }

  void scan(std::string_view prefix, std::string_view from,
            const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    for (auto at = entries_.lower_bound(std::max(prefix, from)); at != entries_.end(); ++at)
      if (!at->first.starts_with(prefix) || !visit(at->first, at->second)) return;
  }

 private:
  std::map<std::string, std::string, std::less<>> entries_;
  std::size_t bytes_ = 0;
  std::size_t bytes_max_;
};

} // namespace

std::unique_ptr<Store> make_memory_store(std::size_t bytes_max) { return std::make_unique<MemoryStore>(bytes_max); }

} // namespace trunkline::quarkchain

// Where shards and the embedded backends keep what must survive: keys and values, in memory or in RocksDB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::quarkchain {

/// It cannot be read or written, or is full. Names the place and what it was for.
class StoreFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Changes that are made together or not at all. A later one of a key wins.
class StoreBatch {
 public:
  void put(std::string key, std::string value) { changes_.emplace_back(std::move(key), std::move(value)); }
  void erase(std::string key) { changes_.emplace_back(std::move(key), std::nullopt); }
  const std::vector<std::pair<std::string, std::optional<std::string>>>& changes() const noexcept { return changes_; }

 private:
  std::vector<std::pair<std::string, std::optional<std::string>>> changes_;
};

/// Keys are in the order of their bytes. One executor. Errors of each: StoreFailure.
class Store {
 public:
  virtual ~Store() = default;
  virtual std::optional<std::string> get(std::string_view key) const = 0;
  virtual void write(const StoreBatch& batch) = 0;
  /// Each key from `from` on that begins with `prefix`, ascending, until `visit` says false. It may not write.
  virtual void scan(std::string_view prefix, std::string_view from,
                    const std::function<bool(std::string_view key, std::string_view value)>& visit) const = 0;
  bool has(std::string_view key) const { return get(key).has_value(); }
};

/// Keeps at most `bytes_max` of keys and values; a write beyond it fails.
std::unique_ptr<Store> make_memory_store(std::size_t bytes_max = std::size_t{1} << 30);
/// Opens or makes the database in this directory; `clean` empties it first. One process at a time.
std::unique_ptr<Store> open_store(const std::string& directory, bool clean = false);
/// Opens a database that is there to read it, also while another process writes it. A write to it fails.
std::unique_ptr<Store> read_store(const std::string& directory);

} // namespace trunkline::quarkchain

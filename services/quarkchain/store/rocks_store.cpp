#include "services/quarkchain/store/store.hpp"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <filesystem>

namespace trunkline::quarkchain {
namespace {

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view view(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

class RocksStore final : public Store {
 public:
  RocksStore(std::string directory, std::unique_ptr<rocksdb::DB> db)
      : directory_(std::move(directory)), db_(std::move(db)) {}

  std::optional<std::string> get(std::string_view key) const override {
    std::string value;
    const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), slice(key), &value);
    if (status.IsNotFound()) return std::nullopt;
    check(status, "reading");
    return value;
  }

  void write(const StoreBatch& batch) override {
    rocksdb::WriteBatch changes;
    for (const auto& [key, value] : batch.changes())
      check(value ? changes.Put(key, *value) : changes.Delete(key), "writing");
    // Into the log, not through to the disk: it outlives the process, and a machine that loses power loses the last
    // moments of a chain that the master tells again.
    check(db_->Write(rocksdb::WriteOptions(), &changes), "writing");
  }

  void scan(std::string_view prefix, std::string_view from,
            const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(rocksdb::ReadOptions()));
    for (at->Seek(slice(std::max(prefix, from))); at->Valid(); at->Next())
      if (!view(at->key()).starts_with(prefix) || !visit(view(at->key()), view(at->value()))) return;
    check(at->status(), "reading");
  }

 private:
  void check(const rocksdb::Status& status, const char* doing) const {
    if (!status.ok()) throw StoreFailure(fmt::format("{} {}: {}", doing, directory_, status.ToString()));
  }

  std::string directory_;
  std::unique_ptr<rocksdb::DB> db_;
};

} // namespace

std::unique_ptr<Store> open_store(const std::string& directory, bool clean) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.max_background_jobs = 2;
  options.keep_log_file_num = 2;
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.max_open_files = 256;
  // One database for each shard, and many shards in one process: what waits to be written is small, and so is what it
  // costs to write it often.
  options.write_buffer_size = std::size_t{8} << 20;
  options.stats_dump_period_sec = 0; // no thread that writes statistics nobody reads
  options.stats_persist_period_sec = 0;
  if (clean) {
    const rocksdb::Status emptied = rocksdb::DestroyDB(directory, options);
    if (!emptied.ok()) throw StoreFailure(fmt::format("emptying {}: {}", directory, emptied.ToString()));
  }
  std::error_code failure;
  std::filesystem::create_directories(directory, failure);
  if (failure) throw StoreFailure(fmt::format("making {}: {}", directory, failure.message()));
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options, directory, &opened);
  if (!status.ok()) throw StoreFailure(fmt::format("opening {}: {}", directory, status.ToString()));
  return std::make_unique<RocksStore>(directory, std::unique_ptr<rocksdb::DB>(opened));
}

std::unique_ptr<Store> read_store(const std::string& directory) {
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::OpenForReadOnly(rocksdb::Options(), directory, &opened);
  if (!status.ok()) throw StoreFailure(fmt::format("opening {}: {}", directory, status.ToString()));
  return std::make_unique<RocksStore>(directory, std::unique_ptr<rocksdb::DB>(opened));
}

} // namespace trunkline::quarkchain

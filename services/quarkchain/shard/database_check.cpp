#include "services/quarkchain/shard/database_check.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/shard/shard_keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::quarkchain {

DatabaseCheck::DatabaseCheck(ShardCL& shard) : shard_(shard) {
  if (!shard_.is_running()) shard_.look();
}

std::vector<Hash256> DatabaseCheck::blocks() const {
  std::vector<std::pair<std::uint64_t, Hash256>> found;
  const std::string family = shard_keys::of_hash("mblock_", Hash256()).substr(0, 7);
  shard_.database().store().scan(family, family, [&](std::string_view key, std::string_view) {
    const auto hash = Hash256::from_bytes(bytes_of(key.substr(family.size())));
    if (!hash) throw StoreFailure("a key of a block is no hash: " + to_hex(key));
    // One that cannot be read comes first, and is found to be so.
    std::uint64_t height = 0;
    try {
      height = shard_.database().minor(*hash)->header.height;
    } catch (const StoreFailure&) {}
    found.emplace_back(height, *hash);
    return true;
  });
  std::ranges::sort(found);
  std::vector<Hash256> hashes;
  hashes.reserve(found.size());
  for (const auto& [height, hash] : found) hashes.push_back(hash);
  return hashes;
}

void DatabaseCheck::expect(const Hash256& hash) try {
  auto block = shard_.database().minor_block(hash);
  if (!block) return;
  expected_[hash] = block;
  shard_.expect(std::move(block));
} catch (const StoreFailure&) { // which is found when it is asked for
}

std::optional<std::string> DatabaseCheck::fault_of(const Hash256& hash, std::uint64_t now) try {
  const auto expected = expected_.extract(hash);
  const auto block = expected ? expected.mapped() : shard_.database().minor_block(hash);
  if (!block) return fmt::format("minor block {} is not held", hash.hex());
  if (const Hash256 seen = hash_of(block->header); seen != hash)
    return fmt::format("the hash of what is held is {}, expected {}", seen.hex(), hash.hex());
  if (block->header.height > 0) shard_.verify(*block, now);
  return std::nullopt;
} catch (const ExecutorDown&) { // says nothing of the block
  throw;
} catch (const std::exception& failure) {
  return failure.what();
}

} // namespace trunkline::quarkchain

#include "tests/services/quarkchain/shard_twin.hpp"

#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/execution/transfers.hpp"
#include "services/quarkchain/shard/shard_cl.hpp"
#include "services/quarkchain/shard/shard_keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <exception>
#include <limits>
#include <vector>

namespace trunkline::quarkchain::test {
namespace {

template <class T> T read(const Store& store, const std::string& key) {
  const auto bytes = store.get(key);
  if (!bytes) throw StoreFailure("there is no " + to_hex(key));
  return decoded<T>(bytes_of(*bytes));
}

class Twin {
 public:
  Twin(const QuarkChainConfig& config, std::uint32_t branch, const Store& kept)
      : kept_(kept), store_(make_memory_store()), executor_(config, *config.find_shard(branch), *store_),
        cl_(config, *config.find_shard(branch), *store_, executor_, true) {}

  /// Each root block after the minor blocks that it may confirm, and each minor block after its own root block.
  std::string follow(const Hash256& root_tip) {
    std::deque<RootBlock> roots;
    for (Hash256 at = root_tip;;) {
      roots.push_front(read<RootBlock>(kept_, shard_keys::root_block(at)));
      if (roots.front().header.height == cl_.shard().genesis.root_height) break;
      at = roots.front().header.hash_prev_block;
    }
    cl_.genesis_from(roots.front());
    roots.pop_front();
    for (const RootBlock& root : roots) {
      add_below(root.header.height);
      add_lists(root);
      cl_.add_root(root);
    }
    add_below(std::numeric_limits<std::uint64_t>::max());
    const Hash256 expected = *Hash256::from_bytes(bytes_of(*kept_.get(shard_keys::minor_at(next_ - 1))));
    const MinorPoint& tip = *cl_.tips().minor;
    if (tip.hash == expected) return {};
    return fmt::format("its tip is {} of height {}, expected {} of height {}", tip.hash.hex(), tip.header.height,
                       expected.hex(), next_ - 1);
  }

 private:
  /// Those whose own root block is below this height.
  void add_below(std::uint64_t root_height) {
    for (;; ++next_) {
      const auto hash = kept_.get(shard_keys::minor_at(next_));
      if (!hash) return;
      const MinorBlock block =
          read<MinorBlock>(kept_, shard_keys::minor_block(*Hash256::from_bytes(bytes_of(*hash))));
      const auto root = read<RootBlock>(kept_, shard_keys::root_block(block.header.hash_prev_root_block));
      if (root.header.height >= root_height) return;
      AddOptions options;
      options.now = block.header.create_time;
      cl_.add_minor(block, options);
    }
  }
  void add_lists(const RootBlock& root) {
    for (const MinorBlockHeader& header : root.minor_block_header_list) {
      const std::string key = shard_keys::deposits_from(hash_of(header));
      if (header.branch.value != cl_.shard().full_shard_id && kept_.has(key))
        cl_.add_deposits(hash_of(header), read<CrossShardTransactionList>(kept_, key));
    }
  }

  const Store& kept_;
  std::unique_ptr<Store> store_;
  TransfersExecutor executor_;
  ShardCL cl_;
  std::uint64_t next_ = 1;
};

} // namespace

std::string twin_differs(const QuarkChainConfig& config, std::uint32_t full_shard_id, const Store& kept,
                         const Hash256& root_tip) try {
  return Twin(config, full_shard_id, kept).follow(root_tip);
} catch (const std::exception& failure) {
  return std::string("it does not take what the other one has taken: ") + failure.what();
}

std::optional<std::size_t> deposits_kept(const Store& kept, const Hash256& source) {
  const auto bytes = kept.get(shard_keys::deposits_from(source));
  if (!bytes) return std::nullopt;
  return decoded<CrossShardTransactionList>(bytes_of(*bytes)).tx_list.size();
}

bool is_list(std::string_view key) {
  const std::string one = shard_keys::deposits_from(Hash256());
  return key.size() == one.size() && key.starts_with(std::string_view(one).substr(0, one.size() - Hash256::size));
}

} // namespace trunkline::quarkchain::test

#include "services/quarkchain/shards/engine_check.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>

namespace trunkline::quarkchain {
namespace {

/// Of tokens, which the other process looks at.
std::uint64_t system_time() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(since).count());
}

} // namespace

EngineCheck::EngineCheck(const QuarkChainConfig& config, const ShardConfig& shard, std::unique_ptr<Store> store,
                         EngineSettings settings, bool history, ShardLog log)
    : keeper_(std::move(settings), shard.full_shard_id, 0, log),
      shard_(
          config, shard, std::move(store),
          [this](const QuarkChainConfig& all, const ShardConfig& of, const Store& in) {
            return keeper_.make_executor(all, of, in, &system_time);
          },
          history, log) {}

awaitable<std::optional<std::string>> EngineCheck::fault_of(Hash256 block, std::uint64_t now) {
  std::optional<std::string> fault;
  try {
    const auto held = shard_.cl().database().minor(block);
    if (held && wrong_.contains(held->header.hash_prev_minor_block))
      fault = fmt::format("its parent {} is not right", held->header.hash_prev_minor_block.hex());
    else co_await shard_.verify(block, now);
  } catch (const StoreFailure& failure) {
    fault = failure.what();
  } catch (const Refused& refused) {
    if (refused.code() != static_cast<std::uint32_t>(Refusal::bad_message)) throw;
    fault = refused.what();
  }
  if (fault) wrong_.insert(block);
  co_return fault;
}

} // namespace trunkline::quarkchain

#include "services/quarkchain/shards/local_miner.hpp"

#include "async/clock.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/shard/seal.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace trunkline::quarkchain {
namespace {

using namespace std::chrono_literals;

constexpr Duration pause_while_syncing = 100ms;
constexpr Duration pause_after_failure = 1s;
constexpr Duration pause_between_searches = 1ms; // for everybody else of this executor

/// So many that a search takes some milliseconds.
std::uint64_t nonces_at_once(ConsensusType type) {
  switch (type) {
    case ConsensusType::pow_doublesha256: return 2000;
    case ConsensusType::pow_qkchash: return 4;
    case ConsensusType::pow_ethash: return 1;
    case ConsensusType::none:
    case ConsensusType::pow_simulate: return 1;
  }
  return 1;
}

} // namespace

void LocalMiner::start(trunkline::Executor executor, std::shared_ptr<void> owner) {
  if (mining_) return;
  mining_ = std::make_unique<Tasks>(std::move(executor));
  mining_->spawn(mine(this, std::move(owner)));
}

/// Of 0 to 1, and never 0.
double LocalMiner::random_share() const {
  return (static_cast<double>(options_.random() >> 11) + 1) / (static_cast<double>(std::uint64_t{1} << 53) + 1);
}

awaitable<MinorBlock> LocalMiner::next(LocalMiner* self) {
  Address nobody;
  nobody.full_shard_key = self->shard_.branch();
  return self->shard_.build(self->options_.unix_time(), nobody);
}

awaitable<void> LocalMiner::mine(LocalMiner* self, std::shared_ptr<void>) {
  for (;;) {
    std::string why;
    try {
      co_await mine_one(self);
    } catch (const boost::system::system_error& failure) {
      if (failure.code() == boost::asio::error::operation_aborted) throw;
      why = failure.what();
    } catch (const std::exception& failure) {
      why = failure.what();
    }
    if (why.empty()) continue;
    self->lines_.write("mining", LogLevel::warning,
                       fmt::format("shard {}: mining: {}", shard_text(self->shard_.branch()), why),
                       TimePoint(std::chrono::seconds(self->options_.unix_time())));
    co_await sleep_for(pause_after_failure);
  }
}

awaitable<void> LocalMiner::mine_one(LocalMiner* self) {
  HostedShard& shard = self->shard_;
  if (shard.is_syncing || !shard.is_running()) {
    co_await sleep_for(pause_while_syncing);
    co_return;
  }
  const ConsensusType type = shard.cl().shard().consensus_type;
  MinorBlock block = co_await next(self);
  std::optional<MinorBlock> mined;
  if (type == ConsensusType::pow_simulate || type == ConsensusType::none)
    mined = co_await simulate(self, std::move(block));
  else mined = co_await search(self, std::move(block));
  if (!mined || shard.is_syncing || shard.tip().header.height >= mined->header.height) co_return;
  co_await self->options_.mined(shard, std::move(*mined));
}

/// As long as a miner of this target would take, less for what the block itself took.
awaitable<MinorBlock> LocalMiner::simulate(LocalMiner* self, MinorBlock block) {
  const double used = static_cast<double>(block.meta.evm_gas_used.to_u64().value_or(0));
  const double target = self->options_.target_block_time() *
                        (1 - 0.4 * used / static_cast<double>(self->shard_.cl().rules().gas_limit()));
  const double drawn = -std::log(self->random_share()) * target;
  const double ahead = static_cast<double>(block.header.create_time) - static_cast<double>(self->options_.unix_time());
  const double seconds = std::max(0.001, ahead + drawn);
  co_await sleep_for(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds)));
  MinorBlock fresh = co_await next(self); // with what has come meanwhile
  fresh.header.nonce = self->options_.random() >> 32;
  co_return fresh;
}

awaitable<std::optional<MinorBlock>> LocalMiner::search(LocalMiner* self, MinorBlock block) {
  const ShardCL& cl = self->shard_.cl();
  const BlockRules& rules = cl.rules();
  const ConsensusType type = cl.shard().consensus_type;
  std::uint64_t nonce = self->options_.random();
  for (;;) {
    co_await sleep_for(pause_between_searches); // first: a miner that finds at once would never let go
    for (std::uint64_t left = nonces_at_once(type); left > 0; --left, ++nonce) {
      rules.seal(block.header, nonce);
      if (rules.is_sealed(block.header)) co_return block;
    }
    if (cl.tips().minor->hash != block.header.hash_prev_minor_block || self->shard_.is_syncing) co_return std::nullopt;
  }
}

} // namespace trunkline::quarkchain

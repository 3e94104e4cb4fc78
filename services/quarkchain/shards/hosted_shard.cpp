#include "services/quarkchain/shards/hosted_shard.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"
#include "services/quarkchain/shard/database_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t answers_max = 1000; // for one action: a bound for what nobody expects

} // namespace

HostedShard::HostedShard(const QuarkChainConfig& config, const ShardConfig& shard, std::unique_ptr<Store> store,
                         const MakeExecutor& make_executor, bool history, ShardLog log)
    : store_(std::move(store)), executor_(make_executor(config, shard, *store_)),
      cl_(config, shard, *store_, *executor_.executor, history), work_(cl_), reads_(cl_), log_(std::move(log)) {
  if (executor_.engine) engine_away_ = "it has not been started";
  const Executor& executor = *executor_.executor;
  if (log_)
    log_(nullptr, LogLevel::info, fmt::format("shard {}: executor {} runs {}", shard_text(shard.full_shard_id),
                                              executor.name(), executor.capabilities().text()));
}

/// What the consensus layer throws, in the words of whoever asked.
template <class Action> auto HostedShard::guarded(Refusal code, Action&& action) {
  const std::string name = "shard " + shard_text(branch()) + ": ";
  try {
    return action();
  } catch (const ConsensusRefusal& refusal) {
    throw Refused(code, name + refusal.what());
  } catch (const TransactionRefused& refusal) {
    throw Refused(code, name + refusal.what());
  } catch (const std::overflow_error& failure) { // numbers that nothing can be computed from
    throw Refused(code, name + failure.what());
  } catch (const ExecutorDown& down) {
    throw Refused(Refusal::failed, name + down.what());
  } catch (const CapabilityMissing& missing) {
    if (said_ != missing.what() && log_)
      log_("follows no further", LogLevel::warning, fmt::format("{}follows no further: {}", name, missing.what()));
    said_ = missing.what();
    throw Refused(Refusal::failed, name + missing.what());
  }
}

awaitable<AddedBlock> HostedShard::add(const MinorBlock& block, const AddOptions& options, Refusal code) {
  const auto action = [&] { return guarded(code, [&] { return cl_.add_minor(block, options); }); };
  std::exception_ptr failure;
  AddedBlock added;
  try {
    added = co_await answered(action);
  } catch (...) {
    failure = std::current_exception();
  }
  co_await settle(); // also after a refusal: running it has moved the executor's head
  if (failure) std::rethrow_exception(failure);
  co_return added;
}

void HostedShard::check(const MinorBlock& block, std::uint64_t now, Refusal code) const {
  try {
    cl_.rules().check(block, hashes_of(block.tx_list), now);
  } catch (const ConsensusRefusal& refusal) {
    throw Refused(code, "shard " + shard_text(branch()) + ": " + refusal.what());
  } catch (const std::overflow_error& failure) {
    throw Refused(code, "shard " + shard_text(branch()) + ": " + failure.what());
  }
}

awaitable<void> HostedShard::verify(Hash256 hash, std::uint64_t now) {
  const auto action = [&] { return guarded(Refusal::failed, [&] { return DatabaseCheck(cl_).fault_of(hash, now); }); };
  const std::optional<std::string> fault = co_await answered(action);
  if (fault)
    throw Refused(Refusal::bad_message,
                  fmt::format("shard {}: minor block {}: {}", shard_text(branch()), hash.hex(), *fault));
}

awaitable<AddedRoot> HostedShard::add_root(const RootBlock& block) {
  const auto action = [&] { return guarded(Refusal::bad_message, [&] { return cl_.add_root(block); }); };
  const AddedRoot added = co_await answered(action);
  co_await settle();
  co_return added;
}

awaitable<void> HostedShard::start(const RootBlock& root_tip) {
  const auto action = [&] {
    guarded(Refusal::bad_message, [&] { cl_.start(root_tip); });
    return true;
  };
  (void)co_await answered(action);
  if (!executor_.engine) co_return;
  std::string why;
  try {
    (void)co_await recover(); // it may hold less than we do
  } catch (const ExecutorDown& down) {
    why = down.what();
  }
  if (!why.empty())
    throw Refused(Refusal::failed,
                  fmt::format("the execution layer of shard {} is down: {}", shard_text(branch()), why));
}

awaitable<MinorBlock> HostedShard::genesis_from(const RootBlock& root) {
  const auto action = [&] { return guarded(Refusal::bad_message, [&] { return cl_.genesis_from(root); }); };
  MinorBlock genesis = co_await answered(action);
  co_await settle();
  co_return genesis;
}

awaitable<MinorBlock> HostedShard::build(std::uint64_t now, Address coinbase) {
  const auto action = [&] { return guarded(Refusal::failed, [&] { return cl_.build(now, coinbase); }); };
  MinorBlock block = co_await answered(action);
  co_return block;
}

void HostedShard::require_engine() const {
  if (executor_.engine && !engine_away_.empty())
    throw Refused(Refusal::failed,
                  fmt::format("the execution layer of shard {} is down: {}", shard_text(branch()), engine_away_));
}

awaitable<void> HostedShard::ask_once(AnswerPending::Ask ask, std::size_t rounds) {
  std::string why;
  try {
    if (rounds == answers_max) throw ExecutorDown(fmt::format("{} answers were not enough", answers_max));
    co_await ask();
    co_return;
  } catch (const CapabilityMissing& missing) {
    throw Refused(Refusal::failed, "shard " + shard_text(branch()) + ": " + missing.what());
  } catch (const ExecutorDown& down) {
    why = down.what();
  }
  throw Refused(Refusal::failed, fmt::format("the execution layer of shard {} is down: {}", shard_text(branch()), why));
}

/// What fails here is found out by whoever watches it: what was written has been written.
awaitable<void> HostedShard::settle() {
  const std::shared_ptr<Engine> engine = executor_.engine;
  if (!engine) co_return;
  try {
    co_await engine->settle();
  } catch (const ExecutorDown&) { // it is started again, and recovers
  }
}

void HostedShard::lose_engine(const std::string& why) {
  engine_away_ = why;
  executor_.engine->disconnect(why);
}

awaitable<std::size_t> HostedShard::recover() {
  const std::shared_ptr<Engine> engine = executor_.engine;
  std::vector<Hash256> lost;
  if (cl_.is_running()) {
    MinorPointPtr at = cl_.tips().minor;
    for (;;) {
      const Hash256 state = cl_.state_after(*at);
      const bool held = co_await engine->try_head(state);
      if (held) break;
      lost.push_back(at->hash);
      at = cl_.database().minor(at->header.hash_prev_minor_block);
      if (!at) throw ExecutorDown("it does not hold its own genesis");
    }
    for (auto block = lost.rbegin(); block != lost.rend(); ++block) {
      const auto replay = [&] {
        return guarded(Refusal::failed, [&] {
          cl_.replay(*block);
          return true;
        });
      };
      (void)co_await asked(this, replay);
    }
    co_await engine->settle();
  }
  engine_away_.clear();
  co_return lost.size();
}

std::vector<Hash256> HostedShard::uncommitted(const Hash256& hash) const {
  const ShardDatabase& database = cl_.database();
  std::vector<Hash256> missing;
  for (MinorPointPtr at = database.minor(hash); at && !database.is_committed(at->hash);
       at = database.minor(at->header.hash_prev_minor_block))
    missing.push_back(at->hash);
  std::ranges::reverse(missing);
  return missing;
}

std::vector<MinorBlockHeader> HostedShard::confirmable() const {
  std::vector<MinorBlockHeader> headers = cl_.unconfirmed_headers();
  const auto first = std::ranges::find_if(
      headers, [&](const MinorBlockHeader& header) { return !cl_.database().is_committed(hash_of(header)); });
  headers.erase(first, headers.end());
  return headers;
}

std::vector<MinorBlockHeader> HostedShard::headers(const HeaderQuery& query) const {
  const ShardDatabase& database = cl_.database();
  const auto canonical = [&](std::uint64_t height) {
    const auto hash = database.minor_at(height);
    return hash ? database.minor(*hash) : nullptr;
  };
  const std::uint64_t step = std::uint64_t{query.skip} + 1;
  const bool by_parents = step == 1 && !query.towards_tip;
  MinorPointPtr at;
  if (query.hash) {
    at = database.minor(*query.hash);
    if (at && !by_parents && database.minor_at(at->header.height) != query.hash) at = nullptr;
  } else if (const auto height = query.height.to_u64()) {
    at = canonical(*height);
  }
  std::vector<MinorBlockHeader> headers;
  while (at && headers.size() < query.limit) {
    const std::uint64_t height = at->header.height;
    headers.push_back(at->header);
    if (query.towards_tip) {
      at = tip().header.height - std::min(tip().header.height, height) < step ? nullptr : canonical(height + step);
    } else if (height < step) {
      at = nullptr;
    } else {
      at = by_parents ? database.minor(at->header.hash_prev_minor_block) : canonical(height - step);
    }
  }
  return headers;
}

bool HostedShard::may_stand_on(const Hash256& root) const {
  const ShardDatabase& database = cl_.database();
  const RootPointPtr on = database.root(root);
  if (!on) return false;
  const MinorPointPtr& confirmed = cl_.tips().confirmed;
  const RootPointPtr least = confirmed ? database.root(confirmed->header.hash_prev_root_block) : nullptr;
  return !least || least->header.height <= on->header.height;
}

} // namespace trunkline::quarkchain

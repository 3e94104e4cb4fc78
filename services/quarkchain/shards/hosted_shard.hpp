// One shard of a slave: its database, its executor, its consensus layer, and what goes on around it.
#pragma once

#include "async/mutex.hpp"
#include "fragment/log.hpp"
#include "services/quarkchain/backend/header_query.hpp"
#include "services/quarkchain/engine/engine.hpp"
#include "services/quarkchain/execution/executor.hpp"
#include "services/quarkchain/rpc/refusal.hpp"
#include "services/quarkchain/shard/shard_cl.hpp"
#include "services/quarkchain/shard/shard_reads.hpp"
#include "services/quarkchain/shard/shard_work.hpp"
#include "services/quarkchain/shards/shard_peers.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace trunkline::quarkchain {

/// What a shard's transactions are run by.
struct ShardExecutor {
  std::unique_ptr<Executor> executor;
  std::shared_ptr<Engine> engine; // null for one in this process
};

/// The log of the slave that a shard is part of. `kind`: of a line that far sides can cause as often as they like, which
/// is then limited in rate; null for what only this side's own doings cause.
using ShardLog = std::function<void(const char* kind, LogLevel level, std::string_view text)>;

class HostedShard {
 public:
  using MakeExecutor = std::function<ShardExecutor(const QuarkChainConfig&, const ShardConfig&, const Store&)>;

  /// `config` must outlive it. Errors: ConfigFailure, AnotherDatabase, StoreFailure.
  HostedShard(const QuarkChainConfig& config, const ShardConfig& shard, std::unique_ptr<Store> store,
              const MakeExecutor& make_executor, bool history, ShardLog log);
  HostedShard(const HostedShard&) = delete;
  HostedShard& operator=(const HostedShard&) = delete;

  std::uint32_t branch() const noexcept { return cl_.shard().full_shard_id; }
  /// It has a genesis, or was started on a root block that it held.
  bool is_running() const noexcept { return cl_.is_running(); }
  ShardCL& cl() noexcept { return cl_; }
  const ShardCL& cl() const noexcept { return cl_; }
  ShardWork& work() noexcept { return work_; }
  const ShardReads& reads() const noexcept { return reads_; }
  ShardPeers& peers() noexcept { return peers_; }
  const MinorPoint& tip() const noexcept { return *cl_.tips().minor; }

  /// What `action` returns once the executor has answered all that it asks. It is called again after each answer, and
  /// meanwhile others may have changed the shard. Errors: those of `action`; Refused when the executor is down.
  template <class Action> awaitable<std::invoke_result_t<const Action&>> answered(const Action& action) {
    require_engine();
    return asked(this, action);
  }

  // What these are given must live until they have ended.
  /// As the consensus layer adds it, and what is missing is said once. Errors: Refused, with `code` for a block that is
  /// invalid, and with Refusal::failed for one that nobody can tell of here.
  awaitable<AddedBlock> add(const MinorBlock& block, const AddOptions& options, Refusal code);
  /// Errors: Refused with `code`: the block is invalid.
  void check(const MinorBlock& block, std::uint64_t now, Refusal code) const;
  /// Runs a block that is held once more, and writes nothing. Errors: Refused.
  awaitable<void> verify(Hash256 hash, std::uint64_t now);
  /// Errors: Refused with Refusal::bad_message.
  awaitable<AddedRoot> add_root(const RootBlock& block);
  /// Errors: Refused with Refusal::bad_message for a root block that is not held.
  awaitable<void> start(const RootBlock& root_tip);
  awaitable<MinorBlock> genesis_from(const RootBlock& root);
  /// Errors: Refused with Refusal::failed.
  awaitable<MinorBlock> build(std::uint64_t now, Address coinbase);

  /// The executor has been started: its head is moved to the tip, and the blocks that it has lost are run again. Returns
  /// how many. Errors: ExecutorDown, Refused.
  awaitable<std::size_t> recover();
  /// It is gone: nothing is asked until it has recovered.
  void lose_engine(const std::string& why);

  /// `hash` and what is below it, as far as lists and reports may not have gone out; oldest first.
  std::vector<Hash256> uncommitted(const Hash256& hash) const;
  /// Canonical, not confirmed, and known to the master: what it may make a root block of.
  std::vector<MinorBlockHeader> confirmable() const;
  /// Towards genesis without skips a walk goes by parents, and otherwise along the canonical chain.
  std::vector<MinorBlockHeader> headers(const HeaderQuery& query) const;
  /// Whether a root block is one that a peer's block may stand on: held, and not below that of what is confirmed.
  bool may_stand_on(const Hash256& root) const;

  Mutex adding; // held from before a block is added until it is committed
  Mutex syncing; // held by whoever follows a peer
  bool is_syncing = false;
  bool is_catching_up = false;
  std::set<std::uint64_t> waiting; // peers that are to be followed next
  Recent<Hash256, bool> seen{1024}; // blocks that were passed on

 private:
  template <class Action> auto guarded(Refusal code, Action&& action);
  template <class Action>
  static awaitable<std::invoke_result_t<const Action&>> asked(HostedShard* self, const Action& action) {
    for (std::size_t rounds = 0;; ++rounds) {
      AnswerPending::Ask ask;
      try {
        co_return action();
      } catch (const AnswerPending& pending) {
        ask = pending.ask();
      }
      co_await self->ask_once(std::move(ask), rounds);
    }
  }
  awaitable<void> ask_once(AnswerPending::Ask ask, std::size_t rounds);
  void require_engine() const;
  awaitable<void> settle();

  std::unique_ptr<Store> store_;
  ShardExecutor executor_;
  ShardCL cl_;
  ShardWork work_;
  ShardReads reads_;
  ShardPeers peers_;
  ShardLog log_;
  std::string engine_away_; // why nothing is asked; empty while it runs
  std::string said_; // the reason for which it stopped, when it was logged last
};

} // namespace trunkline::quarkchain

// One execution layer while it runs: what it is asked, one question after the other, and what it has answered. A
// question of which nothing is known yet is asked first and then looked up.
#pragma once

#include "async/mutex.hpp"
#include "services/quarkchain/engine/engine_client.hpp"
#include "services/quarkchain/engine/engine_genesis.hpp"
#include "services/quarkchain/engine/payload.hpp"
#include "services/quarkchain/execution/receipt.hpp"
#include "services/quarkchain/execution/recent.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

namespace trunkline::quarkchain {

struct EngineDeadlines {
  Duration slow = std::chrono::seconds(8);  // for what runs blocks and moves the head
  Duration quick = std::chrono::seconds(1); // for the rest
  Duration per_transaction = std::chrono::milliseconds(200); // more for each that a block has
};

/// A block that is to be built.
struct EngineTemplate {
  Hash256 parent;
  std::uint64_t number = 0;
  std::uint64_t timestamp = 0;
  std::uint64_t gas_limit = 0;
  Hash256 prev_randao;
  Recipient fee_recipient;
  std::vector<Withdrawal> withdrawals;
  std::vector<std::string> candidates; // transactions as they were signed, the best first

  Hash256 key() const;
};

class Engine {
 public:
  struct Options {
    EngineDeadlines deadlines;
    std::size_t transactions_max = 20; // that are waiting in its pool by us: with more it takes seconds to build a block
    std::function<std::uint64_t()> unix_time; // seconds of the clock
    std::function<void(const std::string& why)> failed; // it has to be started again
  };
  /// Of a block that was run.
  struct Ran {
    std::optional<std::string> invalid; // why
    std::optional<std::vector<Receipt>> receipts; // nothing where it has lost them; gas of transactions alone
  };
  struct Built {
    EnginePayload payload;
    BigUint fees;
  };
  struct Read {
    Json result;
    std::optional<std::string> refused;
  };

  explicit Engine(Options options) : options_(std::move(options)) {}

  /// Looks whether it is the one that was meant. Errors: ExecutorDown; ConfigFailure for another chain or genesis.
  awaitable<void> connect(EngineAddress address, const EngineGenesis& genesis);
  /// Nothing is asked any more until it is connected again.
  void disconnect(const std::string& why) noexcept;
  bool is_up() const noexcept { return client_ != nullptr; }

  // What is known; null: ask first.
  const Ran* ran(const Hash256& payload) const { return ran_.find(payload); }
  const Built* built(const Hash256& wanted) const { return built_.find(wanted); }
  const Read* read(const Hash256& question) const { return read_.find(question); }

  // Questions. Errors of each: ExecutorDown, and `failed` was told unless it was down before.
  awaitable<void> ask_run(EnginePayload payload, Hash256 key);
  awaitable<void> ask_build(EngineTemplate wanted, Hash256 key);
  /// At the state after one of its blocks. `params`: all but the block. Errors: also CapabilityMissing for a block that
  /// is not below the head that is wanted.
  awaitable<void> ask_read(Hash256 question, Hash256 state, std::uint64_t number, std::string method,
                           std::string params);
  /// Moves its head to where it was told last.
  awaitable<void> settle();
  /// Moves its head there; false when it does not hold the block.
  awaitable<bool> try_head(Hash256 block);

  void want_head(const Hash256& block) noexcept { wanted_ = block; }

 private:
  awaitable<void> guarded(awaitable<void> question);
  static awaitable<void> run(Engine* self, EnginePayload payload, Hash256 key);
  static awaitable<void> build(Engine* self, EngineTemplate wanted, Hash256 key);
  static awaitable<void> read(Engine* self, Hash256 question, Hash256 state, std::uint64_t number, std::string method,
                              std::string params);
  static awaitable<void> settle(Engine* self);
  static awaitable<void> settle_now(Engine* self);
  static awaitable<void> try_head(Engine* self, Hash256 block, bool* held);
  static awaitable<void> greet(Engine* self, const EngineGenesis* genesis);

  static awaitable<Json> forkchoice(Engine* self, Hash256 head, std::string attributes, Duration deadline);
  static awaitable<void> move_head(Engine* self, Hash256 block, bool to_child);
  static awaitable<void> check_head(Engine* self, Hash256 block);
  static awaitable<Hash256> hash_at(Engine* self, std::string number);
  static awaitable<std::optional<std::vector<Receipt>>> receipts_of(Engine* self, std::uint64_t number,
                                                                    std::size_t count);
  static awaitable<void> fill_pool(Engine* self, std::vector<std::string> candidates);
  EngineClient& client() const;

  Options options_;
  std::shared_ptr<EngineClient> client_; // null while it is down
  std::string why_down_ = "it has not been started";
  Mutex asking_;
  Hash256 genesis_;
  Hash256 wanted_;
  std::optional<Hash256> head_; // where its head is, when that is known
  std::unordered_set<Hash256> pooled_;
  Recent<Hash256, Ran> ran_{256};
  Recent<Hash256, Built> built_{16};
  Recent<Hash256, Read> read_{4096};
};

} // namespace trunkline::quarkchain

// The backend of a slave whose shards have execution layers: real sockets, a context of its own, two chains of which one
// or both are ours, and a hand that is master and wallet.
#pragma once

#include "services/quarkchain/shards/shard_backend.hpp"
#include "tests/services/quarkchain/recording_host.hpp"
#include "tests/services/quarkchain/shard/shard_chain.hpp"

#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::quarkchain::test {

/// Rewards of two gwei, no PoSW, prices from zero on.
Settings engine_settings(const std::string& alloc = {});

class EngineBench {
 public:
  static constexpr std::uint32_t own = ShardChain::own;
  static constexpr std::uint32_t other = ShardChain::other;

  EngineBench(EngineSettings engine, std::vector<std::uint32_t> shards = {own}, const Settings& settings = engine_settings());
  ~EngineBench();

  /// The process ends, and begins again on what it has kept. Errors: ConfigFailure.
  void open();
  void close();
  /// What the next process writes to, when it is not the store itself.
  std::function<std::unique_ptr<Store>(Store&)> wrap;

  void begin();
  /// Runs the context until this is so. Errors: std::runtime_error after half a minute.
  void wait_until(const std::function<bool()>& so);
  void wait_for(Duration duration);
  void run(awaitable<void> call);
  template <class T> T run_for(awaitable<T> call) {
    std::optional<T> kept;
    run(keep_in(std::move(call), &kept));
    return std::move(*kept);
  }
  template <class Request> typename Rpc<Request>::Reply ask(Request request) {
    return run_for(backend->on(std::move(request)));
  }
  /// The error code with which something is refused; 0 when it is not.
  std::uint32_t code_of(const std::function<void()>& call);

  MinorBlock next_block(std::uint32_t branch = own);
  void add(const MinorBlock& block);
  MinorBlock mined(std::uint32_t branch = own);
  RootBlock root_of(const RootBlock& parent, std::vector<MinorBlockHeader> minors, std::uint64_t difficulty = 1000);
  void add(const RootBlock& root);
  MinorBlock tip(std::uint32_t branch = own) const { return backend->tip_of(branch).value(); }
  /// Of Ethereum, signed by the first signer.
  TypedTransaction transaction(std::uint64_t nonce, const std::optional<Recipient>& to, std::uint64_t value,
                               const std::string& data = {}, std::uint64_t gas = 200000);
  void send(const TypedTransaction& transaction);
  GetTransactionReceiptResponse receipt(const TypedTransaction& transaction);
  BigUint balance(const Recipient& who, std::uint32_t branch = own);
  bool said(const std::string& part) const;

  const QuarkChainConfig& config() const { return hand_.config(); }
  const RootBlock& genesis() const { return hand_.genesis_root(); }

  asio::io_context io{1};
  EngineSettings engine;
  std::uint64_t time = 1600000000;
  std::shared_ptr<RecordingHost> around;
  std::map<std::uint32_t, std::shared_ptr<Store>> stores;
  std::vector<std::string> log;
  std::shared_ptr<ShardBackend> backend;

 private:
  template <class T> static awaitable<void> keep_in(awaitable<T> call, std::optional<T>* into) {
    into->emplace(co_await std::move(call));
  }
  ShardChain hand_;
  std::vector<std::uint32_t> shards_;
  std::uint64_t random_ = 1;
};

} // namespace trunkline::quarkchain::test

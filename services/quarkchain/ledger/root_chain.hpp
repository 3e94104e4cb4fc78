// The embedded backend of a master: keeps the root chain and what slaves report, and makes root blocks of it. It checks
// linkage, not proof of work, signatures or difficulty.
#pragma once

#include "fragment/log.hpp"
#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/backend/root_backend.hpp"
#include "services/quarkchain/store/store.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

class RootChain : public RootBackend {
 public:
  /// Takes up the chain that the store holds, else begins with genesis. Errors: StoreFailure; ConfigFailure when the
  /// store is of another genesis.
  RootChain(const QuarkChainConfig& config, std::unique_ptr<Store> store, LogSink log = {},
            std::function<std::uint64_t()> unix_time = {});
  ~RootChain() override;

  awaitable<RootBlock> root_tip() override;
  awaitable<RootBlockHeader> genesis() override;
  awaitable<AddMinorBlockHeaderResponse> on(std::string from, AddMinorBlockHeaderRequest request) override;
  awaitable<AddMinorBlockHeaderListResponse> on(std::string from, AddMinorBlockHeaderListRequest request) override;
  awaitable<void> on(std::uint64_t peer, NewMinorBlockHeaderListCommand command) override;
  awaitable<void> on(std::uint64_t peer, NewRootBlockCommand command) override;
  awaitable<GetRootBlockHeaderListResponse> on(std::uint64_t peer,
                                               GetRootBlockHeaderListWithSkipRequest request) override;
  awaitable<GetRootBlockListResponse> on(std::uint64_t peer, GetRootBlockListRequest request) override;

  const RootBlock& tip() const noexcept;
  const RootBlock& genesis_block() const noexcept;
  std::optional<RootBlock> block(const Hash256& hash) const;
  /// The block after `parent` with these headers, of which those that no slave has reported, or that do not continue
  /// their shard on this chain, are left out. Errors: Refused for a parent that is not known.
  RootBlock next_block(const Hash256& parent, const std::vector<HeadersInfo>& headers, const Address& coinbase) const;
  /// Keeps it; says whether it is the new tip. Errors: Refused when its parent is not known or a field does not fit.
  bool add(const RootBlock& block);
  /// Whether a slave has reported it.
  bool is_reported(const Hash256& minor_block_hash) const;
  /// The statistics that came last, by shard.
  const std::map<std::uint32_t, ShardStats>& stats() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace trunkline::quarkchain

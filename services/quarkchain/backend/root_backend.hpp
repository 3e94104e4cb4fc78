// What a node author implements for a master: what it does with the root chain, and with what slaves and other clusters
// tell it. Domain types only. As with Backend, what is left out throws NotImplemented.
#pragma once

#include "async/types.hpp"
#include "services/quarkchain/backend/backend.hpp"
#include "services/quarkchain/protocol/p2p_messages.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace trunkline::quarkchain {

struct RootHeaderPage {
  RootBlockHeader root_tip;
  std::vector<RootBlockHeader> headers;
};

/// What a master does. Everything runs on the master's executor.
class RootBackend {
 public:
  virtual ~RootBackend() = default;

  /// What slaves are told at their start, and peers in HELLO.
  virtual awaitable<RootBlock> root_tip() = 0;
  virtual awaitable<RootBlockHeader> genesis() = 0;

  // A slave says; `from` is its id. Both come also while the master waits for the slave's PONG.

  /// Returns what the slave's artificial transactions shall be.
  virtual awaitable<ArtificialTxConfig> add_minor_block_header(std::string from, MinorBlockReport report);
  virtual awaitable<void> add_minor_block_header_list(std::string from, std::vector<MinorBlockHeader> headers,
                                                      std::vector<TokenBalanceMap> coinbase_amounts);

  // Another cluster says or asks, on the root chain. Whatever fails closes its connection.

  virtual awaitable<void> on_new_tip(std::uint64_t peer, RootBlockHeader tip);
  virtual awaitable<void> on_new_transaction_list(std::uint64_t peer, std::vector<TypedTransaction> transactions);
  virtual awaitable<void> on_new_root_block(std::uint64_t peer, RootBlock block);
  virtual awaitable<RootHeaderPage> get_root_block_header_list(HeaderQuery query);
  /// Those that are not known are left out.
  virtual awaitable<std::vector<RootBlock>> get_root_block_list(std::vector<Hash256> hashes);
};

} // namespace trunkline::quarkchain

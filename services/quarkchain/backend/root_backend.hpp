// What a node author implements for a master: what it does with the root chain, and with what slaves and other clusters
// tell it. As with Backend it speaks the messages, and what is left out throws NotImplemented.
#pragma once

#include "async/types.hpp"
#include "services/quarkchain/backend/backend.hpp"

#include <cstdint>
#include <string>

namespace trunkline::quarkchain {

/// What a master does. Everything runs on the master's executor.
class RootBackend {
 public:
  virtual ~RootBackend() = default;

  /// What slaves are told at their start, and peers in HELLO.
  virtual awaitable<RootBlock> root_tip() = 0;
  virtual awaitable<RootBlockHeader> genesis() = 0;

  // A slave says, `from` is its id: awaitable<Reply> on(std::string from, Request). Comes also while the master waits
  // for the slave's PONG.

#define QUARKCHAIN_ON(CODE, NAME, REQUEST, REPLY, SENDERS, UNSERVED, WHO) \
  QUARKCHAIN_OF_MASTER(WHO, virtual awaitable<Rpc<REQUEST>::Reply> on(std::string from, REQUEST request);)
  QUARKCHAIN_CLUSTER_OPS(QUARKCHAIN_ON, QUARKCHAIN_NOTHING, QUARKCHAIN_NOTHING)
#undef QUARKCHAIN_ON

  // Another cluster says or asks, on the root chain: awaitable<Reply> on(std::uint64_t peer, Request), awaitable<void>
  // on(std::uint64_t peer, Command). Peer 0 is this master itself. Whatever fails closes the peer's connection. What it
  // says to be its tip in HELLO comes as NewMinorBlockHeaderListCommand, too.

#define QUARKCHAIN_ON(CODE, NAME, REQUEST, REPLY, SENDERS, UNSERVED, WHO) \
  QUARKCHAIN_OF_MASTER(WHO, virtual awaitable<Rpc<REQUEST>::Reply> on(std::uint64_t peer, REQUEST request);)
#define QUARKCHAIN_HEAR(CODE, NAME, COMMAND, SENDERS, UNSERVED, WHO) \
  QUARKCHAIN_OF_MASTER(WHO, virtual awaitable<void> on(std::uint64_t peer, COMMAND command);)
  QUARKCHAIN_COMMAND_OPS(QUARKCHAIN_ON, QUARKCHAIN_NOTHING, QUARKCHAIN_HEAR)
#undef QUARKCHAIN_ON
#undef QUARKCHAIN_HEAR
};

} // namespace trunkline::quarkchain

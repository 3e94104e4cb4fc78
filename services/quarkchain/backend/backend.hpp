// What a node author implements: what a slave does with blocks, transactions and accounts. It speaks the messages: an
// `on` for each that the opcode table gives to a slave's backend, such as
//
//   awaitable<GasPriceResponse> on(GasPriceRequest request) override;
//
// Nothing has to be implemented: what is left out throws NotImplemented, and the far side gets the answer that the
// opcode table states for it. What cannot be done throws Refused, what is not there NotFound: they set the error_code
// of a reply, which is 0 whatever a backend writes there. Every method runs on the slave's executor, and several may
// run at once: each up to its first wait in the order in which the requests came.
#pragma once

#include "async/types.hpp"
#include "services/quarkchain/chain/core_types.hpp"
#include "services/quarkchain/protocol/opcodes.hpp"
#include "services/quarkchain/rpc/refusal.hpp"

#include <compare>
#include <cstdint>
#include <memory>
#include <vector>

namespace trunkline::quarkchain {

/// A peer of one shard.
struct PeerShard {
  std::uint32_t branch = 0;
  std::uint64_t cluster_peer_id = 0;
  friend constexpr auto operator<=>(const PeerShard&, const PeerShard&) = default;
};

/// What a backend can reach from where it runs: its master, the other slaves, the peers of its shards. What is sent
/// fails with the boost::system::system_error of the connection, or with Refused.
class BackendHost {
 public:
  virtual ~BackendHost() = default;

  /// Tells the master of a block and waits until it has taken note. Returns what the master wants artificial
  /// transactions to be.
  virtual awaitable<ArtificialTxConfig> add_minor_block_header(AddMinorBlockHeaderRequest report) = 0;
  /// The same for many, without statistics. As many amounts as headers.
  virtual awaitable<void> add_minor_block_header_list(AddMinorBlockHeaderListRequest reports) = 0;
  /// Sends a list to every other slave that runs its branch, all at once, and waits until each has it. Errors also:
  /// error::connect_failed that names a slave which runs it and is not connected.
  virtual awaitable<void> add_xshard_tx_list(AddXshardTxListRequest list) = 0;
  /// The same for many lists, whatever their branches.
  virtual awaitable<void> batch_add_xshard_tx_list(std::vector<AddXshardTxListRequest> lists) = 0;

  /// Open ones, by ascending id.
  virtual std::vector<PeerShard> peers_of(std::uint32_t branch) const = 0;
  /// Announces a tip, transactions or a block to one peer. Nobody answers.
  virtual awaitable<void> tell(PeerShard to, NewMinorBlockHeaderListCommand tip) = 0;
  virtual awaitable<void> tell(PeerShard to, NewTransactionListCommand transactions) = 0;
  virtual awaitable<void> tell(PeerShard to, NewBlockMinorCommand block) = 0;
  /// Blocks that a peer does not have are left out.
  virtual awaitable<GetMinorBlockListResponse> ask(PeerShard from, GetMinorBlockListRequest request) = 0;
  virtual awaitable<GetMinorBlockHeaderListResponse> ask(PeerShard from,
                                                         GetMinorBlockHeaderListWithSkipRequest request) = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// Called once, before everything else; `host` may be kept and dies with the slave.
  virtual void attach(std::weak_ptr<BackendHost> host) { (void)host; }
  /// Called when the slave has ended: what runs by itself ends, too.
  virtual void detach() {}
  /// The full shard ids that exist here; they never become fewer. Asked after each create_shards and
  /// AddRootBlockRequest.
  virtual std::vector<std::uint32_t> shards() const { return {}; }
  /// The master's PING with a root tip: shards whose genesis is due come to be before this returns, and are reported.
  virtual awaitable<void> create_shards(RootBlock root_tip);

  // The master asks, or another slave: awaitable<Reply> on(Request). Errors of each: Refused; anything else closes the
  // connection.

#define QUARKCHAIN_ON(CODE, NAME, REQUEST, REPLY, SENDERS, UNSERVED, WHO) \
  QUARKCHAIN_OF_SLAVE(WHO, virtual awaitable<Rpc<REQUEST>::Reply> on(REQUEST request);)
  QUARKCHAIN_CLUSTER_OPS(QUARKCHAIN_ON, QUARKCHAIN_NOTHING, QUARKCHAIN_NOTHING)
#undef QUARKCHAIN_ON

  // A peer of a shard asks or says: awaitable<Reply> on(PeerShard from, Request), awaitable<void> on(PeerShard from,
  // Command). Branches are that of `from`. Refused or any other failure closes that peer's circuit, and nothing else.

#define QUARKCHAIN_ON(CODE, NAME, REQUEST, REPLY, SENDERS, UNSERVED, WHO) \
  QUARKCHAIN_OF_SLAVE(WHO, virtual awaitable<Rpc<REQUEST>::Reply> on(PeerShard from, REQUEST request);)
#define QUARKCHAIN_HEAR(CODE, NAME, COMMAND, SENDERS, UNSERVED, WHO) \
  QUARKCHAIN_OF_SLAVE(WHO, virtual awaitable<void> on(PeerShard from, COMMAND command);)
  QUARKCHAIN_COMMAND_OPS(QUARKCHAIN_ON, QUARKCHAIN_NOTHING, QUARKCHAIN_HEAR)
#undef QUARKCHAIN_ON
#undef QUARKCHAIN_HEAR
};

} // namespace trunkline::quarkchain

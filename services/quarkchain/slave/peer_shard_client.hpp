// A shard's way to a peer of it.
#pragma once

#include "services/quarkchain/rpc/client.hpp"

namespace trunkline::quarkchain {

class PeerShardClient : public Client<shard> {
 public:
  using Client::Client;

  /// From a hash, without skips, towards genesis: opcode 11; anything else: opcode 19. `request` may be dropped at
  /// once.
  awaitable<GetMinorBlockHeaderListResponse> headers(const GetMinorBlockHeaderListWithSkipRequest& request) const;
};

} // namespace trunkline::quarkchain

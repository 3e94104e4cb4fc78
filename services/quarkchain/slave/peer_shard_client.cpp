#include "services/quarkchain/slave/peer_shard_client.hpp"

namespace trunkline::quarkchain {

awaitable<GetMinorBlockHeaderListResponse> PeerShardClient::headers(
    const GetMinorBlockHeaderListWithSkipRequest& request) const {
  if (request.type != 0 || request.skip != 0 || request.direction != 0) return ask(request);
  GetMinorBlockHeaderListRequest older;
  older.block_hash = request.data;
  older.branch = request.branch;
  older.limit = request.limit;
  return ask(older);
}

} // namespace trunkline::quarkchain

// What a backend that leaves something out does.
#include "services/quarkchain/backend/backend.hpp"

namespace trunkline::quarkchain {

awaitable<void> Backend::create_shards(RootBlock) { return left_out<void>("create_shards"); }

#define QUARKCHAIN_ON(CODE, NAME, REQUEST, REPLY, SENDERS, UNSERVED, WHO) \
  QUARKCHAIN_OF_SLAVE(                                                    \
      WHO, awaitable<Rpc<REQUEST>::Reply> Backend::on(REQUEST) { return left_out<Rpc<REQUEST>::Reply>(#REQUEST); })
QUARKCHAIN_CLUSTER_OPS(QUARKCHAIN_ON, QUARKCHAIN_NOTHING, QUARKCHAIN_NOTHING)
#undef QUARKCHAIN_ON

#define QUARKCHAIN_ON(CODE, NAME, REQUEST, REPLY, SENDERS, UNSERVED, WHO)   \
  QUARKCHAIN_OF_SLAVE(                                                      \
      WHO, awaitable<Rpc<REQUEST>::Reply> Backend::on(PeerShard, REQUEST) { \
        return left_out<Rpc<REQUEST>::Reply>(#REQUEST);                     \
      })
#define QUARKCHAIN_HEAR(CODE, NAME, COMMAND, SENDERS, UNSERVED, WHO) \
  QUARKCHAIN_OF_SLAVE(WHO, awaitable<void> Backend::on(PeerShard, COMMAND) { return left_out<void>(#COMMAND); })
QUARKCHAIN_COMMAND_OPS(QUARKCHAIN_ON, QUARKCHAIN_NOTHING, QUARKCHAIN_HEAR)

} // namespace trunkline::quarkchain

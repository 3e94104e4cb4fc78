// As backend.cpp, for a master.
#include "services/quarkchain/backend/root_backend.hpp"

namespace trunkline::quarkchain {

#define QUARKCHAIN_ON(CODE, NAME, REQUEST, REPLY, SENDERS, UNSERVED, WHO)         \
  QUARKCHAIN_OF_MASTER(                                                           \
      WHO, awaitable<Rpc<REQUEST>::Reply> RootBackend::on(std::string, REQUEST) { \
        return left_out<Rpc<REQUEST>::Reply>(#REQUEST);                           \
      })
QUARKCHAIN_CLUSTER_OPS(QUARKCHAIN_ON, QUARKCHAIN_NOTHING, QUARKCHAIN_NOTHING)
#undef QUARKCHAIN_ON

#define QUARKCHAIN_ON(CODE, NAME, REQUEST, REPLY, SENDERS, UNSERVED, WHO)           \
  QUARKCHAIN_OF_MASTER(                                                             \
      WHO, awaitable<Rpc<REQUEST>::Reply> RootBackend::on(std::uint64_t, REQUEST) { \
        return left_out<Rpc<REQUEST>::Reply>(#REQUEST);                             \
      })
#define QUARKCHAIN_HEAR(CODE, NAME, COMMAND, SENDERS, UNSERVED, WHO) \
  QUARKCHAIN_OF_MASTER(                                              \
      WHO, awaitable<void> RootBackend::on(std::uint64_t, COMMAND) { return left_out<void>(#COMMAND); })
QUARKCHAIN_COMMAND_OPS(QUARKCHAIN_ON, QUARKCHAIN_NOTHING, QUARKCHAIN_HEAR)

} // namespace trunkline::quarkchain

#include "services/quarkchain/protocol/cluster_messages.hpp"
#include "services/quarkchain/chain/codec_fields.hpp"

namespace trunkline::quarkchain {

QUARKCHAIN_CORE_TYPES(QUARKCHAIN_EXTERN_CODEC)
#define QUARKCHAIN_ROW(CODE, NAME, MESSAGE, ...) QUARKCHAIN_INSTANTIATE_CODEC(MESSAGE)
QUARKCHAIN_CLUSTER_TYPES(QUARKCHAIN_ROW, QUARKCHAIN_INSTANTIATE_CODEC)

} // namespace trunkline::quarkchain

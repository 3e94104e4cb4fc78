#include "services/quarkchain/cluster_messages.hpp"
#include "services/quarkchain/codec_fields.hpp"

namespace trunkline::quarkchain {

QUARKCHAIN_CORE_TYPES(QUARKCHAIN_EXTERN_CODEC)
QUARKCHAIN_CLUSTER_TYPES(QUARKCHAIN_INSTANTIATE_CODEC)

} // namespace trunkline::quarkchain

#include "services/quarkchain/chain/codec_fields.hpp"
#include "services/quarkchain/protocol/p2p_messages.hpp"

namespace trunkline::quarkchain {

QUARKCHAIN_CORE_TYPES(QUARKCHAIN_EXTERN_CODEC)
QUARKCHAIN_P2P_TYPES(QUARKCHAIN_INSTANTIATE_CODEC)

} // namespace trunkline::quarkchain

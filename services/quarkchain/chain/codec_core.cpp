#include "services/quarkchain/chain/codec_fields.hpp"

namespace trunkline::quarkchain {

QUARKCHAIN_CORE_TYPES(QUARKCHAIN_INSTANTIATE_CODEC)

} // namespace trunkline::quarkchain

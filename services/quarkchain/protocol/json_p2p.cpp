#include "services/quarkchain/chain/json_fields.hpp"
#include "services/quarkchain/protocol/p2p_messages.hpp"
#include "services/quarkchain/protocol/types.hpp"

namespace trunkline::quarkchain {

QUARKCHAIN_CORE_TYPES(QUARKCHAIN_EXTERN_JSON)
QUARKCHAIN_P2P_TYPES(QUARKCHAIN_INSTANTIATE_JSON)

std::span<const TypeInfo> p2p_types() {
  static constexpr TypeInfo table[] = {QUARKCHAIN_P2P_TYPES(QUARKCHAIN_TYPE_INFO)};
  return table;
}

} // namespace trunkline::quarkchain

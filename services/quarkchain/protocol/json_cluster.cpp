#include "services/quarkchain/protocol/cluster_messages.hpp"
#include "services/quarkchain/chain/json_fields.hpp"

namespace trunkline::quarkchain {

QUARKCHAIN_CORE_TYPES(QUARKCHAIN_EXTERN_JSON)
QUARKCHAIN_CLUSTER_TYPES(QUARKCHAIN_INSTANTIATE_JSON)

std::span<const TypeInfo> cluster_types() {
  static constexpr TypeInfo table[] = {QUARKCHAIN_CLUSTER_TYPES(QUARKCHAIN_TYPE_INFO)};
  return table;
}

} // namespace trunkline::quarkchain

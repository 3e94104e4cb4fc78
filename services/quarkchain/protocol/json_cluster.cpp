#include "services/quarkchain/protocol/cluster_messages.hpp"
#include "services/quarkchain/chain/json_fields.hpp"
#include "services/quarkchain/protocol/types.hpp"

namespace trunkline::quarkchain {

QUARKCHAIN_CORE_TYPES(QUARKCHAIN_EXTERN_JSON)
#define QUARKCHAIN_ROW(CODE, NAME, MESSAGE, ...) QUARKCHAIN_INSTANTIATE_JSON(MESSAGE)
QUARKCHAIN_CLUSTER_TYPES(QUARKCHAIN_ROW, QUARKCHAIN_INSTANTIATE_JSON)

#define QUARKCHAIN_TYPE_ROW(CODE, NAME, MESSAGE, ...) QUARKCHAIN_TYPE_INFO(MESSAGE)
std::span<const TypeInfo> cluster_types() {
  static constexpr TypeInfo table[] = {QUARKCHAIN_CLUSTER_TYPES(QUARKCHAIN_TYPE_ROW, QUARKCHAIN_TYPE_INFO)};
  return table;
}

} // namespace trunkline::quarkchain

// Which headers a peer asks for, in the two forms in which it travels. Internal to the peers' clients and services.
#pragma once

#include "services/quarkchain/backend/backend.hpp"

namespace trunkline::quarkchain {

/// A height as `data` holds it: big-endian in 32 bytes. Errors: Refused for one that does not fit.
Hash256 data_of_height(const BigUint& height);
/// What type and data of the opcodes with skips mean. Errors: Refused for another type or direction than 0 and 1.
HeaderQuery header_query(std::uint8_t type, const Hash256& data, std::uint32_t limit, std::uint32_t skip,
                         std::uint8_t direction);

} // namespace trunkline::quarkchain

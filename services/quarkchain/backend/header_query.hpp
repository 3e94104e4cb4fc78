// Which headers a peer asks for. It travels in two forms, of which one says all that the other does: backends are asked
// in that one, and read it here.
#pragma once

#include "services/quarkchain/protocol/p2p_messages.hpp"

#include <cstdint>
#include <optional>

namespace trunkline::quarkchain {

struct HeaderQuery {
  std::optional<Hash256> hash; // of the first one; otherwise `height` is its height on the best chain
  BigUint height;
  std::uint32_t limit = 0;
  std::uint32_t skip = 0; // left out between two
  bool towards_tip = false;

  /// Errors: Refused for another type or direction than 0 and 1.
  static HeaderQuery of(const GetMinorBlockHeaderListWithSkipRequest& request);
  static HeaderQuery of(const GetRootBlockHeaderListWithSkipRequest& request);
};

/// A height as `data` of these requests holds it: big-endian in 32 bytes. Errors: Refused for one that does not fit.
Hash256 data_of_height(const BigUint& height);

/// From a hash towards genesis, the only way that the older request knows. Errors: Refused for a direction other than
/// 0.
GetMinorBlockHeaderListWithSkipRequest with_skip(const GetMinorBlockHeaderListRequest& request);
GetRootBlockHeaderListWithSkipRequest with_skip(const GetRootBlockHeaderListRequest& request);

} // namespace trunkline::quarkchain

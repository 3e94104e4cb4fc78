#include "services/quarkchain/backend/header_query.hpp"

#include "services/quarkchain/rpc/refusal.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

template <class Request> HeaderQuery read(const Request& request) {
  if (request.type > 1) throw Refused(Refusal::failed, fmt::format("type is {}, expected 0 or 1", request.type));
  if (request.direction > 1)
    throw Refused(Refusal::failed, fmt::format("direction is {}, expected 0 or 1", request.direction));
  HeaderQuery query;
  if (request.type == 0) {
    query.hash = request.data;
  } else {
    query.height = *BigUint::from_bytes(request.data);
  }
  query.limit = request.limit;
  query.skip = request.skip;
  query.towards_tip = request.direction == 1;
  return query;
}

template <class WithSkip, class Request> WithSkip from_hash(const Request& request) {
  if (request.direction != 0)
    throw Refused(Refusal::failed, fmt::format("direction is {}, expected 0", request.direction));
  WithSkip with_skip;
  with_skip.data = request.block_hash;
  with_skip.limit = request.limit;
  return with_skip;
}

} // namespace

HeaderQuery HeaderQuery::of(const GetMinorBlockHeaderListWithSkipRequest& request) { return read(request); }
HeaderQuery HeaderQuery::of(const GetRootBlockHeaderListWithSkipRequest& request) { return read(request); }

Hash256 data_of_height(const BigUint& height) {
  const auto number = Uint256::from_bytes(bytes_of(height.bytes()));
  if (!number) throw Refused(Refusal::failed, "a height of more than 32 bytes");
  return *Hash256::from_bytes(number->bytes());
}

GetMinorBlockHeaderListWithSkipRequest with_skip(const GetMinorBlockHeaderListRequest& request) {
  auto with_skip = from_hash<GetMinorBlockHeaderListWithSkipRequest>(request);
  with_skip.branch = request.branch;
  return with_skip;
}

GetRootBlockHeaderListWithSkipRequest with_skip(const GetRootBlockHeaderListRequest& request) {
  return from_hash<GetRootBlockHeaderListWithSkipRequest>(request);
}

} // namespace trunkline::quarkchain

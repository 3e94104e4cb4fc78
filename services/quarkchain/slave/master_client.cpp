#include "services/quarkchain/slave/master_client.hpp"

#include "services/quarkchain/rpc/typed_call.hpp"

namespace trunkline::quarkchain {
namespace {

awaitable<ArtificialTxConfig> artificial_of(awaitable<AddMinorBlockHeaderResponse> call) {
  const AddMinorBlockHeaderResponse reply = co_await std::move(call);
  co_return reply.artificial_tx_config;
}

awaitable<void> done(awaitable<AddMinorBlockHeaderListResponse> call) { (void)co_await std::move(call); }

} // namespace

awaitable<ArtificialTxConfig> MasterClient::add_minor_block_header(const MinorBlockReport& report) const {
  AddMinorBlockHeaderRequest request;
  request.minor_block_header = report.header;
  request.tx_count = report.tx_count;
  request.x_shard_tx_count = report.x_shard_tx_count;
  request.coinbase_amount_map = report.coinbase_amount_map;
  request.shard_stats = report.shard_stats;
  return artificial_of(typed_call(CallVia(circuit_, deadline_), request));
}

awaitable<void> MasterClient::add_minor_block_header_list(const std::vector<MinorBlockHeader>& headers,
                                                          const std::vector<TokenBalanceMap>& coinbase_amounts) const {
  AddMinorBlockHeaderListRequest request;
  request.minor_block_header_list = headers;
  request.coinbase_amount_map_list = coinbase_amounts;
  return done(typed_call(CallVia(circuit_, deadline_), request));
}

} // namespace trunkline::quarkchain

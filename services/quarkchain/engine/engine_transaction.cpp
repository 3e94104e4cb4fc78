#include "services/quarkchain/engine/engine_transaction.hpp"

#include "services/quarkchain/chain/rlp.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

constexpr std::size_t items_count = 9;

BigUint number_in(std::string_view item) { return BigUint::from_bytes(bytes_of(item)).value_or(BigUint()); }

} // namespace

std::string ethereum_form(const EvmTransaction& tx) {
  RlpList list;
  list.add(tx.nonce).add(tx.gasprice).add(tx.startgas);
  list.add(tx.to ? text_of(tx.to->bytes) : std::string_view());
  list.add(tx.value).add(tx.data).add(tx.v).add(tx.r).add(tx.s);
  return list.encoded();
}

EvmTransaction quarkchain_form(std::string_view raw, const ShardConfig& shard) try {
  const std::vector<std::string_view> items = rlp_items(raw, items_count);
  const auto to = items.size() == items_count ? Recipient::from_bytes(bytes_of(items[3])) : std::nullopt;
  if (items.size() != items_count || (!items[3].empty() && !to))
    throw TransactionFailure(fmt::format("a transaction of the execution layer: expected {} items and a recipient of {} "
                                         "bytes or none, seen {} items",
                                         items_count, Recipient::size, items.size()));
  EvmTransaction tx;
  tx.nonce = number_in(items[0]);
  tx.gasprice = number_in(items[1]);
  tx.startgas = number_in(items[2]);
  tx.to = to;
  tx.value = number_in(items[4]);
  tx.data = items[5];
  tx.v = number_in(items[6]);
  tx.r = number_in(items[7]);
  tx.s = number_in(items[8]);
  tx.network_id = BigUint(shard.eth_chain_id);
  tx.from_full_shard_key = tx.to_full_shard_key = shard.chain_id << 16;
  tx.gas_token_id = tx.transfer_token_id = token_id(shard.default_chain_token).value();
  tx.version = BigUint(2);
  return tx;
} catch (const RlpFailure& failure) {
  throw TransactionFailure(std::string("a transaction of the execution layer: ") + failure.what());
}

} // namespace trunkline::quarkchain

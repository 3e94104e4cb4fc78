#include "services/quarkchain/engine/payload.hpp"

#include "services/quarkchain/engine/engine_json.hpp"
#include "services/quarkchain/execution/executor.hpp"

#include <fmt/format.h>

namespace trunkline::quarkchain {
namespace {

using engine_json::digits;
using engine_json::quantity;

constexpr char mark_version = 1;
constexpr std::size_t mark_bytes = 1 + 2 * Hash256::size;

template <class T> T fixed(const Json& payload, const char* name) {
  const std::string bytes = engine_json::bytes(engine_json::member(payload, name, "payload"), name);
  const auto value = T::from_bytes(bytes_of(bytes));
  if (!value || bytes.size() != T::size)
    throw ExecutorDown(fmt::format("payload: {}: expected {} bytes, seen {}", name, T::size, bytes.size()));
  return *value;
}

std::uint64_t small(const Json& payload, const char* name) {
  return engine_json::small_number(engine_json::member(payload, name, "payload"), name);
}

} // namespace

std::string json_of(const std::vector<Withdrawal>& withdrawals) {
  std::string all;
  for (const Withdrawal& each : withdrawals)
    all += fmt::format(R"({}{{"index":{},"validatorIndex":"0x0","address":{},"amount":{}}})", all.empty() ? "" : ",",
                       quantity(each.index), digits(each.who), quantity(each.gwei));
  return "[" + all + "]";
}

std::string EnginePayload::to_json() const {
  std::string all;
  for (const std::string& transaction : transactions) all += (all.empty() ? "" : ",") + digits(transaction);
  return fmt::format(
      R"({{"parentHash":{},"feeRecipient":{},"stateRoot":{},"receiptsRoot":{},"logsBloom":{},"prevRandao":{},)"
      R"("blockNumber":{},"gasLimit":{},"gasUsed":{},"timestamp":{},"extraData":{},"baseFeePerGas":{},"blockHash":{},)"
      R"("transactions":[{}],"withdrawals":{}}})",
      digits(parent_hash), digits(fee_recipient), digits(state_root), digits(receipts_root), digits(bloom), digits(prev_randao),
      quantity(number), quantity(gas_limit), quantity(gas_used), quantity(timestamp), digits(extra_data),
      quantity(base_fee.to_big()), digits(block_hash), all, json_of(withdrawals));
}

EnginePayload EnginePayload::from_json(const Json& json) {
  EnginePayload payload;
  payload.parent_hash = fixed<Hash256>(json, "parentHash");
  payload.fee_recipient = fixed<Recipient>(json, "feeRecipient");
  payload.state_root = fixed<Hash256>(json, "stateRoot");
  payload.receipts_root = fixed<Hash256>(json, "receiptsRoot");
  payload.bloom = fixed<Uint2048>(json, "logsBloom");
  payload.prev_randao = fixed<Hash256>(json, "prevRandao");
  payload.number = small(json, "blockNumber");
  payload.gas_limit = small(json, "gasLimit");
  payload.gas_used = small(json, "gasUsed");
  payload.timestamp = small(json, "timestamp");
  payload.extra_data = engine_json::bytes(engine_json::member(json, "extraData", "payload"), "extraData");
  const BigUint base_fee =
      engine_json::number(engine_json::member(json, "baseFeePerGas", "payload"), "baseFeePerGas");
  const auto word = Uint256::from_bytes(bytes_of(base_fee.bytes()));
  if (!word) throw ExecutorDown("payload: baseFeePerGas: expected at most 256 bits, seen " + base_fee.to_decimal());
  payload.base_fee = *word;
  payload.block_hash = fixed<Hash256>(json, "blockHash");
  for (const Json& each : engine_json::list(engine_json::member(json, "transactions", "payload"), "transactions"))
    payload.transactions.push_back(engine_json::bytes(each, "a transaction"));
  for (const Json& each : engine_json::list(engine_json::member(json, "withdrawals", "payload"), "withdrawals")) {
    Withdrawal& withdrawal = payload.withdrawals.emplace_back();
    withdrawal.index = small(each, "index");
    withdrawal.who = fixed<Recipient>(each, "address");
    withdrawal.gwei = small(each, "amount");
  }
  return payload;
}

std::string PayloadMark::text() const {
  std::string text(1, mark_version);
  text.append(text_of(block_hash.bytes)).append(text_of(base_fee.bytes())).append(extra_data);
  return text;
}

std::optional<PayloadMark> PayloadMark::from(std::string_view text) {
  if (text.size() < mark_bytes || text.size() > bytes_max || text.front() != mark_version) return std::nullopt;
  PayloadMark mark;
  mark.block_hash = *Hash256::from_bytes(bytes_of(text.substr(1, Hash256::size)));
  mark.base_fee = *Uint256::from_bytes(bytes_of(text.substr(1 + Hash256::size, Hash256::size)));
  mark.extra_data = text.substr(mark_bytes);
  return mark;
}

} // namespace trunkline::quarkchain

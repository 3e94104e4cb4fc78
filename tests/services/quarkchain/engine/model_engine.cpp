#include "tests/services/quarkchain/engine/model_engine.hpp"

#include "async/clock.hpp"
#include "services/quarkchain/chain/keccak.hpp"
#include "services/quarkchain/engine/engine_json.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace trunkline::quarkchain::test {
namespace {

namespace json = engine_json;
using asio::ip::tcp;

constexpr std::uint64_t gas_each = 21000;
constexpr std::size_t huge_bytes = std::size_t{300} << 20;

std::string status(const char* word, const Hash256* latest, const char* error = nullptr) {
  return fmt::format(R"({{"status":"{}","latestValidHash":{},"validationError":{}}})", word,
                     latest ? json::digits(*latest) : "null", error ? fmt::format("\"{}\"", error) : "null");
}

Hash256 state_of(const EnginePayload& payload) {
  std::string text = payload.parent_hash.hex() + json_of(payload.withdrawals);
  for (const std::string& transaction : payload.transactions) text += to_hex(transaction);
  return keccak256(bytes_of(text));
}

} // namespace

const char* name_of(Lie lie) {
  switch (lie) {
    case Lie::none: return "none";
    case Lie::not_moved: return "VALID and not moved";
    case Lie::syncing: return "SYNCING";
    case Lie::another_block: return "another block";
    case Lie::accepted: return "ACCEPTED";
    case Lie::huge: return "300 MiB";
    case Lie::silent: return "silence";
    case Lie::half: return "closed in the body";
    case Lie::failing: return "HTTP 500";
    case Lie::nonsense: return "no JSON";
  }
  return "?";
}

ModelEngine::ModelEngine(asio::io_context& io, std::uint64_t chain_id, Hash256 genesis)
    : chain_id_(chain_id), genesis_(genesis), head_(genesis),
      acceptor_(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)), tasks_(io.get_executor()) {
  tasks_.spawn(serve(this));
}

EngineAddress ModelEngine::address() const {
  EngineAddress address;
  address.rpc_port = address.engine_port = acceptor_.local_endpoint().port();
  address.secret = secret_;
  return address;
}

void ModelEngine::lose_everything() {
  blocks_.clear();
  pool_.clear();
  head_ = genesis_;
}

std::size_t ModelEngine::calls(const std::string& method) const {
  const auto found = calls_.find(method);
  return found == calls_.end() ? 0 : found->second;
}

std::uint64_t ModelEngine::credited(const Recipient& who) const {
  std::uint64_t gwei = 0;
  for (const Hash256& hash : chain())
    if (const auto block = blocks_.find(hash); block != blocks_.end())
      for (const Withdrawal& withdrawal : block->second.payload.withdrawals)
        if (withdrawal.who == who) gwei += withdrawal.gwei;
  return gwei;
}

awaitable<void> ModelEngine::serve(ModelEngine* self) {
  for (;;) {
    auto socket = std::make_shared<tcp::socket>(co_await self->acceptor_.async_accept(asio::use_awaitable));
    self->tasks_.spawn(serve_one(self, std::move(socket)));
  }
}

awaitable<void> ModelEngine::serve_one(ModelEngine* self, std::shared_ptr<tcp::socket> socket) {
  try {
    co_await answer_all(self, std::move(socket));
  } catch (const boost::system::system_error&) { // it has closed the connection
  }
}

awaitable<void> ModelEngine::answer_all(ModelEngine* self, std::shared_ptr<tcp::socket> socket) {
  std::string input;
  for (;;) {
    const std::size_t head = co_await asio::async_read_until(*socket, asio::dynamic_buffer(input), "\r\n\r\n",
                                                             asio::use_awaitable);
    const std::size_t at = input.find("Content-Length: ");
    const std::size_t size = std::stoul(input.substr(at + 16));
    if (input.size() < head + size)
      co_await asio::async_read(*socket, asio::dynamic_buffer(input), asio::transfer_exactly(head + size - input.size()),
                                asio::use_awaitable);
    const Json request = Json::parse(std::string_view(input).substr(head, size));
    const bool signed_in = input.substr(0, head).find("Authorization: Bearer ") != std::string::npos;
    input.erase(0, head + size);
    const std::string method = request.find("method")->text;
    ++self->calls_[method];
    Lie lie = Lie::none;
    if (const auto told = self->lies_.find(method); told != self->lies_.end()) {
      lie = told->second;
      if (lie == Lie::silent || lie == Lie::huge || lie == Lie::half || lie == Lie::failing || lie == Lie::nonsense)
        self->lies_.erase(told);
    }
    if (lie == Lie::silent) co_await sleep_for(std::chrono::hours(1));
    std::string body = lie == Lie::nonsense ? "what?"
                                            : fmt::format(R"({{"jsonrpc":"2.0","id":1,{}}})",
                                                          self->answer(method, *request.find("params")));
    if (lie == Lie::huge) body.resize(huge_bytes, ' ');
    const bool fails = lie == Lie::failing || !signed_in;
    std::string reply = fmt::format("HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                                    fails ? "500 No" : "200 OK", body.size());
    reply += lie == Lie::half ? body.substr(0, body.size() / 2) : body;
    co_await asio::async_write(*socket, asio::buffer(reply), asio::use_awaitable);
    if (lie == Lie::half) co_return;
  }
}

std::vector<Hash256> ModelEngine::chain() const {
  std::vector<Hash256> hashes;
  for (Hash256 at = head_; at != genesis_; at = blocks_.at(at).payload.parent_hash) hashes.push_back(at);
  hashes.push_back(genesis_);
  std::ranges::reverse(hashes);
  return hashes;
}

std::string ModelEngine::block_at(const std::string& number) const {
  const std::vector<Hash256> all = chain();
  const std::size_t at = number == "latest" ? all.size() - 1 : std::stoul(number, nullptr, 16);
  if (at >= all.size()) return R"("result":null)";
  return fmt::format(R"("result":{{"hash":{}}})", json::digits(all[at]));
}

/// The hash says everything that is in it.
void ModelEngine::seal(EnginePayload& payload) {
  payload.block_hash = Hash256();
  payload.block_hash = keccak256(bytes_of(payload.to_json()));
}

std::string ModelEngine::answer(const std::string& method, const Json& params) {
  const auto& given = params.items;
  if (method == "engine_exchangeCapabilities")
    return R"("result":["engine_newPayloadV2","engine_forkchoiceUpdatedV2","engine_getPayloadV2"])";
  if (method == "eth_chainId") return "\"result\":" + json::quantity(chain_id_);
  if (method == "eth_getBlockByNumber") return block_at(given.at(0).text);
  if (method == "engine_newPayloadV2") return "\"result\":" + new_payload(EnginePayload::from_json(given.at(0)));
  if (method == "engine_forkchoiceUpdatedV2") {
    const auto lie = lies_.find(method);
    const Lie how = lie == lies_.end() ? Lie::none : lie->second;
    if (how == Lie::syncing || how == Lie::not_moved) lies_.erase(lie);
    if (how == Lie::syncing)
      return R"("result":{"payloadStatus":)" + status("SYNCING", nullptr) + R"(,"payloadId":null})";
    return "\"result\":" + forkchoice(given.at(0), given.at(1), how != Lie::not_moved);
  }
  if (method == "engine_getPayloadV2")
    return fmt::format(R"("result":{{"executionPayload":{},"blockValue":{}}})", built_.to_json(),
                       json::quantity(0));
  if (method == "eth_sendRawTransaction") {
    pool_.push_back(json::bytes(given.at(0), "transaction"));
    return "\"result\":" + json::digits(keccak256(bytes_of(pool_.back())));
  }
  if (method == "eth_getBlockReceipts") {
    const std::vector<Hash256> all = chain();
    const Block& block = blocks_.at(all.at(json::small_number(given.at(0), "number")));
    std::string receipts;
    for (std::size_t i = 0; block.has_receipts && i < block.payload.transactions.size(); ++i)
      receipts += fmt::format(
          R"({}{{"status":"0x1","cumulativeGasUsed":{},"logsBloom":{},"contractAddress":null,"logs":[]}})",
          i == 0 ? "" : ",", json::quantity(gas_each * (i + 1)), json::digits(Uint2048()));
    return "\"result\":[" + receipts + "]";
  }
  if (method == "eth_getBalance") return "\"result\":" + json::quantity(BigUint(1'000'000'000'000'000'000));
  if (method == "eth_getTransactionCount") {
    std::uint64_t count = 0;
    for (const Hash256& hash : chain())
      if (const auto block = blocks_.find(hash); block != blocks_.end()) count += block->second.payload.transactions.size();
    return "\"result\":" + json::quantity(count);
  }
  if (method == "eth_getCode") return R"("result":"0x")";
  return R"("error":{"code":-32601,"message":"no such method"})";
}

std::string ModelEngine::new_payload(const EnginePayload& payload) {
  if (const auto lie = lies_.find("engine_newPayloadV2"); lie != lies_.end()) {
    const Lie how = lie->second;
    lies_.erase(lie);
    if (how == Lie::accepted) return status("ACCEPTED", nullptr);
    if (how == Lie::another_block) return status("VALID", &payload.parent_hash);
  }
  if (!holds(payload.parent_hash)) return status("ACCEPTED", nullptr);
  EnginePayload same = payload;
  seal(same);
  if (same.block_hash != payload.block_hash) return status("INVALID", nullptr, "invalid block hash");
  if (payload.state_root != state_of(payload)) return status("INVALID", &payload.parent_hash, "invalid state root");
  blocks_.try_emplace(payload.block_hash, Block{payload});
  return status("VALID", &payload.block_hash);
}

std::string ModelEngine::forkchoice(const Json& state, const Json& attributes, bool moves) {
  const Hash256 to = json::hash(*state.find("headBlockHash"), "head");
  if (!holds(to)) return R"({"payloadStatus":)" + status("SYNCING", nullptr) + R"(,"payloadId":null})";
  if (moves && to != genesis_ && to != head_) {
    const std::vector<Hash256> before = chain();
    head_ = to;
    const std::vector<Hash256> now = chain();
    for (const Hash256& hash : before)
      if (std::ranges::find(now, hash) == now.end()) blocks_.at(hash).has_receipts = false;
    for (const std::string& included : blocks_.at(to).payload.transactions) std::erase(pool_, included);
  }
  if (!attributes.is_null()) {
    build(attributes);
    built_.parent_hash = to;
    built_.number = to == genesis_ ? 1 : blocks_.at(to).payload.number + 1;
    built_.state_root = state_of(built_);
    seal(built_);
  }
  return R"({"payloadStatus":)" + status("VALID", &to) +
         (attributes.is_null() ? R"(,"payloadId":null})" : R"(,"payloadId":"0x0000000000000001"})");
}

void ModelEngine::build(const Json& attributes) {
  built_ = EnginePayload();
  built_.timestamp = json::small_number(*attributes.find("timestamp"), "timestamp");
  built_.prev_randao = json::hash(*attributes.find("prevRandao"), "prevRandao");
  built_.fee_recipient =
      *Recipient::from_bytes(bytes_of(json::bytes(*attributes.find("suggestedFeeRecipient"), "recipient")));
  built_.gas_limit = 12000000;
  built_.transactions = pool_;
  built_.gas_used = gas_each * pool_.size();
  for (const Json& each : attributes.find("withdrawals")->items) {
    Withdrawal& withdrawal = built_.withdrawals.emplace_back();
    withdrawal.index = json::small_number(*each.find("index"), "index");
    withdrawal.who = *Recipient::from_bytes(bytes_of(json::bytes(*each.find("address"), "address")));
    withdrawal.gwei = json::small_number(*each.find("amount"), "amount");
  }
}

} // namespace trunkline::quarkchain::test

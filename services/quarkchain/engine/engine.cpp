#include "services/quarkchain/engine/engine.hpp"

#include "services/quarkchain/chain/keccak.hpp"
#include "services/quarkchain/engine/engine_json.hpp"
#include "services/quarkchain/execution/executor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline::quarkchain {
namespace {

namespace json = engine_json;

constexpr std::int64_t invalid_params = -32602;
constexpr const char* methods = R"(["engine_newPayloadV2","engine_forkchoiceUpdatedV2","engine_getPayloadV2"])";

struct Status {
  std::string word;
  std::optional<Hash256> latest_valid;
  std::string error;
};

Status status_of(const Json& reply, const char* what) {
  Status status;
  status.word = json::word(json::member(reply, "status", what), what);
  if (const Json* const latest = reply.find("latestValidHash"); latest && !latest->is_null())
    status.latest_valid = json::hash(*latest, what);
  if (const Json* const error = reply.find("validationError"); error && error->kind == Json::Kind::text)
    status.error = error->text;
  return status;
}

Receipt receipt_of(const Json& from) {
  const auto member = [&](const char* name) -> const Json& { return json::member(from, name, "a receipt"); };
  Receipt receipt;
  receipt.success = json::small_number(member("status"), "status") == 1;
  receipt.cumulative_gas = json::small_number(member("cumulativeGasUsed"), "cumulativeGasUsed");
  const std::string bloom = json::bytes(member("logsBloom"), "logsBloom");
  receipt.bloom = Uint2048::from_bytes(bytes_of(bloom)).value_or(Uint2048());
  if (const Json& contract = member("contractAddress"); !contract.is_null())
    receipt.contract = Recipient::from_bytes(bytes_of(json::bytes(contract, "contractAddress")));
  for (const Json& each : json::list(member("logs"), "logs")) {
    ReceiptLog& log = receipt.logs.emplace_back();
    const std::string address = json::bytes(json::member(each, "address", "a log"), "address");
    log.recipient = Recipient::from_bytes(bytes_of(address)).value_or(Recipient());
    log.data = json::bytes(json::member(each, "data", "a log"), "data");
    for (const Json& topic : json::list(json::member(each, "topics", "a log"), "topics"))
      log.topics.push_back(json::hash(topic, "a topic"));
  }
  return receipt;
}

/// What makes a payload another one than was asked for; nothing for the right one.
std::string differs(const EnginePayload& seen, const EngineTemplate& wanted) {
  if (seen.parent_hash != wanted.parent) return "parentHash is " + seen.parent_hash.hex();
  if (seen.number != wanted.number) return fmt::format("blockNumber is {}", seen.number);
  if (seen.timestamp != wanted.timestamp) return fmt::format("timestamp is {}", seen.timestamp);
  if (seen.gas_limit != wanted.gas_limit)
    return fmt::format("gasLimit is {}, expected {}", seen.gas_limit, wanted.gas_limit);
  if (seen.prev_randao != wanted.prev_randao) return "prevRandao is " + seen.prev_randao.hex();
  if (seen.fee_recipient != wanted.fee_recipient) return "feeRecipient is " + seen.fee_recipient.hex();
  if (seen.withdrawals != wanted.withdrawals) return "withdrawals are others";
  return {};
}

} // namespace

Hash256 EngineTemplate::key() const {
  std::string text = fmt::format("{} {} {} {} {} {} ", parent.hex(), number, timestamp, gas_limit, prev_randao.hex(),
                                 fee_recipient.hex());
  text += json_of(withdrawals);
  return keccak256(bytes_of(text));
}

EngineClient& Engine::client() const {
  if (!client_) throw ExecutorDown(why_down_);
  return *client_;
}

void Engine::disconnect(const std::string& why) noexcept {
  if (client_) client_->close();
  client_.reset();
  why_down_ = why;
}

/// One at a time, and the first that it gets wrong is the last.
awaitable<void> Engine::guarded(awaitable<void> question) {
  const Mutex::Lock lock = co_await asking_.lock();
  const std::shared_ptr<EngineClient> asked = client_; // lives as long as the question
  std::string why;
  try {
    (void)client();
    co_await std::move(question);
    co_return;
  } catch (const ExecutorDown& down) {
    why = down.what();
  } catch (const EngineRefusal& refusal) {
    why = refusal.what();
  }
  if (asked && asked == client_) {
    disconnect(why);
    if (options_.failed) options_.failed(why);
  }
  throw ExecutorDown(why);
}

awaitable<void> Engine::connect(EngineAddress address, const EngineGenesis& genesis) {
  const Mutex::Lock lock = co_await asking_.lock();
  client_ = std::make_shared<EngineClient>(std::move(address), options_.unix_time);
  const std::shared_ptr<EngineClient> asked = client_;
  std::string why;
  try {
    co_await greet(this, &genesis);
    co_return;
  } catch (const ExecutorDown& down) {
    why = down.what();
  } catch (const EngineRefusal& refusal) {
    why = refusal.what();
  } catch (...) {
    disconnect("it is another one");
    throw;
  }
  disconnect(why);
  throw ExecutorDown(why);
}

awaitable<void> Engine::greet(Engine* self, const EngineGenesis* genesis) {
  EngineClient& client = self->client();
  const Duration quick = self->options_.deadlines.quick;
  const Json known = co_await client.engine("engine_exchangeCapabilities", methods, quick);
  for (const char* needed : {"engine_newPayloadV2", "engine_forkchoiceUpdatedV2", "engine_getPayloadV2"}) {
    const auto& names = json::list(known, "engine_exchangeCapabilities");
    if (std::ranges::none_of(names, [&](const Json& name) { return name.text == needed; }))
      throw ConfigFailure(fmt::format("the execution layer does not speak {}", needed));
  }
  const Json chain = co_await client.eth("eth_chainId", "", quick);
  const std::uint64_t seen_chain = json::small_number(chain, "eth_chainId");
  if (seen_chain != genesis->chain_id())
    throw ConfigFailure(
        fmt::format("the execution layer has another chain id: expected {}, seen {}", genesis->chain_id(), seen_chain));
  const Hash256 seen = co_await hash_at(self, "\"0x0\"");
  if (seen != genesis->hash())
    throw ConfigFailure(fmt::format("the execution layer has another genesis: expected {}, seen {}",
                                    genesis->hash().hex(), seen.hex()));
  self->genesis_ = seen;
  self->head_.reset();
  self->pooled_.clear();
  self->ran_ = Recent<Hash256, Ran>(256);
  self->built_ = Recent<Hash256, Built>(16);
}

awaitable<Hash256> Engine::hash_at(Engine* self, std::string number) {
  std::string params = number + ",false";
  const Json block =
      co_await self->client().eth("eth_getBlockByNumber", std::move(params), self->options_.deadlines.quick);
  if (block.is_null()) co_return Hash256();
  co_return json::hash(json::member(block, "hash", "eth_getBlockByNumber"), "hash");
}

awaitable<Json> Engine::forkchoice(Engine* self, Hash256 head, std::string attributes, Duration deadline) {
  // What is final stays zero: a root chain that wins can undo what an earlier one has confirmed.
  std::string params =
      fmt::format(R"({{"headBlockHash":{},"safeBlockHash":{},"finalizedBlockHash":{}}},{})", json::digits(head),
                  json::digits(Hash256()), json::digits(Hash256()), attributes);
  return self->client().engine("engine_forkchoiceUpdatedV2", std::move(params), deadline);
}

awaitable<void> Engine::check_head(Engine* self, Hash256 block) {
  const Hash256 latest = co_await hash_at(self, "\"latest\"");
  // To its genesis it does not go back; the next block that is built there moves it.
  if (latest != block && block != self->genesis_)
    throw ExecutorDown(fmt::format("engine_forkchoiceUpdatedV2: the head was moved to {}, and stays at {}", block.hex(),
                                   latest.hex()));
  self->head_ = block;
}

awaitable<void> Engine::move_head(Engine* self, Hash256 block, bool to_child) {
  self->head_.reset();
  if (!to_child) self->pooled_.clear(); // what left its chain does not come back by itself
  const Json reply = co_await forkchoice(self, block, "null", self->options_.deadlines.slow);
  const Status status = status_of(json::member(reply, "payloadStatus", "forkchoice"), "engine_forkchoiceUpdatedV2");
  if (status.word != "VALID")
    throw ExecutorDown(fmt::format("engine_forkchoiceUpdatedV2 to {}: expected VALID, seen {} {}", block.hex(),
                                   status.word, status.error));
  co_await check_head(self, block);
}

awaitable<bool> Engine::try_head(Hash256 block) {
  bool held = false;
  co_await guarded(try_head(this, block, &held));
  co_return held;
}

awaitable<void> Engine::try_head(Engine* self, Hash256 block, bool* held) {
  self->head_.reset();
  const Json reply = co_await forkchoice(self, block, "null", self->options_.deadlines.slow);
  const Status status = status_of(json::member(reply, "payloadStatus", "forkchoice"), "engine_forkchoiceUpdatedV2");
  *held = status.word == "VALID";
  if (*held) co_await check_head(self, block);
}

awaitable<void> Engine::settle() {
  return guarded(settle(this));
}

awaitable<void> Engine::settle(Engine* self) { co_await settle_now(self); }

awaitable<void> Engine::settle_now(Engine* self) {
  if (self->wanted_.is_zero() || self->head_ == self->wanted_) co_return;
  co_await move_head(self, self->wanted_, false);
}

awaitable<void> Engine::ask_run(EnginePayload payload, Hash256 key) {
  return guarded(run(this, std::move(payload), key));
}

awaitable<void> Engine::run(Engine* self, EnginePayload payload, Hash256 key) {
  if (self->ran(key)) co_return; // asked for twice at once
  const std::size_t count = payload.transactions.size();
  const Duration deadline =
      self->options_.deadlines.slow + self->options_.deadlines.per_transaction * static_cast<int>(count);
  Ran ran;
  try {
    const Json reply = co_await self->client().engine("engine_newPayloadV2", payload.to_json(), deadline);
    const Status status = status_of(reply, "engine_newPayloadV2");
    if (status.word == "INVALID" || status.word == "INVALID_BLOCK_HASH")
      ran.invalid = "the execution layer: " + (status.error.empty() ? status.word : status.error);
    else if (status.word != "VALID")
      throw ExecutorDown(fmt::format("engine_newPayloadV2 of {}: expected VALID or INVALID, seen {}: it does not hold {}",
                                     payload.block_hash.hex(), status.word, payload.parent_hash.hex()));
    else if (status.latest_valid != payload.block_hash)
      throw ExecutorDown(fmt::format("engine_newPayloadV2 of {}: VALID, and of another block: {}",
                                     payload.block_hash.hex(), status.latest_valid ? status.latest_valid->hex() : "none"));
  } catch (const EngineRefusal& refusal) {
    if (refusal.code() != invalid_params) throw;
    ran.invalid = refusal.what();
  }
  if (!ran.invalid) {
    const Hash256 canonical = co_await hash_at(self, json::quantity(payload.number));
    if (canonical != payload.block_hash) {
      const bool to_child = self->head_ == payload.parent_hash;
      co_await move_head(self, payload.block_hash, to_child);
    }
    ran.receipts = co_await receipts_of(self, payload.number, count);
  }
  self->ran_.keep(key, std::move(ran));
}

/// Nothing when it has lost them: after a reorganisation they do not come back with their block.
awaitable<std::optional<std::vector<Receipt>>> Engine::receipts_of(Engine* self, std::uint64_t number,
                                                                   std::size_t count) {
  std::optional<std::vector<Receipt>> receipts;
  if (count == 0) co_return receipts.emplace();
  const Json reply =
      co_await self->client().eth("eth_getBlockReceipts", json::quantity(number), self->options_.deadlines.quick);
  if (reply.kind != Json::Kind::list || reply.items.size() != count) co_return std::nullopt;
  receipts.emplace();
  for (const Json& each : reply.items) receipts->push_back(receipt_of(each));
  co_return receipts;
}

awaitable<void> Engine::ask_build(EngineTemplate wanted, Hash256 key) {
  return guarded(build(this, std::move(wanted), key));
}

awaitable<void> Engine::build(Engine* self, EngineTemplate wanted, Hash256 key) {
  if (self->built(key)) co_return;
  if (self->head_ != wanted.parent) co_await move_head(self, wanted.parent, false);
  std::vector<std::string> candidates = std::move(wanted.candidates);
  co_await fill_pool(self, std::move(candidates));
  const EngineDeadlines& deadlines = self->options_.deadlines;
  const Duration deadline = deadlines.slow + deadlines.per_transaction * static_cast<int>(self->pooled_.size());
  std::string attributes = fmt::format(
      R"({{"timestamp":{},"prevRandao":{},"suggestedFeeRecipient":{},"withdrawals":{}}})", json::quantity(wanted.timestamp),
      json::digits(wanted.prev_randao), json::digits(wanted.fee_recipient), json_of(wanted.withdrawals));
  const Json begun = co_await forkchoice(self, wanted.parent, std::move(attributes), deadline);
  const Status status = status_of(json::member(begun, "payloadStatus", "forkchoice"), "engine_forkchoiceUpdatedV2");
  const Json& id = json::member(begun, "payloadId", "engine_forkchoiceUpdatedV2");
  if (status.word != "VALID" || id.kind != Json::Kind::text)
    throw ExecutorDown(fmt::format("engine_forkchoiceUpdatedV2 on {}: expected VALID and a payload's id, seen {} and {}",
                                   wanted.parent.hex(), status.word, id.describe()));
  const std::string id_bytes = json::bytes(id, "payloadId");
  const Json reply = co_await self->client().engine("engine_getPayloadV2", json::digits(id_bytes), deadline);
  Built built;
  built.payload = EnginePayload::from_json(json::member(reply, "executionPayload", "engine_getPayloadV2"));
  built.fees = json::number(json::member(reply, "blockValue", "engine_getPayloadV2"), "blockValue");
  if (const std::string why = differs(built.payload, wanted); !why.empty())
    throw ExecutorDown("engine_getPayloadV2: another block than was asked for: " + why);
  self->built_.keep(key, std::move(built));
}

/// As many of the best as it builds a block of in time. What it does not want is passed over.
awaitable<void> Engine::fill_pool(Engine* self, std::vector<std::string> candidates) {
  std::size_t count = 0;
  for (const std::string& candidate : candidates) {
    if (count == self->options_.transactions_max) break;
    ++count;
    const Hash256 hash = keccak256(bytes_of(candidate));
    if (self->pooled_.contains(hash)) continue;
    try {
      (void)co_await self->client().eth("eth_sendRawTransaction", json::digits(candidate),
                                        self->options_.deadlines.quick);
      self->pooled_.insert(hash);
    } catch (const EngineRefusal&) {
      --count;
    }
  }
}

awaitable<void> Engine::ask_read(Hash256 question, Hash256 state, std::uint64_t number, std::string method,
                                 std::string params) {
  return guarded(read(this, question, state, number, std::move(method), std::move(params)));
}

awaitable<void> Engine::read(Engine* self, Hash256 question, Hash256 state, std::uint64_t number, std::string method,
                             std::string params) {
  if (static_cast<const Engine*>(self)->read(question)) co_return;
  co_await settle_now(self);
  if (self->head_ != state) {
    const Hash256 canonical = co_await hash_at(self, json::quantity(number));
    if (canonical != state)
      throw CapabilityMissing(fmt::format("the execution layer answers about its own chain alone, and state {} of height "
                                          "{} is not on it",
                                          state.hex(), number));
  }
  Read read;
  std::string all = params + "," + json::quantity(number);
  try {
    read.result = co_await self->client().eth(std::move(method), std::move(all), self->options_.deadlines.quick);
  } catch (const EngineRefusal& refusal) {
    read.refused = refusal.what();
  }
  self->read_.keep(question, std::move(read));
}

} // namespace trunkline::quarkchain

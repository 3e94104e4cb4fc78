#include "tests/services/quarkchain/engine/engine_bench.hpp"

#include "async/clock.hpp"
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "tests/services/quarkchain/kept_store.hpp"

#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>

#include <chrono>
#include <stdexcept>

namespace trunkline::quarkchain::test {

Settings engine_settings(const std::string& alloc) {
  Settings settings;
  settings.alloc = alloc;
  settings.chain = "\"COINBASE_AMOUNT\": 4000000000";
  return settings;
}

EngineBench::EngineBench(EngineSettings with, std::vector<std::uint32_t> shards, const Settings& settings)
    : engine(std::move(with)), around(std::make_shared<RecordingHost>()), hand_(settings, nullptr, false),
      shards_(std::move(shards)) {
  for (const std::uint32_t id : shards_) stores[id] = make_memory_store();
}

EngineBench::~EngineBench() { close(); }

void EngineBench::close() {
  if (!backend) return;
  backend->detach();
  backend.reset();
  io.restart();
  io.poll(); // what was cancelled ends
}

void EngineBench::open() {
  close();
  ShardBackendOptions options;
  options.config = hand_.config();
  options.full_shard_ids = shards_;
  options.transaction_history = true;
  options.open_store = [this](std::uint32_t id) -> std::unique_ptr<Store> {
    return wrap ? wrap(*stores.at(id)) : std::make_unique<KeptStore>(stores.at(id));
  };
  options.unix_time = [this] { return time; };
  options.random = [this] { return random_ += 0x9e3779b97f4a7c15; };
  options.log = [this](LogLevel, std::string_view line) { log.emplace_back(line); };
  options.engine = engine;
  backend = make_shard_backend(std::move(options));
  backend->attach(std::weak_ptr<BackendHost>(around));
  run(backend->start_executors());
}

void EngineBench::begin() {
  open();
  run(backend->create_shards(hand_.genesis_root()));
}

void EngineBench::run(awaitable<void> call) {
  bool done = false;
  std::exception_ptr failure;
  asio::co_spawn(io, std::move(call), [&](std::exception_ptr thrown) {
    done = true;
    failure = std::move(thrown);
  });
  io.restart();
  while (!done) io.run_one();
  if (failure) std::rethrow_exception(failure);
}

void EngineBench::wait_for(Duration duration) { run(sleep_for(duration)); }

void EngineBench::wait_until(const std::function<bool()>& so) {
  for (int tries = 0; tries < 1500; ++tries) {
    if (so()) return;
    wait_for(std::chrono::milliseconds(20));
  }
  throw std::runtime_error("what was waited for has not come");
}

std::uint32_t EngineBench::code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Refused& refused) {
    log.emplace_back(refused.what());
    return refused.code();
  }
  return 0;
}

MinorBlock EngineBench::next_block(std::uint32_t branch) {
  time += 5;
  GetNextBlockToMineRequest request;
  request.branch.value = branch;
  request.address.recipient = Signer(9).address;
  return ask(std::move(request)).block;
}

void EngineBench::add(const MinorBlock& block) {
  AddMinorBlockRequest request;
  request.minor_block_data = encoded(block).text();
  (void)ask(std::move(request));
}

MinorBlock EngineBench::mined(std::uint32_t branch) {
  const MinorBlock block = next_block(branch);
  add(block);
  return block;
}

RootBlock EngineBench::root_of(const RootBlock& parent, std::vector<MinorBlockHeader> minors, std::uint64_t difficulty) {
  return hand_.root_on(parent, std::move(minors), difficulty);
}

void EngineBench::add(const RootBlock& root) {
  AddRootBlockRequest request;
  request.root_block = root;
  (void)ask(std::move(request));
}

TypedTransaction EngineBench::transaction(std::uint64_t nonce, const std::optional<Recipient>& to, std::uint64_t value,
                                          const std::string& data, std::uint64_t gas) {
  EvmTransaction tx;
  tx.nonce = BigUint(nonce);
  tx.gasprice = BigUint(2000000000);
  tx.startgas = BigUint(gas);
  tx.to = to;
  tx.value = BigUint(value);
  tx.data = data;
  tx.network_id = BigUint(config().find_shard(own)->eth_chain_id);
  tx.gas_token_id = tx.transfer_token_id = token_id("QKC").value();
  tx.version = BigUint(2);
  Signer(1).sign(tx);
  tx.v = tx.network_id + tx.network_id + tx.v + BigUint(8); // 27 or 28 becomes 35 or 36
  return tx.typed();
}

void EngineBench::send(const TypedTransaction& transaction) {
  AddTransactionRequest request;
  request.tx = transaction;
  (void)ask(std::move(request));
}

GetTransactionReceiptResponse EngineBench::receipt(const TypedTransaction& transaction) {
  GetTransactionReceiptRequest request;
  request.branch.value = own;
  request.tx_hash = hash_of(transaction);
  return ask(std::move(request));
}

BigUint EngineBench::balance(const Recipient& who, std::uint32_t branch) {
  GetAccountDataRequest request;
  request.address.recipient = who;
  for (const AccountBranchData& data : ask(std::move(request)).account_branch_data_list)
    if (data.branch.value == branch) return data.token_balances.balance_map.of(token_id("QKC").value());
  throw std::runtime_error("the shard does not answer");
}

bool EngineBench::said(const std::string& part) const {
  for (const std::string& line : log)
    if (line.find(part) != std::string::npos) return true;
  return false;
}

} // namespace trunkline::quarkchain::test

// Shards whose transactions a real execution layer runs: @ethereumjs/client, which `./dev setup --el` installs. Where
// it is not installed nothing runs, and it is said.
//
//   1. Each test has a directory of its own, in which the client keeps its chain, and a backend with one shard.
//   2. What the master and wallets of a cluster would ask is asked directly.
//   3. Processes are killed by their id; files are deleted while nothing runs.
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/engine/payload.hpp"
#include "tests/services/quarkchain/engine/engine_bench.hpp"

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;

namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t own = EngineBench::own;

std::string command() {
  return fmt::format(
      "node {}/@ethereumjs/client/dist/esm/bin/cli.js --gethGenesis={{genesis}} --dataDir={{data}} --rpc "
      "--rpcAddr=127.0.0.1 --rpcPort={{rpc_port}} --rpcEngine --rpcEngineAddr=127.0.0.1 "
      "--rpcEnginePort={{engine_port}} --jwtSecret={{jwt}} --isSingleNode --sync=none --port=0 --maxPeers=0 "
      "--discDns=false --discV4=false --logFile=false --logLevel=info",
      TRUNKLINE_EL);
}

class ClientBench : public EngineBench {
 public:
  explicit ClientBench(const Settings& settings = engine_settings()) : EngineBench(of(), {own}, settings) {
    std::string pattern = "/tmp/trunkline-engine-XXXXXX";
    if (!::mkdtemp(pattern.data())) throw std::runtime_error("no directory");
    directory = pattern;
    engine.directory_of = [this](std::uint32_t) { return directory + "/el"; };
  }
  ~ClientBench() {
    close();
    std::filesystem::remove_all(directory);
  }
  pid_t pid() const { return backend->engine_pid(own).value_or(-1); }
  std::string directory;

 private:
  static EngineSettings of() {
    EngineSettings settings;
    settings.command = command();
    settings.deadlines.slow = 60s; // a machine with other things to do
    settings.deadlines.quick = 60s;
    settings.start_deadline = 300s;
    return settings;
  }
};

/// Stores 5, and logs a topic of ones with 32 bytes of it, each time when it is called; made by code that returns it.
const std::string runtime_code = "600560005560056000527f" + std::string(64, '1') + "60206000a100";
std::string creation_code() {
  const std::string code = *from_hex(runtime_code);
  const auto size = static_cast<char>(code.size());
  // PUSH1 size DUP1 PUSH1 11 PUSH1 0 CODECOPY PUSH1 0 RETURN
  std::string creation = *from_hex("60");
  creation += size;
  creation += *from_hex("80600b6000396000f3");
  return creation + code;
}

} // namespace

TEST_CASE(
    "quarkchain scenario 18: a real execution layer boots, makes a contract with an event, is called, and its blocks "
    "are rewarded") {
  ClientBench bench;
  bench.begin();
  const TypedTransaction creation = bench.transaction(0, std::nullopt, 0, creation_code());
  bench.send(creation);
  const MinorBlock first = bench.mined();
  REQUIRE(first.tx_list.size() == 1);
  const GetTransactionReceiptResponse made = bench.receipt(creation);
  CHECK(made.receipt.success == std::string(1, '\1'));
  const Recipient contract = made.receipt.contract_address.recipient;
  CHECK(!contract.is_zero());

  const TypedTransaction call = bench.transaction(1, contract, 0);
  bench.send(call);
  const MinorBlock second = bench.mined();
  REQUIRE(second.tx_list.size() == 1);
  const GetTransactionReceiptResponse called = bench.receipt(call);
  CHECK(called.receipt.success == std::string(1, '\1'));
  REQUIRE(called.receipt.logs.size() == 1);
  CHECK(called.receipt.logs[0].recipient == contract);
  CHECK(called.receipt.logs[0].topics.size() == 1);

  GetLogRequest logs;
  logs.branch.value = own;
  logs.start_block = 1;
  logs.end_block = 2;
  CHECK(bench.ask(logs).logs.size() == 1);
  GetCodeRequest code;
  code.address.recipient = contract;
  CHECK(to_hex(bench.ask(code).result) == runtime_code);
  GetStorageRequest storage;
  storage.address.recipient = contract;
  CHECK(bench.ask(storage).result.hex() == std::string(63, '0') + "5");
  ExecuteTransactionRequest execute;
  execute.tx = bench.transaction(2, contract, 0);
  execute.from_address.recipient = Signer(1).address;
  CHECK(bench.ask(execute).result.empty());
  EstimateGasRequest estimate;
  estimate.tx = execute.tx;
  estimate.from_address = execute.from_address;
  CHECK(bench.ask(estimate).result > 21000);

  // Two gwei for each block, and what the gas cost.
  const std::uint64_t gas = made.receipt.gas_used + called.receipt.gas_used;
  CHECK(bench.balance(Signer(9).address) == BigUint(4'000'000'000) + BigUint(gas) * BigUint(2'000'000'000));
  CHECK(second.header.coinbase_amount_map.balance_map.of(token_id("QKC").value()) ==
        BigUint(2'000'000'000) + BigUint(called.receipt.gas_used) * BigUint(2'000'000'000));
  GetTotalBalanceRequest total;
  total.branch.value = own;
  total.minor_block_hash = hash_of(second.header);
  total.token_id = token_id("QKC").value();
  total.limit = 1;
  BigUint expected(2 * 2'000'000'000ULL); // two rewards; fees only change hands
  for (const GenesisAccount& given : bench.config().find_shard(own)->genesis.alloc)
    for (const auto& [token, amount] : given.balances) expected = expected + amount;
  BigUint seen;
  for (int page = 0; page < 100; ++page) { // of one account each
    const GetTotalBalanceResponse reply = bench.ask(total);
    seen = seen + reply.total_balance;
    total.start = Hash256::from_bytes(bytes_of(reply.next));
    if (total.start->is_zero()) break;
  }
  CHECK(seen.to_decimal() == expected.to_decimal());
  total.start.reset();
  total.limit = 100;
  CHECK(bench.ask(total).total_balance.to_decimal() == expected.to_decimal());
  total.minor_block_hash = hash_of(bench.genesis().header); // no minor block
  CHECK(bench.code_of([&] { bench.ask(total); }) == 1);
  CheckMinorBlockRequest check;
  check.minor_block_header = first.header;
  CHECK(bench.code_of([&] { bench.ask(check); }) == 0);
}

TEST_CASE(
    "quarkchain scenario 19: with a real execution layer a branch that is left and comes back has its receipts and "
    "logs") {
  ClientBench bench;
  bench.begin();
  const RootBlock root = bench.root_of(bench.genesis(), {bench.tip().header});
  bench.add(root);
  const TypedTransaction transaction = bench.transaction(0, Signer(2).address, 5);
  bench.send(transaction);
  const MinorBlock first = bench.mined();
  REQUIRE(first.tx_list.size() == 1);
  const MinorBlock second = bench.mined();
  const GetTransactionReceiptResponse before = bench.receipt(transaction);

  bench.add(bench.root_of(bench.genesis(), {}, 5000));
  CHECK(bench.tip().header.height == 0);
  CHECK(bench.code_of([&] { (void)bench.receipt(transaction); }) == 1);
  bench.add(bench.root_of(root, {first.header, second.header}, 9000));
  CHECK(bench.tip().header == second.header);
  CHECK(bench.receipt(transaction).receipt == before.receipt);
  CHECK(bench.balance(Signer(2).address) == BigUint(5));
  CHECK(bench.mined().header.height == 3);
}

TEST_CASE(
    "quarkchain scenario 15: a real execution layer killed before a block becomes its head is started again, and no "
    "block is lost") {
  ClientBench bench;
  bench.begin();
  for (int i = 0; i < 3; ++i) bench.mined();
  const MinorBlock block = bench.next_block();
  ::kill(bench.pid(), SIGKILL);
  const auto killed = std::chrono::steady_clock::now();
  CHECK(bench.code_of([&] { bench.add(block); }) == 1);
  bench.wait_until([&] { return bench.code_of([&] { bench.add(block); }) == 0; });
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - killed);
  std::printf("it was back after %lld ms\n", static_cast<long long>(took.count()));
  CHECK(bench.tip().header == block.header);
  CHECK(bench.mined().header.height == 5);
}

TEST_CASE(
    "quarkchain scenario 16: a real execution layer without its data gets its blocks from ours, up to the same head") {
  ClientBench bench;
  bench.begin();
  bench.send(bench.transaction(0, Signer(2).address, 5));
  std::vector<MinorBlockHeader> headers{bench.tip().header};
  for (int i = 0; i < 4; ++i) headers.push_back(bench.mined().header);
  const RootBlock root = bench.root_of(bench.genesis(), headers);
  bench.add(root);
  const MinorBlock tip = bench.tip();
  bench.close();
  std::filesystem::remove_all(bench.directory + "/el/data");
  bench.open();
  bench.run(bench.backend->create_shards(root));
  CHECK(bench.tip().header == tip.header);
  CHECK(bench.balance(Signer(2).address) == BigUint(5));
  CHECK(bench.mined().header.height == 5);
}

TEST_CASE(
    "quarkchain scenario 17: a real execution layer that was started with another genesis is refused, and both are "
    "named") {
  ClientBench bench;
  std::ofstream(bench.directory + "/another.json")
      << R"({"config":{"chainId":100001,"homesteadBlock":0,"eip150Block":0,"eip155Block":0,"eip158Block":0,"byzantiumBlock":0,)"
         R"("constantinopleBlock":0,"petersburgBlock":0,"istanbulBlock":0,"berlinBlock":0,"londonBlock":0,)"
         R"("mergeNetsplitBlock":0,"shanghaiTime":0,"terminalTotalDifficulty":0,"terminalTotalDifficultyPassed":true},)"
         R"("nonce":"0x0","timestamp":"0x1","extraData":"0x","gasLimit":"0xb71b00","difficulty":"0x0",)"
         R"("baseFeePerGas":"0x0","mixHash":"0x0000000000000000000000000000000000000000000000000000000000000000",)"
         R"("coinbase":"0x0000000000000000000000000000000000000000","alloc":{}})";
  std::string other = command();
  other.replace(other.find("{genesis}"), 9, bench.directory + "/another.json");
  bench.engine.command = other;
  std::string why;
  try {
    bench.open();
  } catch (const ConfigFailure& failure) {
    why = failure.what();
  }
  CHECK(why.find("another genesis: expected ") != std::string::npos);
}

int main(int argc, char** argv) {
  if (!std::filesystem::exists(TRUNKLINE_EL "/@ethereumjs/client")) {
    std::puts("skipped: no EL (./dev setup --el installs one)");
    return 77;
  }
  doctest::Context context;
  context.applyCommandLine(argc, argv);
  return context.run();
}

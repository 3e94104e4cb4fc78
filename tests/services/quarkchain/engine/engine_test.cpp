// Shards whose transactions an execution layer runs, with a stand-in for it that has the quirks of real ones and lies
// when it is told to: see model_engine.hpp.
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/engine/engine_executor.hpp"
#include "services/quarkchain/engine/engine_token.hpp"
#include "services/quarkchain/engine/engine_transaction.hpp"
#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/shard/shard_keys.hpp"
#include "services/quarkchain/shard/state_dump.hpp"
#include "services/quarkchain/shards/engine_check.hpp"
#include "tests/services/quarkchain/engine/engine_bench.hpp"
#include "tests/services/quarkchain/engine/model_engine.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;

namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t own = EngineBench::own;
constexpr std::uint32_t other = EngineBench::other;

/// A bench whose shards have one model each.
class ModelBench : public EngineBench {
 public:
  explicit ModelBench(std::vector<std::uint32_t> shards = {own}, bool bridge = false)
      : EngineBench(settings(), shards) {
    engine.bridge = bridge;
    for (const std::uint32_t id : shards) {
      const ShardConfig& shard = *config().find_shard(id);
      models[id] = std::make_unique<ModelEngine>(io, shard.eth_chain_id, EngineGenesis(config(), shard).hash());
    }
    engine.running = [this](std::uint32_t id) { return models.at(id)->address(); };
  }
  ~ModelBench() { close(); }

  /// The next block with what its transactions pay, of which the model says nothing.
  MinorBlock paid_block(std::uint32_t id = own) {
    MinorBlock block = next_block(id);
    for (std::size_t i = 0; i < block.tx_list.size(); ++i)
      block.header.coinbase_amount_map.balance_map.add(token_id("QKC").value(), BigUint(21000) * BigUint(2000000000));
    return block;
  }
  ModelEngine& model(std::uint32_t id = own) { return *models.at(id); }
  bool is_down() {
    GetAccountDataRequest request;
    request.address.recipient = Signer(static_cast<std::uint8_t>(++asked_ % 200 + 10)).address; // not known yet
    return code_of([&] { ask(std::move(request)); }) != 0;
  }

  std::map<std::uint32_t, std::unique_ptr<ModelEngine>> models;

 private:
  static EngineSettings settings() {
    EngineSettings settings;
    settings.pause_first = 20ms;
    settings.start_deadline = 10s;
    settings.deadlines.slow = 500ms;
    settings.deadlines.quick = 500ms;
    return settings;
  }
  std::uint32_t asked_ = 0;
};

std::map<std::string, std::string> facts(const Store& store) {
  std::map<std::string, std::string> all = contents(store);
  std::erase_if(all, [](const auto& entry) { return entry.first.starts_with("commit_"); });
  return all;
}

} // namespace

TEST_CASE("engine: a token is the one that any other program would make of this secret and second") {
  CHECK(engine_token(std::string(32, 's'), 1700000000) ==
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3MDAwMDAwMDB9.kZwByWpiFyo30AarmApV-BpE05gb97dsHl1cfsa2tjE");
}

TEST_CASE("engine: the genesis has the hash that an execution layer was seen to make of it") {
  Settings settings = engine_settings(fmt::format(
      "\"2b5ad5c4795c026514f8317c7a215e218dccd6cf00000000\": {{\"QKC\": 100000000000000000000}}, \"{}00000000\": "
      "{{\"balances\": {{\"QKC\": 1}}, \"code\": \"0x6001600055\", \"storage\": {{\"0x05\": \"0x07\"}}}}",
      std::string(40, 'a')));
  const QuarkChainConfig config = config_of(settings);
  const EngineGenesis genesis(config, *config.find_shard(own));
  CHECK(genesis.chain_id() == 100001);
  CHECK(genesis.hash().hex() == "3d2d07407daa61715afbedf42cb17dd3fba72121fcfe9be5d72ee776332d5a79");
}

TEST_CASE("engine: what cannot be had together with an execution layer is refused by name") {
  const auto refusal = [](const Settings& settings) -> std::string {
    const QuarkChainConfig config = config_of(settings);
    try {
      EngineExecutor executor(config, *config.find_shard(config.shards.front().full_shard_id), {});
    } catch (const ConfigFailure& failure) {
      return failure.what();
    }
    return "nothing";
  };
  Settings settings = engine_settings();
  CHECK(refusal(settings) == "nothing");
  settings.chain = "\"SHARD_SIZE\": 2";
  CHECK(refusal(settings).find("SHARD_SIZE 1, seen 2") != std::string::npos);
  settings.chain = "\"POSW_CONFIG\": {\"ENABLED\": true, \"WINDOW_SIZE\": 3}";
  CHECK(refusal(settings).find("POSW_CONFIG.ENABLED") != std::string::npos);
  settings = engine_settings("\"" + Signer(1).address.hex() + "00000000\": {\"QI\": 5}");
  CHECK(refusal(settings).find("keeps QKC alone, seen 5 of QI") != std::string::npos);
  settings = engine_settings();
  settings.network = "\"BLOCK_EXTRA_DATA_SIZE_LIMIT\": 64";
  CHECK(refusal(settings).find("BLOCK_EXTRA_DATA_SIZE_LIMIT 64") != std::string::npos);
}

TEST_CASE("engine: a transaction of version 2 is Ethereum's, and comes back as it was") {
  ModelBench bench;
  const TypedTransaction typed = bench.transaction(3, Signer(2).address, 77, "data");
  const EvmTransaction tx = EvmTransaction::from(typed);
  CHECK(quarkchain_form(ethereum_form(tx), *bench.config().find_shard(own)) == tx);
  CHECK_THROWS_AS(quarkchain_form("no list", *bench.config().find_shard(own)), TransactionFailure);
}

TEST_CASE("engine: blocks are built, run and made the head, and after a restart the tip is where it was") {
  ModelBench bench;
  bench.begin();
  for (int i = 0; i < 5; ++i) bench.mined();
  CHECK(bench.tip().header.height == 5);
  const auto mark = PayloadMark::from(bench.tip().header.extra_data);
  REQUIRE(mark);
  CHECK(bench.model().head() == mark->block_hash);
  CHECK(bench.model().credited(Signer(9).address) == 5 * 2);

  const RootBlock root = bench.root_of(bench.genesis(), {bench.tip().header});
  CHECK(bench.code_of([&] { bench.add(root); }) == 74); // genesis and what is between is missing
  bench.open();
  bench.run(bench.backend->create_shards(bench.genesis()));
  CHECK(bench.tip().header.height == 0); // nothing was confirmed
  const MinorBlock again = bench.mined();
  CHECK(bench.model().head() == PayloadMark::from(again.header.extra_data)->block_hash);
}

TEST_CASE("engine: a transaction is in a block with its receipt, and the miner is paid for its gas") {
  ModelBench bench;
  bench.begin();
  const MinorBlock below = bench.mined();
  const TypedTransaction transaction = bench.transaction(0, Signer(2).address, 5);
  bench.send(transaction);
  MinorBlock block = bench.next_block();
  REQUIRE(block.tx_list.size() == 1);
  CHECK(hash_of(block.tx_list[0]) == hash_of(transaction));
  // The model says that nothing was paid; whoever runs it adds up the receipts.
  CHECK(bench.code_of([&] { bench.add(block); }) == 14);
  CHECK(bench.said("coinbase reward incorrect"));
  CHECK(bench.model().head() == PayloadMark::from(below.header.extra_data)->block_hash);
  block.header.coinbase_amount_map.balance_map.add(token_id("QKC").value(), BigUint(21000) * BigUint(2000000000));
  bench.add(block);
  CHECK(bench.receipt(transaction).receipt.gas_used == 21000);
  CHECK(bench.receipt(transaction).receipt.success == std::string(1, '\1'));
}

TEST_CASE(
    "quarkchain scenario 18: a transaction of version 0 is refused by an engine shard, and the log says what is "
    "missing") {
  ModelBench bench;
  bench.begin();
  EvmTransaction tx = EvmTransaction::from(bench.transaction(0, Signer(2).address, 5));
  tx.version = BigUint();
  tx.network_id = BigUint(255);
  Signer(1).sign(tx);
  CHECK(bench.code_of([&] { bench.send(tx.typed()); }) == 1);
  CHECK(bench.said("runs version 2 alone"));
}

TEST_CASE("engine: a block with a changed payload is invalid, and nothing of it is written") {
  ModelBench bench;
  bench.begin();
  const MinorBlock good = bench.next_block();
  const auto before = contents(*bench.stores.at(own));
  MinorBlock wrong = good;
  wrong.meta.hash_evm_state_root.bytes[0] ^= std::byte{1};
  wrong.header.hash_meta = hash_of(wrong.meta);
  CHECK(bench.code_of([&] { bench.add(wrong); }) == 14);
  wrong = good;
  wrong.header.extra_data = Bytes2("no mark");
  CHECK(bench.code_of([&] { bench.add(wrong); }) == 14);
  CHECK(bench.said("extra_data: expected"));
  CHECK(contents(*bench.stores.at(own)) == before);
  bench.add(good);
  CHECK(bench.tip().header == good.header);
}

TEST_CASE("engine: a deposit becomes a credit of whole gwei, and a list with another one is refused") {
  ModelBench bench;
  bench.begin();
  RootBlock root = bench.root_of(bench.genesis(), {bench.tip().header});
  bench.add(root);
  AddXshardTxListRequest list;
  list.branch.value = own;
  const MinorBlockHeader sender = header_of_other(root, 1);
  list.minor_block_hash = hash_of(sender);
  list.tx_list.tx_list.push_back(deposit_to(Signer(3).address, 5'000'000'001));
  CHECK(bench.code_of([&] { bench.ask(list); }) == 1);
  CHECK(bench.said("no number of gwei"));
  list.tx_list.tx_list[0].value = Uint256(5'000'000'000);
  bench.ask(list);
  const RootBlock next = bench.root_of(root, {sender});
  bench.add(next);
  const MinorBlock block = bench.mined();
  CHECK(bench.model().credited(Signer(3).address) == 5);
  CHECK(block.meta.evm_cross_shard_receive_gas_used == Uint256(9000));
  CHECK(block.meta.evm_gas_used == Uint256(9000));
}

TEST_CASE("engine: with the bridge a transaction sends across shards, and without it none does") {
  ModelBench bench({own, other}, true);
  bench.begin();
  const RootBlock root = bench.root_of(bench.genesis(), {bench.tip(own).header, bench.tip(other).header});
  bench.add(root);
  const Recipient bridge = *Recipient::from_hex("514b430000000000000000000000000000000fff");
  std::string data(text_of(Signer(4).address.bytes));
  data += std::string("\0\1\0\0", 4);
  CHECK(bench.code_of([&] { bench.send(bench.transaction(0, bridge, 7'000'000'001, data)); }) == 1);
  const TypedTransaction transaction = bench.transaction(0, bridge, 7'000'000'000, data);
  bench.send(transaction);
  const MinorBlock block = bench.paid_block();
  bench.add(block);
  const MinorBlock beside = bench.mined(other);
  bench.add(bench.root_of(root, {block.header, beside.header}));
  bench.mined(other);
  CHECK(bench.model(other).credited(Signer(4).address) == 7);

  ModelBench plain({own, other});
  CHECK_NOTHROW(plain.begin());
  const RootBlock plain_root = plain.root_of(plain.genesis(), {plain.tip(own).header, plain.tip(other).header});
  plain.add(plain_root);
  plain.send(transaction);
  plain.add(plain.paid_block());
  for (const AddXshardTxListRequest& list : plain.around->lists) CHECK(list.tx_list.tx_list.empty());
}

TEST_CASE("engine: what one that lies says is an error by name, its shard recovers, and another shard lives") {
  struct Case {
    const char* method;
    Lie lie;
    const char* said;
  };
  const std::vector<Case> cases = {
      {"engine_forkchoiceUpdatedV2", Lie::not_moved, "stays at"},
      {"engine_forkchoiceUpdatedV2", Lie::syncing, "seen SYNCING"},
      {"engine_newPayloadV2", Lie::another_block, "of another block"},
      {"engine_newPayloadV2", Lie::accepted, "seen ACCEPTED"},
      {"engine_newPayloadV2", Lie::huge, "more than 67108864 bytes"},
      {"engine_newPayloadV2", Lie::silent, "no answer within"},
      {"engine_newPayloadV2", Lie::half, "127.0.0.1:"},
      {"engine_newPayloadV2", Lie::failing, "HTTP status 500"},
      {"engine_newPayloadV2", Lie::nonsense, "JSON at byte"},
  };
  for (const Case& each : cases) {
    CAPTURE(name_of(each.lie));
    ModelBench bench({own, other});
    bench.begin();
    bench.mined();
    const MinorBlock block = bench.next_block();
    bench.model().lie(each.method, each.lie);
    CHECK(bench.code_of([&] { bench.add(block); }) == 1);
    CHECK(bench.said(each.said));
    CHECK(bench.mined(other).header.height == 1);
    bench.wait_until([&] { return bench.code_of([&] { bench.add(block); }) == 0; });
    CHECK(bench.tip().header == block.header);
    CHECK(bench.model().head() == PayloadMark::from(block.header.extra_data)->block_hash);
  }
}

TEST_CASE(
    "quarkchain scenario 15: an execution layer that goes between payload and head comes back, and no block is lost or "
    "doubled") {
  ModelBench bench;
  bench.begin();
  for (int i = 0; i < 3; ++i) bench.mined();
  const MinorBlock block = bench.next_block();
  const Hash256 payload = PayloadMark::from(block.header.extra_data)->block_hash;
  bench.model().lie("engine_forkchoiceUpdatedV2", Lie::half); // it has the payload, and dies while it makes it the head

  CHECK(bench.code_of([&] { bench.add(block); }) == 1);
  const auto died = std::chrono::steady_clock::now();
  CHECK(bench.model().holds(payload));
  bench.wait_until([&] { return bench.code_of([&] { bench.add(block); }) == 0; });

  CHECK(std::chrono::steady_clock::now() - died < 10s);
  CHECK(bench.tip().header == block.header);
  CHECK(bench.model().head() == payload);
  CHECK(bench.mined().header.height == 5);
  CHECK(bench.model().credited(Signer(9).address) == 5 * 2); // each block has been rewarded once
}

TEST_CASE(
    "quarkchain scenario 16: an execution layer that has lost its blocks gets them again, with the same head, and none "
    "twice") {
  ModelBench bench;
  bench.begin();
  for (int i = 0; i < 6; ++i) bench.mined();
  const Hash256 head = bench.model().head();
  bench.model().lose_everything();
  CHECK(bench.code_of([&] { bench.next_block(); }) == 1); // on a parent that is not there
  bench.wait_until([&] { return bench.code_of([&] { bench.next_block(); }) == 0; });
  const MinorBlock next = bench.mined();
  CHECK(bench.tip().header == next.header);
  CHECK(bench.model().holds(head));
  CHECK(bench.said("blocks were run again"));
}

TEST_CASE(
    "quarkchain scenario 17: an execution layer with another genesis is refused at the start, and both are named") {
  ModelBench bench;
  Hash256 another;
  another.bytes[0] = std::byte{7};
  bench.models[own] = std::make_unique<ModelEngine>(bench.io, bench.config().find_shard(own)->eth_chain_id, another);
  std::string why;
  try {
    bench.begin();
  } catch (const ConfigFailure& failure) {
    why = failure.what();
  }
  CHECK(why.find("another genesis: expected ") != std::string::npos);
  CHECK(why.find("seen " + another.hex()) != std::string::npos);
}

TEST_CASE("engine: a start is given up after so long without a sign of work, or after so much work without an answer") {
  std::string directory = "/tmp/trunkline-engine-XXXXXX";
  REQUIRE(::mkdtemp(directory.data()));
  const auto refusal_of = [&](const char* command) -> std::string {
    EngineSettings settings;
    settings.command = command;
    settings.directory_of = [&](std::uint32_t) { return directory; };
    settings.start_deadline = 200ms;
    EngineBench bench(settings);
    try {
      bench.open();
    } catch (const ConfigFailure& failure) {
      return failure.what();
    }
    return "nothing";
  };

  const std::string idle = refusal_of("tail -f {genesis}");
  const std::string busy = refusal_of("awk BEGIN{while(1);}");
  std::filesystem::remove_all(directory);

  CHECK(idle.find("does not answer, and has done nothing for 200 ms") != std::string::npos);
  CHECK(busy.find("does not answer after ") != std::string::npos); // so much of either time: which one, the machine decides
  CHECK(busy.find("its log is " + directory) != std::string::npos);
}

TEST_CASE("engine: one that ends again and again is given up, and the slave goes on") {
  ModelBench bench({own, other});
  bench.begin();
  for (int i = 0; i < 5; ++i) {
    bench.wait_until([&] { return bench.code_of([&] { bench.next_block(); }) == 0; });
    bench.model().lie("engine_newPayloadV2", Lie::failing);
    const MinorBlock block = bench.next_block();
    CHECK(bench.code_of([&] { bench.add(block); }) == 1);
  }
  bench.wait_until([&] { return bench.said("the shard stays down"); });
  CHECK(bench.is_down());
  CHECK(bench.mined(other).header.height == 1);
}

TEST_CASE(
    "quarkchain scenario 19: receipts answer as before when a branch is left and comes back, though the layer has lost "
    "its own") {
  ModelBench bench;
  bench.begin();
  const RootBlock root = bench.root_of(bench.genesis(), {bench.tip().header});
  bench.add(root);
  const TypedTransaction transaction = bench.transaction(0, Signer(2).address, 5);
  bench.send(transaction);
  const MinorBlock first = bench.paid_block();
  bench.add(first);
  const MinorBlock second = bench.mined();
  const auto before = bench.receipt(transaction);
  // A heavier root chain that confirms nothing, and then a still heavier one that confirms what was left.
  bench.add(bench.root_of(bench.genesis(), {}, 5000));
  CHECK(bench.tip().header.height == 0);
  CHECK(bench.code_of([&] { (void)bench.receipt(transaction); }) == 1);
  bench.add(bench.paid_block());
  CHECK(bench.tip().header.height == 1);
  const RootBlock confirms = bench.root_of(root, {first.header, second.header}, 9000);
  bench.add(confirms);
  CHECK(bench.tip().header == second.header);
  CHECK(bench.receipt(transaction).receipt == before.receipt);
  CHECK(bench.model().head() == PayloadMark::from(second.header.extra_data)->block_hash);

  bench.open();
  bench.run(bench.backend->create_shards(confirms));
  CheckMinorBlockRequest check;
  check.minor_block_header = first.header;
  CHECK(bench.code_of([&] { bench.ask(check); }) == 0);
}

TEST_CASE(
    "engine: a database is checked by a layer that begins with nothing, and a changed block and its children are "
    "named") {
  ModelBench bench;
  bench.begin();
  bench.send(bench.transaction(0, Signer(2).address, 5));
  std::vector<MinorBlock> blocks{bench.paid_block()};
  bench.add(blocks[0]);
  for (int i = 0; i < 3; ++i) blocks.push_back(bench.mined());
  const auto faults = [&](const std::map<std::string, std::string>& kept, Hash256* head) {
    const ShardConfig& shard = *bench.config().find_shard(own);
    auto& kept_for_the_bench = bench.models[1000 + static_cast<std::uint32_t>(bench.models.size())]; // whose io it uses
    kept_for_the_bench =
        std::make_unique<ModelEngine>(bench.io, shard.eth_chain_id, EngineGenesis(bench.config(), shard).hash());
    ModelEngine& fresh = *kept_for_the_bench;
    auto store = make_memory_store();
    StoreBatch batch;
    for (const auto& [key, value] : kept) batch.put(key, value);
    store->write(batch);
    EngineSettings settings = bench.engine;
    settings.running = [&](std::uint32_t) { return fresh.address(); };
    EngineCheck check(bench.config(), shard, std::move(store), settings, true, {});
    bench.run(check.start());
    std::map<Hash256, std::string> found;
    for (const Hash256& block : check.blocks())
      if (const auto fault = bench.run_for(check.fault_of(block, bench.time))) found.emplace(block, *fault);
    if (head) *head = fresh.head();
    return found;
  };
  auto kept = contents(*bench.stores.at(own));
  Hash256 head;

  CHECK(faults(kept, &head).empty());
  CHECK(head == bench.model().head());
  MinorBlock damaged = blocks[1];
  damaged.meta.hash_evm_state_root.bytes[0] ^= std::byte{1};
  kept[shard_keys::minor_block(hash_of(damaged.header))] = std::string(encoded(damaged).text());
  const auto found = faults(kept, nullptr);

  CHECK(found.size() == 3);
  CHECK(found.at(hash_of(blocks[1].header)).find("hash of meta mismatch") != std::string::npos);
  CHECK(found.at(hash_of(blocks[2].header)).find("its parent " + hash_of(blocks[1].header).hex()) != std::string::npos);
}

TEST_CASE("engine: what its database says of a block names the block of the execution layer that has its accounts") {
  ModelBench bench;
  bench.begin();
  const MinorBlock block = bench.mined();
  const auto dumped = [&](const Hash256& hash) {
    std::string text;
    dump_state(*bench.stores.at(own), hash, [&](std::string_view part) { text += part; });
    return Json::parse(text);
  };

  const Json dump = dumped(hash_of(block.header));
  CHECK(dump.find("execution_layer_block")->text == PayloadMark::from(block.header.extra_data)->block_hash.hex());
  CHECK(!dump.find("accounts"));
  CHECK(dump.find("canonical")->items.size() == 2);
  const Json genesis = dumped(block.header.hash_prev_minor_block);
  CHECK(genesis.find("execution_layer_block")->text ==
        EngineGenesis(bench.config(), *bench.config().find_shard(own)).hash().hex());
}

TEST_CASE("engine: whichever write fails, a restart ends at the tip of a twin to which nothing happened") {
  ModelBench twin;
  twin.begin();
  std::vector<MinorBlock> blocks;
  std::vector<MinorBlockHeader> headers{twin.tip().header};
  for (int i = 0; i < 3; ++i) {
    blocks.push_back(twin.mined());
    headers.push_back(blocks.back().header);
  }
  const RootBlock root = twin.root_of(twin.genesis(), headers);
  twin.add(root);
  const auto expected = facts(*twin.stores.at(own));

  for (std::size_t writes = 0;; ++writes) {
    CAPTURE(writes);
    ModelBench bench;
    bench.wrap = [&](Store& store) { return std::make_unique<FailingStore>(store, writes); };
    bench.time = twin.time;
    bool failed = false;
    try {
      bench.begin();
      for (const MinorBlock& block : blocks) bench.add(block);
    } catch (const StoreFailure&) {
      failed = true;
    }
    bench.wrap = nullptr;
    bench.open();
    bench.run(bench.backend->create_shards(bench.genesis()));
    // The master of a cluster has them fetched from whoever reported them, and confirms them.
    bench.around->peer_ids = {7};
    bench.around->source = twin.backend;
    SyncMinorBlockListRequest sync;
    sync.branch.value = own;
    sync.cluster_peer_id = 7;
    for (const MinorBlock& block : blocks) sync.minor_block_hash_list.push_back(hash_of(block.header));
    bench.ask(sync);
    bench.add(root);
    CHECK(bench.tip().header == blocks.back().header);
    CHECK(bench.model().head() == twin.model().head());
    CHECK(facts(*bench.stores.at(own)) == expected);
    bench.around->source = nullptr;
    if (!failed) break;
  }
}

// The backend of a slave by itself: shards with their consensus layers, no connections, and a host that notes what it
// is told.
#include "services/quarkchain/shards/shard_backend.hpp"

#include "services/quarkchain/chain/codec.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/shard/shard_keys.hpp"
#include "tests/services/quarkchain/kept_store.hpp"
#include "tests/services/quarkchain/recording_host.hpp"
#include "tests/services/quarkchain/requests.hpp"
#include "tests/services/quarkchain/shard/shard_chain.hpp"
#include "tests/support/log_lines.hpp"
#include "transport/sim/world.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;
using trunkline::test::LogLines;

namespace {

constexpr std::uint32_t own = ShardChain::own;
constexpr std::uint32_t other = ShardChain::other;

template <class T> struct Kept {
  std::optional<T> value;
};
template <class T> awaitable<void> keep(awaitable<T> call, Kept<T>* into) {
  into->value.emplace(co_await std::move(call));
}

/// Two chains of one shard each: the first is ours, or both are.
class Bench {
 public:
  explicit Bench(const Settings& settings = {}, std::vector<std::uint32_t> shards = {own})
      : hand_(settings, nullptr, false), around(std::make_shared<RecordingHost>()), shards_(std::move(shards)) {
    for (const std::uint32_t id : shards_) stores[id] = make_memory_store();
    open();
  }

  /// The process ends and begins again.
  void open() {
    if (backend) backend->detach();
    backend.reset();
    ShardBackendOptions options;
    options.config = hand_.config();
    options.full_shard_ids = shards_;
    options.transaction_history = true;
    options.open_store = [this](std::uint32_t id) { return std::make_unique<KeptStore>(stores.at(id)); };
    options.unix_time = [this] { return time; };
    options.random = [this] { return random += 0x9e3779b97f4a7c15; };
    options.log = log.sink();
    backend = make_shard_backend(std::move(options));
    backend->attach(std::weak_ptr<BackendHost>(around));
  }
  const RootBlock& genesis() const { return hand_.genesis_root(); }
  RootBlock root_on(const RootBlock& parent, std::vector<MinorBlockHeader> minors = {}) {
    return hand_.root_on(parent, std::move(minors));
  }
  TypedTransaction transfer(std::uint64_t nonce, std::uint64_t value, std::uint32_t to_key = 0,
                            const Recipient& to = Signer(2).address) {
    return hand_.transfer(Signer(1), nonce, to, value, to_key);
  }
  MinorBlock tip(std::uint32_t branch = own) const { return backend->tip_of(branch).value(); }

 private:
  ShardChain hand_;

 public:
  std::uint64_t time = 1600000000;
  std::uint64_t random = 1;
  std::shared_ptr<RecordingHost> around;
  std::map<std::uint32_t, std::shared_ptr<Store>> stores;
  LogLines log;
  std::shared_ptr<ShardBackend> backend;

 private:
  std::vector<std::uint32_t> shards_;
};

sim::World& world() {
  static sim::World world(1);
  return world;
}
void run(awaitable<void> call) { world().run(std::move(call)); }
template <class T> T run(awaitable<T> call) {
  Kept<T> kept;
  run(keep(std::move(call), &kept));
  return std::move(*kept.value);
}
template <class Request> typename Rpc<Request>::Reply ask(Bench& bench, Request request) {
  return run(bench.backend->on(std::move(request)));
}
/// The error_code with which it refuses; 0 when it does not.
template <class Call> std::uint32_t code_of(Call&& call) {
  try {
    call();
  } catch (const Refused& refused) {
    return refused.code();
  }
  return 0;
}

void begin(Bench& bench, const RootBlock& root) { run(bench.backend->create_shards(root)); }
void begin(Bench& bench) { begin(bench, bench.genesis()); }

MinorBlock next_block(Bench& bench, std::uint32_t branch = own) {
  bench.time += 5;
  GetNextBlockToMineRequest request;
  request.branch.value = branch;
  return ask(bench, std::move(request)).block;
}
MinorBlock mined(Bench& bench, std::uint32_t branch = own) {
  const MinorBlock block = next_block(bench, branch);
  ask(bench, adding(block));
  return block;
}
std::vector<MinorBlockHeader> unconfirmed(Bench& bench) {
  return ask(bench, GetUnconfirmedHeadersRequest()).headers_info_list.front().header_list;
}
BigUint balance(Bench& bench, const Recipient& who) {
  GetAccountDataRequest request;
  request.address.recipient = who;
  const auto data = ask(bench, std::move(request)).account_branch_data_list;
  return data.front().token_balances.balance_map.of(token_id("QKC").value());
}
NewMinorBlockHeaderListCommand announcing(const RootBlockHeader& root, const MinorBlockHeader& tip) {
  NewMinorBlockHeaderListCommand command;
  command.root_block_header = root;
  command.minor_block_header_list.push_back(tip);
  return command;
}
NewBlockMinorCommand relaying(const MinorBlock& block) {
  NewBlockMinorCommand command;
  command.block = block;
  return command;
}
CheckMinorBlockRequest checking(const MinorBlockHeader& header) {
  CheckMinorBlockRequest request;
  request.minor_block_header = header;
  return request;
}

/// Genesis confirmed, one block on top of it that may use the root block.
RootBlock first_root(Bench& bench) {
  RootBlock root = bench.root_on(bench.genesis(), {bench.tip().header});
  ask(bench, adding(root));
  return root;
}

} // namespace

TEST_CASE("shard backend: a block's lists go out before the master hears of it, and only then can it be confirmed") {
  Bench bench;
  begin(bench);
  CHECK(bench.around->reports.size() == 1);
  first_root(bench);
  const MinorBlock block = mined(bench);

  REQUIRE(bench.around->lists.size() == 1);
  CHECK(bench.around->lists[0].branch.value == other);
  CHECK(bench.around->lists[0].minor_block_hash == hash_of(block.header));
  REQUIRE(bench.around->reports.size() == 2);
  CHECK(bench.around->reports[1].minor_block_header == block.header);
  CHECK(bench.around->reports[1].coinbase_amount_map == block.header.coinbase_amount_map);
  CHECK(unconfirmed(bench).size() == 1);
}

TEST_CASE("shard backend: a block whose lists cannot be sent is not offered, and is delivered before the next one") {
  Bench bench;
  begin(bench);
  first_root(bench);
  bench.around->slaves_are_away = true;
  const MinorBlock first = next_block(bench);
  CHECK(code_of([&] { ask(bench, adding(first)); }) == 1);
  CHECK(bench.tip().header == first.header);
  CHECK(unconfirmed(bench).empty());

  bench.around->slaves_are_away = false;
  const MinorBlock second = mined(bench);
  REQUIRE(bench.around->reports.size() == 3);
  CHECK(bench.around->reports[1].minor_block_header == first.header);
  CHECK(bench.around->reports[2].minor_block_header == second.header);
  CHECK(unconfirmed(bench).size() == 2);
}

TEST_CASE("shard backend: what the master is asked for again is told to it again") {
  Bench bench;
  begin(bench);
  bench.around->master_is_away = true;
  const MinorBlock block = next_block(bench);
  CHECK(code_of([&] { ask(bench, adding(block)); }) == 1);
  bench.around->master_is_away = false;
  CHECK(unconfirmed(bench).size() == 1); // genesis alone
  run(sleep_for(std::chrono::seconds(1)));
  CHECK(unconfirmed(bench).size() == 2);
}

TEST_CASE("shard backend: a transfer is in a block with its receipt, and balances say so") {
  Bench bench;
  begin(bench);
  ask(bench, adding(bench.transfer(0, 77)));
  const MinorBlock block = mined(bench);
  REQUIRE(block.tx_list.size() == 1);
  CHECK(balance(bench, Signer(2).address) == BigUint(77));
  GetTransactionReceiptRequest asked;
  asked.branch.value = own;
  asked.tx_hash = hash_of(block.tx_list[0]);
  const GetTransactionReceiptResponse receipt = ask(bench, asked);
  CHECK(receipt.receipt.success == std::string(1, '\1'));
  CHECK(receipt.receipt.gas_used == 21000);
  CHECK(hash_of(receipt.minor_block.header) == hash_of(block.header));
}

TEST_CASE("shard backend: both shards of one slave exchange deposits without the network") {
  Bench bench({}, {own, other});
  begin(bench);
  RootBlock root = bench.root_on(bench.genesis(), {bench.tip(own).header, bench.tip(other).header});
  ask(bench, adding(root));
  ask(bench, adding(bench.transfer(0, 55, 0x10000)));
  const MinorBlock sent = mined(bench, own);
  REQUIRE(sent.tx_list.size() == 1);
  const MinorBlock beside = mined(bench, other);
  root = bench.root_on(root, {sent.header, beside.header});
  ask(bench, adding(root));
  mined(bench, other);

  GetAccountDataRequest asked;
  asked.address.recipient = Signer(2).address;
  const auto data = ask(bench, std::move(asked)).account_branch_data_list;
  REQUIRE(data.size() == 2);
  CHECK(data[1].token_balances.balance_map.of(token_id("QKC").value()) == BigUint(55));
}

TEST_CASE("quarkchain scenario 12: value that crosses, and comes back, is exact to the last unit of its fees") {
  Bench bench({}, {own, other});
  begin(bench);
  const auto of = [&](const Recipient& who, std::uint32_t branch) {
    GetAccountDataRequest request;
    request.address.recipient = who;
    for (const AccountBranchData& data : ask(bench, std::move(request)).account_branch_data_list)
      if (data.branch.value == branch) return data.token_balances.balance_map.of(token_id("QKC").value());
    return BigUint();
  };
  RootBlock root = bench.root_on(bench.genesis(), {bench.tip(own).header, bench.tip(other).header});
  ask(bench, adding(root));
  const auto round = [&] {
    const MinorBlock here = mined(bench, own);
    const MinorBlock there = mined(bench, other);
    root = bench.root_on(root, {here.header, there.header});
    ask(bench, adding(root));
    return std::pair(here, there);
  };
  const Recipient rich = Signer(1).address;
  const std::uint64_t all = 1000000000000000000;
  constexpr std::uint64_t gas = 30000, price = 10; // of which 21000 are used here and 9000 there

  ask(bench, adding(bench.transfer(0, 600000, 0x10000, rich)));
  const auto [sent, beside] = round();
  CHECK(sent.meta.evm_gas_used == Uint256(21000));
  CHECK(of(rich, own) == BigUint(all - 600000 - gas * price));
  CHECK(sent.header.coinbase_amount_map.balance_map.of(token_id("QKC").value()) == BigUint(50 + 21000 * price / 2));
  const auto [next, arrived] = round();
  CHECK(of(rich, other) == BigUint(600000));
  CHECK(arrived.meta.evm_cross_shard_receive_gas_used == Uint256(9000));
  CHECK(arrived.header.coinbase_amount_map.balance_map.of(token_id("QKC").value()) == BigUint(50 + 9000 * price / 2));

  EvmTransaction back = EvmTransaction::from(bench.transfer(0, 200000, 0, rich));
  back.from_full_shard_key = 0x10000;
  back.startgas = BigUint(30001); // one more than it needs: what is left comes back on the other side
  ask(bench, adding(Signer(1).sign(back).typed()));
  round();
  CHECK(of(rich, other) == BigUint(600000 - 200000 - 30001 * price));
  round();
  CHECK(of(rich, own) == BigUint(all - 600000 - gas * price + 200000 + price));
}

TEST_CASE("shard backend: a block that needs contracts is not called invalid, and the shard goes on answering") {
  Settings settings;
  settings.alloc = fmt::format(
      "\"{}00000000\": {{\"QKC\": 1000000000000000000}}, "
      "\"00000000000000000000000000000000000000aa00000000\": {{\"balances\": {{\"QKC\": 1}}, "
      "\"code\": \"0x6001\"}}",
      Signer(1).address.hex());
  Bench bench(settings);
  begin(bench);
  const Recipient code = *Recipient::from_hex("00000000000000000000000000000000000000aa");
  const TypedTransaction call = bench.transfer(0, 1, 0, code);
  CHECK(code_of([&] { ask(bench, adding(call)); }) == 1);

  MinorBlock block = next_block(bench);
  block.tx_list.push_back(call);
  block.meta.hash_merkle_root = merkle_root(block.tx_list);
  block.header.hash_meta = hash_of(block.meta);
  bench.around->peer_ids = {7};
  CHECK(code_of([&] { run(bench.backend->on(PeerShard{own, 7}, relaying(block))); }) == 0); // nobody's fault
  CHECK(bench.backend->stopped(own).find("needs contracts") != std::string::npos);
  CHECK(bench.log.has_line("follows no further"));
  CHECK(bench.around->reports.size() == 1);
  CHECK(balance(bench, code) == BigUint(1));
}

TEST_CASE("shard backend: blocks that cannot be followed are named ten times, however many come") {
  Settings settings;
  settings.alloc = fmt::format(
      "\"{}00000000\": {{\"QKC\": 1000000000000000000}}, "
      "\"00000000000000000000000000000000000000aa00000000\": {{\"balances\": {{\"QKC\": 1}}, "
      "\"code\": \"0x6001\"}}",
      Signer(1).address.hex());
  Bench bench(settings);
  begin(bench);
  MinorBlock block = next_block(bench);
  block.tx_list.push_back(bench.transfer(0, 1, 0, *Recipient::from_hex("00000000000000000000000000000000000000aa")));
  block.meta.hash_merkle_root = merkle_root(block.tx_list);
  block.header.hash_meta = hash_of(block.meta);
  bench.around->peer_ids = {7};

  for (std::uint8_t miner = 1; miner <= 40; ++miner) {
    block.header.coinbase_address.recipient = Signer(miner).address; // another block each time
    run(bench.backend->on(PeerShard{own, 7}, relaying(block)));
  }

  const auto names_it = [](const std::string& line) { return line.find("follows no further") != line.npos; };
  CHECK(std::ranges::count_if(bench.log.lines(), names_it) == 10);
}

TEST_CASE("shard backend: a peer's invalid block is its fault, one whose parent is unknown is not") {
  Bench bench;
  begin(bench);
  bench.around->peer_ids = {7, 8};
  const MinorBlock good = next_block(bench);
  MinorBlock wrong = good;
  wrong.meta.hash_evm_state_root.bytes[0] ^= std::byte{1};
  wrong.header.hash_meta = hash_of(wrong.meta);
  MinorBlock worse = good;
  worse.header.version = 1;
  MinorBlock orphan = good;
  orphan.header.hash_prev_minor_block.bytes[0] ^= std::byte{1};

  CHECK(code_of([&] { run(bench.backend->on(PeerShard{own, 7}, relaying(worse))); }) == 14);
  CHECK(code_of([&] { run(bench.backend->on(PeerShard{own, 7}, relaying(wrong))); }) == 14);
  CHECK(code_of([&] { run(bench.backend->on(PeerShard{own, 7}, relaying(orphan))); }) == 0);
  CHECK(bench.tip().header.height == 0);
  run(bench.backend->on(PeerShard{own, 7}, relaying(good)));
  CHECK(bench.tip().header == good.header);
  run(sleep_for(std::chrono::seconds(1)));
  CHECK(!bench.around->relayed.empty());
}

TEST_CASE("shard backend: a peer that has more is followed, one that goes back behind its word is not") {
  Bench ahead, behind;
  begin(ahead);
  begin(behind);
  for (int i = 0; i < 3; ++i) mined(ahead);
  behind.time = ahead.time;
  behind.around->peer_ids = {7};
  behind.around->source = ahead.backend;
  const RootBlockHeader root = ahead.genesis().header;

  run(behind.backend->on(PeerShard{own, 7}, announcing(root, ahead.tip().header)));
  CHECK(behind.tip().header == ahead.tip().header);
  CHECK(behind.around->reports.size() == 4);

  MinorBlockHeader less = ahead.tip().header;
  less.height = 1;
  CHECK(code_of([&] { run(behind.backend->on(PeerShard{own, 7}, announcing(root, less))); }) == 14);
  RootBlockHeader changed = root;
  changed.nonce += 1;
  CHECK(code_of([&] { run(behind.backend->on(PeerShard{own, 7}, announcing(changed, ahead.tip().header))); }) == 14);
}

TEST_CASE("shard backend: a master's sync names every block it asked for, held ones too") {
  Bench ahead, behind;
  begin(ahead);
  begin(behind);
  SyncMinorBlockListRequest request;
  request.branch.value = own;
  request.cluster_peer_id = 7;
  for (int i = 0; i < 3; ++i) request.minor_block_hash_list.push_back(hash_of(mined(ahead).header));
  behind.time = ahead.time;
  behind.around->peer_ids = {7};
  behind.around->source = ahead.backend;

  const SyncMinorBlockListResponse synced = ask(behind, request);
  CHECK(synced.block_coinbase_map.size() == 3);
  CHECK(behind.around->listed.size() == 3);
  CHECK(ask(behind, request).block_coinbase_map.size() == 3);
  CHECK(behind.around->listed.size() == 3); // nothing new to tell
  REQUIRE(synced.shard_stats);
  CHECK(synced.shard_stats->height == 3);
}

TEST_CASE("shard backend: work is given out where REMOTE_MINE says so, and comes back as a block") {
  Settings settings;
  settings.chain = R"("CONSENSUS_TYPE": "POW_DOUBLESHA256",
                      "CONSENSUS_CONFIG": {"TARGET_BLOCK_TIME": 3, "REMOTE_MINE": true})";
  settings.network = R"("SKIP_MINOR_DIFFICULTY_CHECK": true)";
  Bench bench(settings);
  begin(bench);
  GetWorkRequest asked;
  asked.branch.value = own;
  bench.time += 5;
  const GetWorkResponse work = ask(bench, asked);
  CHECK(ask(bench, asked).header_hash == work.header_hash);
  SubmitWorkRequest solution;
  solution.branch.value = own;
  solution.header_hash = work.header_hash;
  while (!ask(bench, solution).success) {
    REQUIRE(++solution.nonce < 2000000);
  }
  CHECK(bench.tip().header.height == 1);
  CHECK(!ask(bench, solution).success); // it is used up

  Bench without;
  begin(without);
  CHECK(code_of([&] { ask(without, asked); }) == 1);
}

TEST_CASE("shard backend: a line that others cause as often as they like is logged ten times, and counted after that") {
  Bench bench;
  begin(bench);
  const MinorBlock stale = next_block(bench);
  mined(bench);
  const std::size_t before = bench.log.lines().size();

  for (int again = 0; again < 100; ++again) ask(bench, adding(stale));
  CHECK(bench.log.lines().size() == before + 10);
  bench.time += 10;
  ask(bench, adding(stale));

  CHECK(bench.log.has_line("its parent is not the tip (after 90 more like it)"));
}

TEST_CASE("shard backend: a local miner makes blocks as fast as it is told, until it is told to stop") {
  Bench bench;
  begin(bench);
  MineRequest mine;
  mine.artificial_tx_config.target_minor_block_time = 3;
  mine.mining = true;
  ask(bench, mine);
  run(sleep_for(std::chrono::seconds(600)));
  const std::uint64_t height = bench.tip().header.height;
  CHECK(height > 3);
  mine.mining = false;
  ask(bench, mine);
  run(sleep_for(std::chrono::seconds(600)));
  CHECK(bench.tip().header.height == height);
}

TEST_CASE("shard backend: a block is checked by running it again, and a changed byte of it is found") {
  Bench bench;
  begin(bench);
  ask(bench, adding(bench.transfer(0, 77)));
  const MinorBlock block = mined(bench);
  CHECK(code_of([&] { ask(bench, checking(block.header)); }) == 0);
  MinorBlock damaged = block;
  damaged.meta.evm_gas_used = Uint256(1);
  StoreBatch batch;
  batch.put(shard_keys::minor_block(hash_of(block.header)), std::string(encoded(damaged).text()));
  bench.stores.at(own)->write(batch);
  CHECK(code_of([&] { ask(bench, checking(block.header)); }) == 74);
  MinorBlockHeader unknown = block.header;
  unknown.nonce += 1;
  CHECK(code_of([&] { ask(bench, checking(unknown)); }) == 74);
}

TEST_CASE("shard backend: a shard begins again at what the root chain confirms, and not on one that it does not know") {
  Bench bench;
  begin(bench);
  const RootBlock root = first_root(bench);
  mined(bench);
  bench.open();
  CHECK(bench.backend->shards().empty());
  RootBlock unknown = bench.root_on(bench.root_on(root));
  CHECK_THROWS_WITH_AS(begin(bench, unknown), doctest::Contains("neither it nor its parent"), std::runtime_error);
  begin(bench, root);
  CHECK(bench.tip().header.height == 0);
  CHECK(mined(bench).header.height == 1);
}

TEST_CASE(
    "shard backend: a root block that breaks a rule is refused with a name, and one that is heavier is followed") {
  Bench bench;
  begin(bench);
  const MinorBlock block = mined(bench);
  RootBlock unknown = bench.root_on(bench.genesis(), {bench.tip().header});
  unknown.minor_block_header_list[0].nonce += 1;
  CHECK(code_of([&] { ask(bench, adding(unknown)); }) == 74);
  MinorBlockHeader genesis = unconfirmed(bench).front();
  const RootBlock good = bench.root_on(bench.genesis(), {genesis, block.header});
  CHECK(ask(bench, adding(good)).switched);
  CHECK(bench.backend->root_tip_of(own) == good.header);
}

TEST_CASE("shard backend: calls and estimates of plain transfers are answered, the rest is refused") {
  Bench bench;
  begin(bench);
  ExecuteTransactionRequest call;
  call.tx = bench.transfer(0, 7);
  call.from_address.recipient = Signer(1).address;
  CHECK(ask(bench, call).result.empty());
  EstimateGasRequest estimate;
  estimate.tx = call.tx;
  estimate.from_address = call.from_address;
  CHECK(ask(bench, estimate).result == 21000);
  call.from_address.recipient = Signer(3).address; // who has nothing
  CHECK(code_of([&] { ask(bench, call); }) == 1);
  GetRootChainStakesRequest stakes;
  stakes.minor_block_hash = hash_of(bench.tip().header);
  CHECK(ask(bench, stakes).stakes.is_zero());
  GetTotalBalanceRequest total;
  total.branch.value = own;
  total.token_id = token_id("QKC").value();
  total.limit = 100;
  total.minor_block_hash = stakes.minor_block_hash;
  CHECK(ask(bench, total).total_balance == BigUint(1000000000000000000));
  GetLogRequest logs;
  logs.branch.value = own;
  CHECK(ask(bench, logs).logs.empty());
  logs.end_block = 1;
  CHECK(code_of([&] { ask(bench, logs); }) == 1);
}

TEST_CASE("shard backend: the local miner finds real proofs of work") {
  for (const char* type : {"POW_QKCHASH", "POW_ETHASH", "POW_DOUBLESHA256"}) {
    CAPTURE(type);
    Settings settings;
    settings.chain = fmt::format("\"CONSENSUS_TYPE\": \"{}\"", type);
    settings.network = "\"SKIP_MINOR_DIFFICULTY_CHECK\": true";
    settings.difficulty = 3;
    Bench bench(settings);
    begin(bench);
    bench.time += 10;
    MineRequest mine;
    mine.mining = true;
    ask(bench, mine);
    for (int tries = 0; tries < 2000 && bench.tip().header.height == 0; ++tries)
      run(sleep_for(std::chrono::milliseconds(5)));
    mine.mining = false;
    ask(bench, mine);
    CHECK(bench.tip().header.height >= 1);
    CHECK(code_of([&] { ask(bench, checking(bench.tip().header)); }) == 0);
  }
}

TEST_CASE("shard backend: the total of all balances counts deposits that wait, when a root block is named") {
  Bench bench;
  begin(bench);
  const RootBlock root = first_root(bench);
  const MinorBlock before = mined(bench);
  AddXshardTxListRequest list;
  list.branch.value = own;
  const MinorBlockHeader sender = header_of_other(root, 1);
  list.minor_block_hash = hash_of(sender);
  list.tx_list.tx_list.push_back(deposit_to(Signer(2).address, 70));
  ask(bench, list);
  const RootBlock next = bench.root_on(root, {sender});
  ask(bench, adding(next));
  GetTotalBalanceRequest total;
  total.branch.value = own;
  total.token_id = token_id("QKC").value();
  total.minor_block_hash = hash_of(before.header);
  total.limit = 100;
  total.root_block_hash = hash_of(next.header);
  const BigUint of_tip = ask(bench, total).total_balance;
  mined(bench);
  CHECK(ask(bench, total).total_balance == of_tip + BigUint(70));
  total.root_block_hash.reset();
  CHECK(ask(bench, total).total_balance == of_tip);
}

// The embedded backend by itself: no connections, and a host that notes what it is told.
#include "services/quarkchain/backend/header_query.hpp"
#include "services/quarkchain/chain/genesis.hpp"
#include "tests/services/quarkchain/recording_host.hpp"
#include "tests/services/quarkchain/requests.hpp"
#include "tests/services/quarkchain/whole_cluster.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <filesystem>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;

namespace {

constexpr std::uint32_t branch_0 = 0x00001;
constexpr std::uint32_t branch_1 = 0x10001;
constexpr std::uint32_t branch_2 = 0x20001;

/// A ledger that runs shards 0 and 1 of three, with its host.
struct Bench {
  explicit Bench(std::uint32_t root_height_of_last = 0, std::vector<std::uint32_t> shards = {branch_0, branch_1},
                 std::unique_ptr<Store> store = make_memory_store())
      : config(cluster_config(1, 3, root_height_of_last)), around(std::make_shared<RecordingHost>()) {
    options.config = config.quarkchain;
    options.full_shard_ids = std::move(shards);
    options.transaction_history = true;
    options.unix_time = [this] { return time; };
    open(std::move(store));
  }
  void open(std::unique_ptr<Store> store) {
    ledger.reset();
    ledger = make_ledger(options, std::move(store));
    ledger->attach(std::weak_ptr<BackendHost>(around));
  }
  RootBlock genesis() const { return genesis_root_block(config.quarkchain.root.genesis); }
  /// On top of `parent`, `weight` times as difficult.
  static RootBlock root_on(const RootBlock& parent, std::vector<MinorBlockHeader> headers = {},
                           std::uint64_t weight = 1) {
    RootBlock block;
    block.minor_block_header_list = std::move(headers);
    block.header.height = parent.header.height + 1;
    block.header.hash_prev_block = hash_of(parent.header);
    block.header.hash_merkle_root = merkle_root(block.minor_block_header_list);
    block.header.difficulty = BigUint::scaled(BigUint(1000), weight, 1);
    block.header.total_difficulty = parent.header.total_difficulty + block.header.difficulty;
    return block;
  }

  std::uint64_t time = 1700000000;
  ClusterConfig config;
  LedgerOptions options;
  std::shared_ptr<RecordingHost> around;
  std::shared_ptr<Ledger> ledger;
};

template <class T> struct Kept {
  std::optional<T> value;
};
template <class T> awaitable<void> keep(awaitable<T> call, Kept<T>* into) {
  into->value.emplace(co_await std::move(call));
}

/// Runs to its end, with nothing around it. One world for all: a ledger may outlive a call.
void run(awaitable<void> call) {
  static sim::World world(1);
  world.run(std::move(call));
}
template <class T> T run(awaitable<T> call) {
  Kept<T> kept;
  run(keep(std::move(call), &kept));
  return std::move(*kept.value);
}
template <class T> std::uint32_t code_of(awaitable<T> call) {
  try {
    if constexpr (std::is_void_v<T>) run(std::move(call));
    else (void)run(std::move(call));
  } catch (const Refused& refused) {
    return refused.code();
  }
  return 0;
}

/// What the ledger answers.
template <class Request> typename Rpc<Request>::Reply ask(Bench& bench, Request request) {
  return run(bench.ledger->on(std::move(request)));
}
/// Whether it says that there is no such thing.
template <class Request> bool has_none(Bench& bench, Request request) {
  try {
    (void)ask(bench, std::move(request));
  } catch (const NotFound&) {
    return true;
  }
  return false;
}
/// The error_code with which it refuses; 0 when it does not.
template <class Request> std::uint32_t code_of(Bench& bench, Request request) {
  return code_of(bench.ledger->on(std::move(request)));
}

// Requests.

Branch branch_of(std::uint32_t id) {
  Branch branch;
  branch.value = id;
  return branch;
}
GetMinorBlockRequest block_at(std::uint32_t branch, std::uint64_t height) {
  GetMinorBlockRequest request;
  request.branch = branch_of(branch);
  request.height = height;
  return request;
}
GetTransactionRequest finding(std::uint32_t branch, const Hash256& hash) {
  GetTransactionRequest request;
  request.branch = branch_of(branch);
  request.tx_hash = hash;
  return request;
}
GetAllTransactionsRequest all_of(std::uint32_t branch, const std::string& start, std::uint32_t limit) {
  GetAllTransactionsRequest request;
  request.branch = branch_of(branch);
  request.start = start;
  request.limit = limit;
  return request;
}
GetAccountDataRequest data_of(const Address& address, std::optional<std::uint64_t> height = std::nullopt) {
  GetAccountDataRequest request;
  request.address = address;
  request.block_height = height;
  return request;
}
GetCodeRequest code_at(const Address& address, std::optional<std::uint64_t> height = std::nullopt) {
  GetCodeRequest request;
  request.address = address;
  request.block_height = height;
  return request;
}
GetStorageRequest word_of(const Address& address, std::uint64_t key) {
  GetStorageRequest request;
  request.address = address;
  request.key = Uint256(key);
  return request;
}
CheckMinorBlockRequest checking(const MinorBlockHeader& header) {
  CheckMinorBlockRequest request;
  request.minor_block_header = header;
  return request;
}
GetWorkRequest work_on(std::uint32_t branch) {
  GetWorkRequest request;
  request.branch = branch_of(branch);
  return request;
}
SyncMinorBlockListRequest syncing(const PeerShard& from, const std::vector<Hash256>& hashes) {
  SyncMinorBlockListRequest request;
  request.minor_block_hash_list = hashes;
  request.branch = branch_of(from.branch);
  request.cluster_peer_id = from.cluster_peer_id;
  return request;
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
NewTransactionListCommand relaying(std::vector<TypedTransaction> transactions) {
  NewTransactionListCommand command;
  command.transaction_list = std::move(transactions);
  return command;
}

MinorBlock next_block(Bench& bench, std::uint32_t branch) {
  GetNextBlockToMineRequest request;
  request.branch = branch_of(branch);
  return ask(bench, std::move(request)).block;
}

std::vector<HeadersInfo> unconfirmed(Bench& bench) {
  return ask(bench, GetUnconfirmedHeadersRequest()).headers_info_list;
}

MinorBlock mined(Bench& bench, std::uint32_t branch) {
  bench.time += 5;
  MinorBlock block = next_block(bench, branch);
  ask(bench, adding(block));
  return block;
}

void start(Bench& bench) { run(bench.ledger->create_shards(bench.genesis())); }

MinorBlockHeader genesis_of(const Bench& bench, std::uint32_t branch) {
  return genesis_minor_block(bench.config.quarkchain, *bench.config.quarkchain.find_shard(branch),
                             bench.genesis().header)
      .header;
}

/// Both genesis blocks confirmed.
RootBlock first_root(Bench& bench) {
  const RootBlock root = Bench::root_on(bench.genesis(), {genesis_of(bench, branch_0), genesis_of(bench, branch_1)});
  ask(bench, adding(root));
  return root;
}

std::string scratch(const char* name) {
  const auto place = std::filesystem::temp_directory_path() / fmt::format("trunkline-ledger-{}-{}", name, ::getpid());
  std::filesystem::remove_all(place);
  return place.string();
}

} // namespace

TEST_CASE("ledger: shards begin with the root block of their height, and the master hears of their genesis") {
  Bench bench;
  CHECK(bench.ledger->shards().empty());
  start(bench);
  CHECK(bench.ledger->shards() == std::vector<std::uint32_t>{branch_0, branch_1});
  REQUIRE(bench.around->reports.size() == 2);
  CHECK(bench.around->reports[0].minor_block_header == genesis_of(bench, branch_0));
  CHECK(bench.around->reports[0].coinbase_amount_map ==
        bench.around->reports[0].minor_block_header.coinbase_amount_map);
  CHECK(bench.around->lists.empty()); // no shard began before
}

TEST_CASE("ledger: a shard that begins later tells those that began before of its genesis, with an empty list") {
  Bench bench(2, {branch_0, branch_2});
  start(bench);
  CHECK(bench.ledger->shards() == std::vector<std::uint32_t>{branch_0});
  const RootBlock one = Bench::root_on(bench.genesis());
  ask(bench, adding(one));
  bench.around->lists.clear();
  ask(bench, adding(Bench::root_on(one)));
  CHECK(bench.ledger->shards() == std::vector<std::uint32_t>{branch_0, branch_2});
  REQUIRE(bench.around->lists.size() == 2); // to shards 0 and 1, which began at root block 0
  const Hash256 begun = hash_of(*bench.ledger->tip_of(branch_2));
  CHECK(bench.around->lists[0].minor_block_hash == begun);
  CHECK(bench.around->lists[0].tx_list.tx_list.empty());
  CHECK(bench.ledger->has_xshard_tx_list(branch_0, begun)); // its own shard has it without being told
}

TEST_CASE("ledger: a genesis that cannot be reported does not count, and is made again") {
  Bench bench;
  bench.around->master_is_away = true;
  CHECK_THROWS_WITH_AS(start(bench), doctest::Contains("the master is away"), boost::system::system_error);
  CHECK(bench.ledger->shards().empty());
  bench.around->master_is_away = false;
  start(bench);
  CHECK(bench.ledger->shards().size() == 2);
}

TEST_CASE("ledger: a block is in the chain when all neighbours have its list and the master knows, not before") {
  Bench bench;
  start(bench);
  first_root(bench);
  const TypedTransaction across = some_transaction(0, 0x20000, 5);
  ask(bench, adding(across));
  const MinorBlock block = next_block(bench, branch_0);
  CHECK(block.tx_list.size() == 1);
  bench.around->slaves_are_away = true;
  CHECK(code_of(bench, adding(block)) == 1);
  CHECK(bench.ledger->tip_of(branch_0)->height == 0);
  CHECK(unconfirmed(bench)[0].header_list.empty());
  bench.around->slaves_are_away = false;
  bench.around->master_is_away = true;
  CHECK(code_of(bench, adding(block)) == 1);
  CHECK(bench.ledger->tip_of(branch_0)->height == 0);
  bench.around->master_is_away = false;
  bench.around->lists.clear();
  ask(bench, adding(block));
  CHECK(*bench.ledger->tip_of(branch_0) == block.header);
  REQUIRE(bench.around->lists.size() == 2); // for shards 1 and 2: 1 is ours, and may be another slave's too
  CHECK(bench.around->lists[0].tx_list.tx_list.empty());
  REQUIRE(bench.around->lists[1].tx_list.tx_list.size() == 1);
  CHECK(bench.around->lists[1].tx_list.tx_list[0].tx_hash == hash_of(across));
  CHECK(bench.around->lists[1].tx_list.tx_list[0].value == Uint256(5));
  CHECK(bench.around->reports.back().x_shard_tx_count == 1);
  CHECK(bench.ledger->has_xshard_tx_list(branch_1, hash_of(block.header)));

  ask(bench, adding(block)); // again: nothing happens
  CHECK(bench.ledger->counters().minor_blocks == 1);
}

TEST_CASE("ledger: a block that does not extend the tip is dropped, one that does not fit together is refused") {
  Bench bench;
  start(bench);
  first_root(bench);
  const MinorBlock stale = next_block(bench, branch_0);
  mined(bench, branch_0);
  ask(bench, adding(stale));
  CHECK(bench.ledger->counters().minor_blocks_stale == 1);
  const MinorBlock good = next_block(bench, branch_0);
  const auto broken = [&](auto change) {
    MinorBlock block = good;
    change(block);
    return code_of(bench, adding(block));
  };
  CHECK(broken([](MinorBlock& block) { block.header.branch.value = 0x70001; }) == 74);
  CHECK(broken([](MinorBlock& block) { block.header.height = 9; }) == 14);
  CHECK(broken([](MinorBlock& block) { block.meta.evm_gas_used = Uint256(1); }) == 14);
  CHECK(broken([](MinorBlock& block) { block.tx_list.push_back(some_transaction(0, 0, 1)); }) == 14);
  CHECK(broken([](MinorBlock& block) { block.header.hash_prev_root_block.bytes[0] = std::byte{1}; }) == 14);
  CHECK(broken([](MinorBlock& block) { // a transaction of another shard
          block.tx_list.push_back(some_transaction(0x10000, 0, 1));
          block.meta.hash_merkle_root = merkle_root(block.tx_list);
          block.header.hash_meta = hash_of(block.meta);
        }) == 14);
  CHECK(broken([](MinorBlock&) {}) == 0);
}

TEST_CASE("ledger: a root block needs its parent, its minor blocks, and the lists of others' minor blocks") {
  Bench bench;
  start(bench);
  const RootBlock one = first_root(bench);
  const MinorBlock ours = mined(bench, branch_0);
  CHECK(code_of(bench, adding(Bench::root_on(Bench::root_on(one)))) == 74);
  RootBlock wrong = Bench::root_on(one);
  wrong.header.hash_merkle_root = Hash256();
  CHECK(code_of(bench, adding(wrong)) == 74);
  MinorBlockHeader unknown = ours.header;
  unknown.nonce = 5;
  CHECK(code_of(bench, adding(Bench::root_on(one, {unknown}))) == 74);
  MinorBlockHeader others = ours.header; // a block of shard 2, after root block 1
  others.branch.value = branch_2;
  const RootBlock with_others = Bench::root_on(one, {ours.header, others});
  CHECK(code_of(bench, adding(with_others)) == 74);
  for (const std::uint32_t branch : {branch_0, branch_1}) {
    AddXshardTxListRequest list;
    list.branch = branch_of(branch);
    list.minor_block_hash = hash_of(others);
    ask(bench, list);
  }
  CHECK(ask(bench, adding(with_others)).switched);
  CHECK(bench.ledger->root_tip()->height == 2);
  CHECK(unconfirmed(bench)[0].header_list.empty());
  CHECK_FALSE(ask(bench, adding(one)).switched); // known, and lighter
  CHECK(bench.ledger->root_tip()->height == 2);
}

TEST_CASE("ledger: when the root chain switches, shards go back to what it confirms and take up what is on it") {
  Bench bench;
  start(bench);
  const RootBlock one = first_root(bench);
  const MinorBlock before = mined(bench, branch_0); // on root block 1
  const RootBlock two = Bench::root_on(one, {before.header});
  ask(bench, adding(two));
  const MinorBlock after = mined(bench, branch_0); // on root block 2
  CHECK(after.header.hash_prev_root_block == hash_of(two.header));

  const RootBlock other = Bench::root_on(one, {}, 3);
  CHECK(ask(bench, adding(other)).switched);
  CHECK(bench.ledger->counters().root_switches == 1);
  CHECK(*bench.ledger->tip_of(branch_0) == before.header); // its root block is on both
  CHECK(unconfirmed(bench)[0].header_list == std::vector<MinorBlockHeader>{before.header});
  CHECK(has_none(bench, block_at(branch_0, 2)));

  const RootBlock three = Bench::root_on(two, {after.header}, 9);
  CHECK(ask(bench, adding(three)).switched);
  CHECK(*bench.ledger->tip_of(branch_0) == after.header);
  CHECK(ask(bench, block_at(branch_0, 2)).minor_block.header == after.header);
}

TEST_CASE("ledger: the headers for a root block are consecutive, and as many as one may have") {
  Bench bench;
  start(bench);
  first_root(bench);
  for (int i = 0; i < 12; ++i) mined(bench, branch_0);
  const std::vector<HeadersInfo> infos = unconfirmed(bench);
  REQUIRE(infos.size() == 2);
  CHECK(infos[0].header_list.size() == 60 / 10 + 3);
  for (std::size_t i = 0; i < infos[0].header_list.size(); ++i) CHECK(infos[0].header_list[i].height == i + 1);
  CHECK(infos[1].header_list.empty());
}

TEST_CASE("ledger: transactions wait, are refused beyond the limit, and are found by hash, by account and by shard") {
  Bench bench;
  bench.options.config.transaction_queue_size_limit_per_shard = 3;
  bench.open(make_memory_store());
  start(bench);
  first_root(bench);
  std::vector<TypedTransaction> all;
  for (std::uint64_t i = 0; i < 4; ++i) all.push_back(some_transaction(0, 0, 10 + i));
  for (int i = 0; i < 3; ++i) ask(bench, adding(all[static_cast<std::size_t>(i)]));
  CHECK(code_of(bench, adding(all[3])) == 1);
  ask(bench, adding(all[0])); // is there already
  CHECK(code_of(bench, adding(some_transaction(0x20000, 0, 1))) == 1); // not run here
  TypedTransaction garbage;
  garbage.tx.serialized_tx = "garbage";
  CHECK(code_of(bench, adding(garbage)) == 1);
  CHECK(bench.ledger->counters().transactions == 3);
  const auto waiting = ask(bench, finding(branch_0, hash_of(all[1])));
  CHECK(waiting.minor_block.tx_list == std::vector<TypedTransaction>{all[1]});
  const std::string pending(1, '\0');
  CHECK(ask(bench, all_of(branch_0, pending, 10)).tx_list.size() == 3);

  const MinorBlock block = mined(bench, branch_0);
  CHECK(block.tx_list.size() == 3);
  ask(bench, adding(all[3])); // there is room again
  const MinorBlock second = mined(bench, branch_0);
  const auto found = ask(bench, finding(branch_0, hash_of(all[1])));
  CHECK(found.minor_block == block);
  CHECK(found.index == 1);
  CHECK(has_none(bench, finding(branch_0, Hash256())));

  // All four were sent to one account; newest first, two at a time.
  Address receiver;
  receiver.recipient.bytes[19] = std::byte{9};
  for (const bool by_address : {true, false}) {
    CAPTURE(by_address);
    std::string cursor;
    std::vector<Hash256> seen;
    for (int page = 0; page < 3; ++page) {
      std::vector<TransactionDetail> some;
      if (by_address) {
        GetTransactionListByAddressRequest request;
        request.address = receiver;
        request.start = cursor;
        request.limit = 2;
        GetTransactionListByAddressResponse reply = ask(bench, std::move(request));
        some = std::move(reply.tx_list);
        cursor = reply.next;
      } else {
        GetAllTransactionsResponse reply = ask(bench, all_of(branch_0, cursor, 2));
        some = std::move(reply.tx_list);
        cursor = reply.next;
      }
      for (const TransactionDetail& detail : some) seen.push_back(detail.tx_hash);
      if (cursor.empty()) break;
    }
    CHECK(seen == std::vector<Hash256>{hash_of(all[3]), hash_of(all[2]), hash_of(all[1]), hash_of(all[0])});
  }
  CHECK(code_of(bench, all_of(branch_0, "xyz", 2)) == 1);
  Address sender;
  sender.recipient = EvmTransaction::from(all[1]).sender();
  CHECK(ask(bench, data_of(sender)).account_branch_data_list[0].transaction_count == Uint256(1));
  CHECK(ask(bench, data_of(sender, 0)).account_branch_data_list[0].transaction_count == Uint256(0));
  CHECK(code_of(bench, adding(all[1])) == 1); // its nonce was used
  (void)second;
}

TEST_CASE("ledger: accounts, code, storage and balances are those of genesis") {
  Bench bench;
  start(bench);
  Address rich;
  rich.recipient.bytes[19] = std::byte{3};
  rich.full_shard_key = 0xff;
  const std::vector<AccountBranchData> accounts = ask(bench, data_of(rich)).account_branch_data_list;
  REQUIRE(accounts.size() == 2);
  CHECK(accounts[0].token_balances.balance_map.of(BigUint(35760)) == BigUint(1000));
  CHECK(accounts[0].is_contract);
  CHECK(accounts[1].token_balances.balance_map.empty());
  CHECK(ask(bench, code_at(rich)).result == "\x60\x01");
  CHECK(ask(bench, word_of(rich, 0x12)).result.hex().ends_with("0345"));
  CHECK(ask(bench, word_of(rich, 0x13)).result.is_zero());
  CHECK(code_of(bench, code_at(rich, 5)) == 1); // above the tip
  GetTotalBalanceRequest query;
  query.branch = branch_of(branch_0);
  query.token_id = 35760;
  query.limit = 10;
  query.minor_block_hash = hash_of(*bench.ledger->tip_of(branch_0));
  const GetTotalBalanceResponse all = ask(bench, query);
  CHECK(all.total_balance == BigUint(1000));
  CHECK(all.next == std::string(32, '\0'));
  GasPriceRequest price;
  price.branch = branch_of(branch_0);
  price.token_id = 35760;
  CHECK(ask(bench, price).result == 1000000000);
  ask(bench, checking(genesis_of(bench, branch_0)));
  MinorBlockHeader unknown = genesis_of(bench, branch_0);
  unknown.nonce = 1;
  CHECK(code_of(bench, checking(unknown)) == 74);
  CHECK_THROWS_AS((void)ask(bench, GetLogRequest()), NotImplemented);
}

TEST_CASE("ledger: work is given out where remote mining is allowed, and its solution is the next block") {
  Bench bench;
  start(bench);
  CHECK(code_of(bench, work_on(branch_1)) == 1);
  for (ShardConfig& shard : bench.options.config.shards) shard.consensus_config.remote_mine = true;
  bench.open(make_memory_store());
  start(bench);
  first_root(bench);
  const GetWorkResponse work = ask(bench, work_on(branch_1));
  CHECK(work.height == 1);
  SubmitWorkRequest solution;
  solution.branch = branch_of(branch_1);
  solution.header_hash = work.header_hash;
  solution.nonce = 77;
  CHECK(ask(bench, solution).success);
  CHECK(bench.ledger->tip_of(branch_1)->nonce == 77);
  CHECK(mining_hash_of(*bench.ledger->tip_of(branch_1)) == work.header_hash);
  CHECK_FALSE(ask(bench, solution).success);
  const std::vector<EcoInfo> infos = ask(bench, GetEcoInfoListRequest()).eco_info_list;
  CHECK(infos.at(1).height == 2);
  CHECK(infos.at(1).coinbase_amount == Uint256(2500000000000000000u));
}

TEST_CASE("ledger: blocks are fetched from a peer in order, announced and reported; what it makes up is refused") {
  Bench ahead;
  start(ahead);
  const RootBlock one = first_root(ahead);
  std::vector<Hash256> hashes;
  for (int i = 0; i < 5; ++i) hashes.push_back(hash_of(mined(ahead, branch_0).header));

  Bench bench;
  bench.time = ahead.time;
  start(bench);
  ask(bench, adding(one));
  bench.around->source = ahead.ledger;
  bench.around->peer_ids = {7, 8};
  const PeerShard peer{branch_0, 7};
  const PeerShard stranger{branch_0, 9};
  CHECK(code_of(bench, syncing(stranger, hashes)) == 74);
  std::vector<Hash256> too_many = hashes;
  too_many.push_back(Hash256());
  CHECK(code_of(bench, syncing(peer, too_many)) != 0);
  const std::vector<Hash256> some(hashes.begin(), hashes.begin() + 2);
  const SyncMinorBlockListResponse synced = ask(bench, syncing(peer, some));
  CHECK(synced.block_coinbase_map.size() == 2);
  CHECK(synced.shard_stats->height == 2);
  CHECK(bench.around->listed.size() == 2);
  CHECK(bench.around->lists.size() == 2 * 2);

  const MinorBlockHeader tip = *ahead.ledger->tip_of(branch_0);
  run(bench.ledger->on(peer, announcing(one.header, tip))); // the rest, because it is higher
  CHECK(*bench.ledger->tip_of(branch_0) == tip);
  CHECK(bench.around->announced == std::vector<std::pair<std::uint64_t, std::uint64_t>>{{8, 5}});

  const MinorBlock next = mined(ahead, branch_0);
  run(bench.ledger->on(peer, relaying(next)));
  CHECK(*bench.ledger->tip_of(branch_0) == next.header);
  CHECK(bench.around->relayed == std::vector<std::pair<std::uint64_t, std::uint64_t>>{{8, 6}});
  const std::vector<TypedTransaction> transactions{some_transaction(0, 0, 3), some_transaction(0x20000, 0, 3)};
  run(bench.ledger->on(peer, relaying(transactions)));
  CHECK(bench.around->passed_on == std::vector<std::pair<std::uint64_t, std::size_t>>{{8, 1}});

  // Headers, as peers ask for them.
  GetMinorBlockHeaderListWithSkipRequest back;
  back.data = hash_of(next.header);
  back.limit = 3;
  const GetMinorBlockHeaderListResponse page = run(bench.ledger->on(peer, back));
  CHECK(page.shard_tip == next.header);
  REQUIRE(page.block_header_list.size() == 3);
  CHECK(page.block_header_list[2].height == 4);
  GetMinorBlockHeaderListWithSkipRequest forward;
  forward.type = 1;
  forward.data = data_of_height(BigUint(1));
  forward.limit = 10;
  forward.skip = 1;
  forward.direction = 1;
  std::vector<std::uint64_t> heights;
  for (const MinorBlockHeader& header : run(bench.ledger->on(peer, forward)).block_header_list)
    heights.push_back(header.height);
  CHECK(heights == std::vector<std::uint64_t>{1, 3, 5});
}

TEST_CASE("ledger: a peer that has gone while something is passed on is left out, and whoever sent it goes on") {
  Bench ahead;
  start(ahead);
  const RootBlock one = first_root(ahead);
  Bench bench;
  start(bench);
  ask(bench, adding(one));
  bench.around->source = ahead.ledger;
  bench.around->peer_ids = {7, 8, 9};
  bench.around->gone = 8;

  const PeerShard sender{branch_0, 7};
  run(bench.ledger->on(sender, relaying(mined(ahead, branch_0))));
  run(bench.ledger->on(sender, relaying({some_transaction(0, 0, 3)})));

  CHECK(bench.around->relayed == std::vector<std::pair<std::uint64_t, std::uint64_t>>{{9, 1}});
  CHECK(bench.around->passed_on == std::vector<std::pair<std::uint64_t, std::size_t>>{{9, 1}});
}

TEST_CASE("ledger: of a long chain no more is held than one reply has: it is in the chain before more is asked for") {
  Bench ahead;
  start(ahead);
  const RootBlock one = first_root(ahead);
  for (int i = 0; i < 120; ++i) mined(ahead, branch_0);
  Bench bench;
  bench.time = ahead.time;
  start(bench);
  ask(bench, adding(one));
  bench.around->source = ahead.ledger;
  bench.around->peer_ids = {7};

  const MinorBlockHeader tip = *ahead.ledger->tip_of(branch_0);
  run(bench.ledger->on(PeerShard{branch_0, 7}, announcing(one.header, tip)));

  CHECK(*bench.ledger->tip_of(branch_0) == tip);
  CHECK(bench.around->listed_when_asked == std::vector<std::size_t>{0, 50, 100});
}

TEST_CASE("ledger: numbers that cannot be computed with are refused, and what a store has of them is held down") {
  Bench bench;
  start(bench);
  first_root(bench);
  const MinorBlock good = next_block(bench, branch_0);
  const BigUint largest = *BigUint::from_bytes(std::vector<std::byte>(BigUint::bytes_max, std::byte{0xFF}));
  MinorBlock hostile = good;
  hostile.header.difficulty = largest;
  hostile.header.create_time = std::uint64_t{1} << 63;
  hostile.header.coinbase_amount_map.balance_map.set(BigUint(35760), largest);
  const auto refused = [&](auto mend) {
    MinorBlock block = hostile;
    mend(block.header);
    bench.around->peer_ids = {7};
    return code_of(bench.ledger->on(PeerShard{branch_0, 7}, relaying(block)));
  };
  CHECK(refused([&](MinorBlockHeader& header) {
          header.create_time = good.header.create_time;
          header.coinbase_amount_map = good.header.coinbase_amount_map;
        }) == 14); // difficulty
  CHECK(refused([&](MinorBlockHeader& header) {
          header.difficulty = good.header.difficulty;
          header.create_time = good.header.create_time;
        }) == 14); // coinbase amount
  CHECK(refused([&](MinorBlockHeader& header) {
          header.difficulty = good.header.difficulty;
          header.coinbase_amount_map = good.header.coinbase_amount_map;
        }) == 14); // create_time
  CHECK(bench.ledger->tip_of(branch_0)->height == 0);

  // A store that took such a block before it was refused: as if genesis had been like that.
  for (ShardConfig& shard : bench.options.config.shards) shard.genesis.difficulty = largest;
  for (const std::uint64_t timestamp : {std::uint64_t{0}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    for (ShardConfig& shard : bench.options.config.shards) shard.genesis.timestamp = timestamp;
    bench.open(make_memory_store());
    start(bench);
    const std::vector<EcoInfo> infos = ask(bench, GetEcoInfoListRequest()).eco_info_list;
    CHECK(infos.at(0).difficulty.bytes() == std::string(Uint256::size, '\xFF'));
    const MinorBlock next = next_block(bench, branch_0);
    CHECK(next.header.create_time >= timestamp);
  }
}

TEST_CASE("ledger: another list for the same block, one for another slave's shard, and an endless one are refused") {
  Bench bench;
  bench.options.xshard_deposits_max = 2;
  bench.open(make_memory_store());
  start(bench);
  AddXshardTxListRequest list;
  list.branch = branch_of(branch_0);
  list.tx_list.tx_list.resize(2);
  ask(bench, list);
  ask(bench, list);
  list.tx_list.tx_list.resize(1);
  CHECK(code_of(bench, list) == 14);
  CHECK(bench.ledger->xshard_tx_list(branch_0, list.minor_block_hash)->tx_list.size() == 2);
  list.tx_list.tx_list.resize(3);
  CHECK(code_of(bench, list) == 1);
  list.branch = branch_of(branch_2);
  CHECK(code_of(bench, list) == 2);
}

TEST_CASE("ledger: everything but waiting transactions is there again after a restart on RocksDB") {
  const std::string place = scratch("restart");
  {
    Bench bench(0, {branch_0, branch_1}, open_store(place));
    start(bench);
    const RootBlock one = first_root(bench);
    ask(bench, adding(some_transaction(0, 0, 10)));
    const MinorBlock block = mined(bench, branch_0);
    AddXshardTxListRequest list;
    list.branch = branch_of(branch_1);
    list.tx_list.tx_list.resize(2);
    ask(bench, list);
    ask(bench, adding(some_transaction(0, 0, 11)));
    bench.around->reports.clear();

    bench.ledger.reset(); // one process at a time
    bench.open(open_store(place));
    CHECK(bench.ledger->shards() == std::vector<std::uint32_t>{branch_0, branch_1});
    CHECK(*bench.ledger->root_tip() == one.header);
    CHECK(*bench.ledger->tip_of(branch_0) == block.header);
    CHECK(bench.ledger->xshard_tx_list(branch_1, Hash256())->tx_list.size() == 2);
    const auto found = ask(bench, finding(branch_0, hash_of(block.tx_list.at(0))));
    CHECK(found.minor_block == block);
    const std::string pending(1, '\0');
    CHECK(ask(bench, all_of(branch_0, pending, 10)).tx_list.empty());
    run(bench.ledger->create_shards(one)); // the master comes back: what is there is not made or reported again
    CHECK(bench.around->reports.empty());
    CHECK(*bench.ledger->tip_of(branch_0) == block.header);
    mined(bench, branch_0);
    CHECK(bench.ledger->tip_of(branch_0)->height == 2);

    bench.ledger.reset();
    bench.options.config.root.genesis.timestamp = 5;
    CHECK_THROWS_WITH_AS(bench.open(open_store(place)), doctest::Contains("the store is of root genesis"),
                         ConfigFailure);
    bench.open(open_store(place, true)); // emptied
    CHECK(bench.ledger->shards().empty());
  }
  std::filesystem::remove_all(place);
}

TEST_CASE("store: in memory and on disk alike, batches are whole and scans are in the order of bytes") {
  const std::string place = scratch("store");
  {
    std::vector<std::unique_ptr<Store>> stores;
    stores.push_back(make_memory_store());
    stores.push_back(open_store(place));
    for (const auto& store : stores) {
      StoreBatch batch;
      for (const char* key : {"b2", "a1", "b1", "b\xff", "c"}) batch.put(key, std::string("=") + key);
      batch.erase("c");
      store->write(batch);
      CHECK(store->get("b1") == "=b1");
      CHECK_FALSE(store->has("c"));
      std::string seen;
      store->scan("b", "b", [&](std::string_view key, std::string_view) {
        seen += std::string(key) + ";";
        return key != "b2";
      });
      CHECK(seen == "b1;b2;");
      seen.clear();
      store->scan("b", "b2", [&](std::string_view key, std::string_view) {
        seen += std::string(key) + ";";
        return true;
      });
      CHECK(seen == "b2;b\xff;");
    }
    CHECK_THROWS_AS((void)open_store(place), StoreFailure); // somebody else has it
  }
  std::filesystem::remove_all(place);
}

TEST_CASE("store: memory has a limit, by name") {
  const auto store = make_memory_store(100);
  StoreBatch small, large;
  small.put("a", std::string(50, 'x'));
  large.put("b", std::string(60, 'x'));
  store->write(small);
  CHECK_THROWS_WITH_AS(store->write(large), doctest::Contains("store_bytes_max is 100"), StoreFailure);
  CHECK(store->has("a"));
  CHECK_FALSE(store->has("b"));
}

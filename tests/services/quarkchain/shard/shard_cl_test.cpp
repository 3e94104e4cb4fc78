// One shard by itself: what it takes for true, which block is its tip, what it keeps. Blocks are made by the shard's
// own rules, then bent; what another implementation would have made is in golden_steps_test.cpp.
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/shard/database_check.hpp"
#include "services/quarkchain/shard/shard_keys.hpp"
#include "services/quarkchain/shard/shard_reads.hpp"
#include "services/quarkchain/shard/shard_work.hpp"
#include "services/quarkchain/shard/state_dump.hpp"
#include "tests/services/quarkchain/shard/shard_chain.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;

namespace {

/// Which rule it breaks; refuses to be valid.
Rule rule_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const ConsensusRefusal& refusal) {
    return refusal.rule;
  }
  FAIL("was taken");
  return Rule::seal;
}

MinorBlock& finished(MinorBlock& block) {
  block.header.hash_meta = hash_of(block.meta);
  return block;
}

const std::uint64_t qkc = token_id("QKC").value();

} // namespace

// --- scenario 1: the order of the checks

TEST_CASE("quarkchain scenario 1: of any two checks that a block fails, the earlier one is named") {
  ShardChain chain;
  struct Break {
    Rule rule;
    std::function<void(MinorBlock&)> bend;
  };
  // In the order of the network. None of them hides another: each changes members of its own.
  const std::vector<Break> breaks = {
      {Rule::version, [](MinorBlock& block) { block.header.version = 1; }},
      {Rule::height_follows, [](MinorBlock& block) { block.header.height = 5; }},
      {Rule::branch, [](MinorBlock& block) { block.header.branch.value = ShardChain::other; }},
      {Rule::time_not_ahead, [&](MinorBlock& block) { block.header.create_time = chain.now + 16; }},
      {Rule::extra_data_size, [](MinorBlock& block) { block.header.extra_data = Bytes2(std::string(1025, 'x')); }},
      {Rule::tracking_data_size, [](MinorBlock& block) { block.tracking_data = Bytes2(std::string(1025, 'x')); }},
      {Rule::gas_limit, [](MinorBlock& block) { block.header.evm_gas_limit = Uint256(12000001); }},
      {Rule::merkle_root, [](MinorBlock& block) { block.meta.hash_merkle_root.bytes[0] ^= std::byte{1}; }},
      {Rule::coinbase_in_shard, [](MinorBlock& block) { block.header.coinbase_address.full_shard_key = 0x10000; }},
      {Rule::difficulty, [](MinorBlock& block) { block.header.difficulty = BigUint(9999); }},
      {Rule::root_held, [](MinorBlock& block) { block.header.hash_prev_root_block.bytes[0] ^= std::byte{1}; }},
  };
  const MinorBlock good = chain.block();
  const auto before = contents(chain.store());

  for (std::size_t first = 0; first < breaks.size(); ++first)
    for (std::size_t second = first + 1; second < breaks.size(); ++second) {
      CAPTURE(first);
      CAPTURE(second);
      MinorBlock block = good;
      breaks[second].bend(block);
      CHECK(rule_of([&] { chain.add(finished(block)); }) == breaks[second].rule);
      breaks[first].bend(block);
      CHECK(rule_of([&] { chain.add(finished(block)); }) == breaks[first].rule);
    }
  CHECK(contents(chain.store()) == before);
  CHECK(chain.add(good).tip_moved);
}

// --- scenario 2: times

TEST_CASE(
    "quarkchain scenario 2: a block may be 15 seconds ahead of the clock and no more, and never as old as its parent") {
  ShardChain chain;
  const MinorBlock block = chain.block();
  MinorBlock same_time = chain.block();
  same_time.header.create_time = chain.tip().create_time;

  chain.now = block.header.create_time - 16;
  CHECK(rule_of([&] { chain.add(block); }) == Rule::time_not_ahead);
  CHECK(rule_of([&] { chain.add(same_time); }) == Rule::time_after_parent);
  chain.now = block.header.create_time - 15;
  CHECK(chain.add(block).tip_moved);
}

// --- scenarios 3 to 5: which block is the tip

TEST_CASE(
    "quarkchain scenario 3: of two blocks of a height the first stays, unless the second knows more of the root "
    "chain") {
  ShardChain chain;
  const RootBlock root = chain.root_on(chain.genesis_root());
  const MinorBlockHeader genesis = chain.tip();
  const MinorBlock first = chain.block_on(genesis, chain.genesis_root(), 10, 1);
  const MinorBlock equal = chain.block_on(genesis, chain.genesis_root(), 10, 2);
  chain.add(first);
  chain.add(root);
  const MinorBlock knows_more = chain.block_on(genesis, root, 10, 3);

  CHECK(!chain.add(equal).tip_moved);
  CHECK(chain.tip_hash() == hash_of(first.header));
  CHECK(chain.add(knows_more).tip_moved);
  CHECK(chain.tip_hash() == hash_of(knows_more.header));
}

TEST_CASE(
    "quarkchain scenario 4: a heavier root block that confirms a lower branch puts the tip on what it confirms, no "
    "further") {
  ShardChain chain;
  const RootBlock light = chain.root_on(chain.genesis_root(), {chain.tip()});
  const MinorBlockHeader genesis = chain.tip();
  chain.add(light);
  for (int i = 0; i < 4; ++i) chain.add(chain.block());
  const MinorBlock low = chain.block_on(genesis, chain.genesis_root(), 10, 2);
  chain.add(low);
  const MinorBlock child = chain.block_on(low.header, chain.genesis_root(), 10, 2);
  chain.add(child);
  CHECK(chain.tip().height == 4);

  const RootBlock heavy = chain.root_on(chain.genesis_root(), {genesis, low.header}, 5000);
  const AddedRoot added = chain.add(heavy);

  CHECK(added.switched);
  CHECK(added.tip_moved);
  CHECK(chain.tip_hash() == hash_of(low.header)); // and not its child, which is known
  CHECK(!chain.cl().database().minor_at(2));
  const MinorBlock next = chain.block_on(low.header, heavy, 20, 2);
  CHECK(chain.add(next).tip_moved);
}

TEST_CASE("quarkchain scenario 5: the root tip moves to a heavier block only, not to an equal one") {
  ShardChain chain;
  const RootBlock a = chain.root_on(chain.genesis_root(), {}, 1001);
  const RootBlock b = chain.root_on(chain.genesis_root(), {chain.tip()}, 1001);
  const RootBlock c = chain.root_on(chain.genesis_root(), {}, 1002);

  CHECK(chain.add(a).switched);
  CHECK(!chain.add(b).switched);
  CHECK(chain.cl().tips().root->hash == hash_of(a.header));
  CHECK(chain.add(c).switched);
}

// --- scenario 6: restart

TEST_CASE(
    "quarkchain scenario 6: after a restart it stands where the root chain confirms it, and unconfirmed blocks are "
    "left "
    "alone") {
  ShardChain chain;
  chain.add(chain.block());
  const RootBlock first = chain.root_on(chain.genesis_root(), {chain.cl().unconfirmed_headers()});
  chain.add(first);
  chain.add(chain.block());
  const MinorBlockHeader second_header = chain.tip();
  const RootBlock second = chain.root_on(first, {second_header});
  chain.add(second);
  const MinorBlock dropped = chain.block();
  chain.add(dropped);

  chain.restart(second);
  CHECK(chain.tip() == second_header);
  CHECK(chain.cl().tips().confirmed->hash == chain.tip_hash());
  CHECK(!chain.cl().database().minor_at(3));
  chain.restart(first);
  CHECK(chain.tip().height == 1);
  // It was held all the time; coming again, it is run again and counts.
  chain.add(second);
  CHECK(chain.tip() == second_header);
  CHECK(chain.add(dropped).known);
  CHECK(chain.add(dropped, true).tip_moved);
}

TEST_CASE(
    "quarkchain scenario 6: a root tip that follows one that is held is added at the start, any other is refused by "
    "name") {
  ShardChain chain;
  const RootBlock next = chain.root_on(chain.genesis_root(), {chain.tip()});
  const RootBlock far = chain.root_on(chain.root_on(next));

  chain.restart(next);
  CHECK(chain.cl().tips().root->hash == hash_of(next.header));
  CHECK(rule_of([&] { chain.restart(far); }) == Rule::start_root_held);
}

TEST_CASE("shard: the database of other rules or another shard is refused, with what differs") {
  const auto store = make_memory_store();
  ShardChain first({}, store.get());
  Settings other_rules;
  other_rules.gas_limit = 6000000;
  Settings other_genesis;
  other_genesis.alloc = "\"" + Signer(2).address.hex() + "00000000\": {\"QKC\": 5}";

  CHECK_THROWS_WITH_AS(ShardChain(other_genesis, store.get(), false), doctest::Contains("genesis: expected"),
                       AnotherDatabase);
  CHECK_THROWS_AS(ShardChain(other_rules, store.get(), false), AnotherDatabase);
  // A network with the same shards on another root chain.
  Settings other_root;
  other_root.network = R"("ROOT": {"CONSENSUS_TYPE": "POW_SIMULATE", "CONSENSUS_CONFIG": {"TARGET_BLOCK_TIME": 10},
                           "GENESIS": {"TIMESTAMP": 1556640000}, "POSW_CONFIG": {}})";
  CHECK_THROWS_WITH_AS(ShardChain(other_root, store.get(), false), doctest::Contains("root_genesis: expected"),
                       AnotherDatabase);
  CHECK_NOTHROW(ShardChain({}, store.get(), false));

  // One that was made before that was kept is taken as it is.
  StoreBatch before;
  before.erase("meta_root_genesis");
  store->write(before);
  CHECK_NOTHROW(ShardChain({}, store.get(), false));
}

// --- scenario 7: a late genesis

TEST_CASE(
    "quarkchain scenario 7: where the root chain forks below a late genesis, the tip goes to the other one, and back") {
  Settings settings;
  settings.root_height_of_own = 2;
  ShardChain chain(settings, nullptr, false);
  const RootBlock below = chain.root_on(chain.genesis_root());
  const RootBlock first = chain.root_on(below);
  CHECK_THROWS_AS(chain.cl().genesis_from(below), ConsensusRefusal);
  const MinorBlock genesis = chain.cl().genesis_from(first);
  CHECK(chain.tip() == genesis.header);
  CHECK(genesis.meta.xshard_tx_cursor_info == XshardTxCursorInfo{2, 0, 0});
  const MinorBlock block = chain.block();
  chain.add(block);

  // The root chain leaves first for another block of its height: only the genesis of the shard is another one.
  RootBlock second = chain.root_on(below, {}, 1200);
  const MinorBlock other_genesis = chain.cl().genesis_from(second);
  CHECK(hash_of(other_genesis.header) != hash_of(genesis.header));
  CHECK(other_genesis.meta.hash_evm_state_root == genesis.meta.hash_evm_state_root);
  CHECK(chain.tip() == block.header); // made, and not yet where the root chain goes
  const RootBlock on_second = chain.root_on(second, {other_genesis.header}, 1000);
  CHECK(chain.add(on_second).tip_moved);
  CHECK(chain.tip() == other_genesis.header);
  CHECK(chain.cl().database().minor_at(0) == hash_of(other_genesis.header));
  CHECK(!chain.cl().database().minor_at(1));
  chain.add(chain.block());
  CHECK(chain.tip().height == 1);

  // And back, heavier: the block of the first branch has been held all the time.
  const RootBlock on_first = chain.root_on(first, {genesis.header, block.header}, 5000);
  CHECK(chain.add(on_first).tip_moved);
  CHECK(chain.tip() == block.header);
  CHECK(chain.cl().database().minor_at(0) == hash_of(genesis.header));
  chain.restart(on_second);
  CHECK(chain.tip() == other_genesis.header);
}

// --- scenario 8: lists

TEST_CASE(
    "quarkchain scenario 8: a root block waits for the list of each neighbour's block, and goes through once it is "
    "there") {
  ShardChain chain;
  const RootBlock first = chain.root_on(chain.genesis_root(), {chain.tip()});
  chain.add(first);
  const MinorBlockHeader theirs = header_of_other(first, 1);
  const RootBlock second = chain.root_on(first, {theirs});
  const auto before = contents(chain.store());

  CHECK(rule_of([&] { chain.add(second); }) == Rule::list_missing);
  CHECK(contents(chain.store()) == before);
  CHECK(chain.cl().tips().root->hash == hash_of(first.header));
  chain.cl().add_deposits(hash_of(theirs), {});
  CHECK(chain.add(second).switched);
}

TEST_CASE("shard: the same list again is success, another one from the same block is refused") {
  ShardChain chain;
  CrossShardTransactionList list;
  list.tx_list.push_back(deposit_to(Signer(5).address, 7));
  const Hash256 source = hash_of(header_of_other(chain.genesis_root(), 1));

  chain.cl().add_deposits(source, list);
  const auto before = contents(chain.store());
  chain.cl().add_deposits(source, list);
  CHECK(rule_of([&] { chain.cl().add_deposits(source, {}); }) == Rule::another_list);
  CHECK(contents(chain.store()) == before);
}

TEST_CASE("shard: minor headers of ours in a root block must be linked, one by one") {
  ShardChain chain;
  const MinorBlockHeader genesis = chain.tip();
  chain.add(chain.block());
  const MinorBlockHeader one = chain.tip();
  chain.add(chain.block());
  const MinorBlockHeader two = chain.tip();

  CHECK(rule_of([&] { chain.add(chain.root_on(chain.genesis_root(), {genesis, two})); }) == Rule::minors_linked);
  CHECK(rule_of([&] { chain.add(chain.root_on(chain.genesis_root(), {one})); }) == Rule::minors_linked);
  CHECK(chain.add(chain.root_on(chain.genesis_root(), {genesis, one, two})).switched);
}

// --- scenarios 9 and 10: deposits

TEST_CASE(
    "quarkchain scenario 9: deposits stop after the one that uses up their gas, and go on there in the next block") {
  Settings settings;
  settings.gas_limit = 60000;
  ShardChain chain(settings);
  const RootBlock first = chain.root_on(chain.genesis_root(), {chain.tip()});
  chain.add(first);
  const MinorBlockHeader theirs = header_of_other(first, 1);
  CrossShardTransactionList list;
  const Recipient lucky = Signer(5).address;
  for (int i = 0; i < 400; ++i) list.tx_list.push_back(deposit_to(lucky, 10, 1, static_cast<std::uint8_t>(i % 250)));
  chain.cl().add_deposits(hash_of(theirs), list);
  chain.add(chain.root_on(first, {theirs}));

  // 30000 of gas for deposits: four of 9000 are the first that use it up. The coinbases of root blocks are free.
  const MinorBlock one = chain.block();
  CHECK(one.meta.evm_cross_shard_receive_gas_used == Uint256(36000));
  CHECK(one.meta.xshard_tx_cursor_info == XshardTxCursorInfo{2, 1, 3});
  CHECK(chain.add(one).taken.size() == 3 + 4);
  CHECK(chain.balance(lucky) == BigUint(40));
  const MinorBlock two = chain.block();
  CHECK(chain.add(two).taken.size() == 4);
  CHECK(two.meta.xshard_tx_cursor_info == XshardTxCursorInfo{2, 1, 7});
  for (int i = 0; i < 98; ++i) chain.add(chain.block());
  CHECK(chain.balance(lucky) == BigUint(4000));
  CHECK(chain.tip().height == 100);
  CHECK(chain.add(chain.block()).taken.empty());
}

TEST_CASE(
    "quarkchain scenario 10: the coinbase of a root block is credited once, and listed for its account but not in the "
    "list of all") {
  ShardChain chain;
  const RootBlock root = chain.root_on(chain.genesis_root(), {chain.tip()}, 1000, 777);
  chain.add(root);
  chain.add(chain.block());
  chain.add(chain.block());

  CHECK(chain.balance(Signer(9).address) == BigUint(777));
  std::size_t of_account = 0, of_all = 0;
  const auto count = [](std::size_t& into) {
    return [&into](std::string_view, std::string_view) { return ++into != 0; };
  };
  chain.store().scan(shard_keys::of_address(Signer(9).address), "", count(of_account));
  chain.store().scan(shard_keys::of_all(), "", count(of_all));
  CHECK(of_account == 1);
  CHECK(of_all == 0);
}

// --- scenario 11: what a refused block leaves behind

TEST_CASE(
    "quarkchain scenario 11: a block whose results are not those of its header is refused by name, and leaves nothing "
    "behind") {
  ShardChain chain;
  chain.cl().add_transaction(chain.transfer(Signer(1), 0, Signer(2).address, 5));
  const MinorBlock good = chain.block();
  REQUIRE(good.tx_list.size() == 1);
  const auto before = contents(chain.store());
  const auto bent = [&](const std::function<void(MinorBlock&)>& bend) {
    MinorBlock block = good;
    bend(block);
    return rule_of([&] { chain.add(finished(block)); });
  };

  CHECK(bent([](MinorBlock& block) { block.meta.hash_evm_state_root.bytes[31] ^= std::byte{1}; }) == Rule::state_root);
  CHECK(bent([](MinorBlock& block) { block.meta.hash_evm_receipt_root.bytes[0] ^= std::byte{1}; }) ==
        Rule::receipt_root);
  CHECK(bent([](MinorBlock& block) { block.meta.evm_gas_used = Uint256(21001); }) == Rule::gas_used);
  CHECK(bent([](MinorBlock& block) { block.meta.evm_cross_shard_receive_gas_used = Uint256(1); }) ==
        Rule::xshard_gas_used);
  CHECK(bent([](MinorBlock& block) { ++block.meta.xshard_tx_cursor_info.xshard_deposit_index; }) == Rule::cursor);
  CHECK(bent([](MinorBlock& block) { block.header.coinbase_amount_map.balance_map.add(qkc, 1); }) ==
        Rule::coinbase_amount);
  CHECK(bent([](MinorBlock& block) { block.header.bloom.writable()[7] = std::byte{1}; }) == Rule::bloom);
  MinorBlock twice = good;
  twice.tx_list.push_back(twice.tx_list.front());
  twice.meta.hash_merkle_root = merkle_root(twice.tx_list);
  CHECK_THROWS_WITH_AS(chain.add(finished(twice)), doctest::Contains("'nonce' actual:0 target:1"), TransactionRefused);
  CHECK(contents(chain.store()) == before);
  CHECK(chain.add(good).tip_moved);
}

// --- transactions and the queue

TEST_CASE("shard: transactions of blocks that leave wait again, and those of the new branch do not") {
  ShardChain chain;
  const Signer rich(1);
  const MinorBlockHeader genesis = chain.tip();
  chain.cl().add_transaction(chain.transfer(rich, 0, Signer(2).address, 5));
  chain.cl().add_transaction(chain.transfer(rich, 1, Signer(2).address, 6));
  chain.add(chain.block());
  CHECK(chain.cl().queue().size() == 0);
  CHECK(chain.balance(Signer(2).address) == BigUint(11));

  const MinorBlock fork = chain.block_on(genesis, chain.genesis_root(), 11, 3);
  chain.add(fork);
  chain.add(chain.block_on(fork.header, chain.genesis_root(), 10, 3));

  CHECK(chain.tip().height == 2);
  CHECK(chain.cl().queue().size() == 2);
  CHECK(chain.balance(Signer(2).address).is_zero());
  chain.add(chain.block());
  CHECK(chain.balance(Signer(2).address) == BigUint(11));
}

TEST_CASE("shard: a block takes the best paid whose turn it is, and leaves what does not fit or cannot run") {
  ShardChain chain;
  const Signer rich(1);
  const auto pay = [&](std::uint64_t nonce, std::uint64_t price, std::uint64_t value = 1) {
    chain.cl().add_transaction(chain.transfer(rich, nonce, Signer(2).address, value, 0, 21000, price));
  };
  pay(0, 5);
  pay(1, 50); // dearer, but its turn comes second
  pay(3, 90); // a gap before it

  const MinorBlock block = chain.block();

  REQUIRE(block.tx_list.size() == 2);
  CHECK(EvmTransaction::from(block.tx_list[0]).nonce == BigUint(0));
  CHECK(EvmTransaction::from(block.tx_list[1]).nonce == BigUint(1));
  chain.add(block);
  CHECK(chain.cl().queue().size() == 1);
  // What a miner is paid: the reward and its part of each fee, rounded on its own.
  CHECK(block.header.coinbase_amount_map.balance_map.of(qkc) == BigUint(50 + 52500 + 525000));
}

TEST_CASE("queue: a full queue drops its cheapest, and a cheaper newcomer is not taken") {
  ShardChain chain;
  PricedQueue queue(2);
  const auto make = [&](std::uint64_t nonce, std::uint64_t price) {
    return SignedTransaction::of(chain.transfer(Signer(1), nonce, Signer(2).address, 1, 0, 21000, price));
  };

  CHECK(queue.add(make(0, 10)));
  CHECK(queue.add(make(1, 20)));
  CHECK(!queue.add(make(2, 9)));
  CHECK(queue.add(make(3, 10))); // as cheap as the cheapest, which goes
  CHECK(queue.size() == 2);
  CHECK(queue.all()[0]->tx.nonce == BigUint(1));
  CHECK(queue.all()[1]->tx.nonce == BigUint(3));
  queue.remove_used(Signer(1).address, BigUint(1));
  CHECK(queue.size() == 1);
}

TEST_CASE("shard: value that crosses leaves here, and the list for the neighbour says what arrives there") {
  ShardChain chain;
  chain.add(chain.root_on(chain.genesis_root(), {chain.tip()}));
  chain.cl().add_transaction(chain.transfer(Signer(1), 0, Signer(2).address, 1000, 0x10000, 40000, 3));
  const MinorBlock block = chain.block();
  const AddedBlock added = chain.add(block);
  const auto lists = chain.cl().outgoing(block.header, added.sent);

  REQUIRE(lists.size() == 1);
  CHECK(lists[0].branch == ShardChain::other);
  REQUIRE(lists[0].list.tx_list.size() == 1);
  const CrossShardTransactionDeposit& deposit = lists[0].list.tx_list[0];
  CHECK(deposit.value == Uint256(1000));
  CHECK(deposit.gas_remained == Uint256(40000 - 30000));
  CHECK(deposit.gas_price == Uint256(3));
  // All of the gas is paid for here; 9000 and the rest of it are the other side's.
  CHECK(block.meta.evm_gas_used == Uint256(21000));
  CHECK(chain.balance(Signer(1).address) == BigUint(1000000000000000000u - 1000 - 3 * 40000));
  CHECK(block.header.coinbase_amount_map.balance_map.of(qkc) == BigUint(50 + 3 * 21000 / 2));
}

// --- what this executor does not run

TEST_CASE(
    "shard: a block that needs contracts is not called invalid; the shard stops behind it and goes on answering") {
  Settings settings;
  settings.alloc = "\"" + Signer(1).address.hex() + "00000000\": {\"QKC\": 1000000000}, \"" + Signer(4).address.hex() +
                   "00000000\": {\"balances\": {\"QKC\": 1}, \"code\": \"0x6001\"}";
  ShardChain chain(settings);
  const TypedTransaction calls = chain.transfer(Signer(1), 0, Signer(4).address, 5);
  CHECK_THROWS_AS(chain.cl().add_transaction(calls), CapabilityMissing);
  MinorBlock block = chain.block();
  block.tx_list.push_back(calls);
  block.meta.hash_merkle_root = merkle_root(block.tx_list);
  finished(block);
  const auto before = contents(chain.store());

  CHECK_THROWS_WITH_AS(chain.add(block), doctest::Contains("needs contracts"), CapabilityMissing);

  CHECK(contents(chain.store()) == before);
  CHECK(chain.cl().stopped().starts_with("block " + hash_of(block.header).hex() + " at height 1: "));
  CHECK(chain.balance(Signer(4).address) == BigUint(1));
  CHECK(chain.cl().unconfirmed_headers().size() == 1);
}

// --- scenario 14: staked work

TEST_CASE(
    "quarkchain scenario 14: with stakes for one of three blocks, a miner's second one needs the whole difficulty") {
  Settings settings;
  settings.chain =
      "\"CONSENSUS_TYPE\": \"POW_DOUBLESHA256\", \"DIFFICULTY_ADJUSTMENT_CUTOFF_TIME\": 1000000, "
      "\"GENESIS\": {\"DIFFICULTY\": 64, \"ALLOC\": {\"" +
      Signer(1).address.hex() +
      "00000000\": {\"QKC\": 1000}}}, \"POSW_CONFIG\": {\"ENABLED\": true, \"DIFF_DIVIDER\": 64, "
      "\"WINDOW_SIZE\": 3, \"TOTAL_STAKE_PER_BLOCK\": 1000}";
  settings.chains = 1;
  ShardChain chain(settings);

  const MinorBlock first = chain.block(10, 1);
  const auto with_stakes = chain.cl().rules().posw_of(first.header);
  const auto without = chain.cl().rules().posw_of(chain.block(10, 2).header);
  REQUIRE(with_stakes);
  REQUIRE(without);
  CHECK(with_stakes->difficulty == BigUint(1));
  CHECK(without->difficulty == BigUint(64));
  // Nearly every nonce meets a difficulty of 1, and of 64 those are few.
  chain.add(first);
  MinorBlock second = chain.block(10, 1);
  CHECK(chain.cl().rules().posw_of(second.header)->difficulty == second.header.difficulty);
  CHECK(chain.cl().rules().posw_of(second.header)->mined == 2);
  int refused = 0;
  for (second.header.nonce = 0;; ++second.header.nonce) {
    try {
      chain.add(second);
      break;
    } catch (const ConsensusRefusal& refusal) {
      REQUIRE(refusal.rule == Rule::seal);
      ++refused;
    }
  }
  CHECK(refused > 0);
}

TEST_CASE("shard: whoever is in the window cannot spend its stake: the transfer fails and its gas is gone") {
  Settings settings;
  settings.chains = 1;
  settings.chain =
      "\"POSW_CONFIG\": {\"ENABLED\": true, \"WINDOW_SIZE\": 3, \"TOTAL_STAKE_PER_BLOCK\": 999999999999000000}";
  ShardChain chain(settings);
  chain.add(chain.block(10, 1));
  chain.cl().add_transaction(chain.transfer(Signer(1), 0, Signer(2).address, 2000000, 0, 30000, 1));
  const MinorBlock block = chain.block(10, 3);

  chain.add(block);

  CHECK(chain.balance(Signer(2).address).is_zero());
  CHECK(block.meta.evm_gas_used == Uint256(30000));
  const auto receipts = chain.cl().database().receipts(chain.tip_hash());
  REQUIRE(!receipts.empty());
  CHECK(!receipts[0].success);
}

// --- looking

TEST_CASE("state dump: accounts, receipts, deposits and the index of a block are one JSON object") {
  ShardChain chain;
  chain.cl().add_transaction(chain.transfer(Signer(1), 0, Signer(2).address, 5));
  chain.add(chain.block(10, 3));
  std::string text;

  dump_state(chain.store(), chain.tip_hash(), [&](std::string_view part) { text += part; });
  const Json dump = Json::parse(text);

  CHECK(dump.find("block")->text == chain.tip_hash().hex());
  CHECK(dump.find("accounts")->items.size() == 3);
  CHECK(dump.find("receipts")->items.size() == 2); // the transfer, and the coinbase of the root genesis
  CHECK(dump.find("deposits_taken")->items.size() == 1);
  CHECK(dump.find("canonical")->items.size() == 2);
  CHECK(dump.find("transactions")->items.size() == 2);
  bool paid = false;
  for (const Json& account : dump.find("accounts")->items)
    if (account.find("address")->text == Signer(2).address.hex())
      paid = account.find("balances")->items.at(0).items.at(1).text == "5";
  CHECK(paid);
  Hash256 unknown;
  CHECK_THROWS_AS(dump_state(chain.store(), unknown, [](std::string_view) {}), StoreFailure);
}

TEST_CASE("reads: an account's transactions come newest first, page by page, and those that wait apart") {
  ShardChain chain;
  const Recipient who = Signer(2).address;
  for (std::uint64_t nonce = 0; nonce < 5; ++nonce) {
    chain.cl().add_transaction(chain.transfer(Signer(1), nonce, who, 100 + nonce));
    chain.add(chain.block());
  }
  chain.cl().add_transaction(chain.transfer(Signer(1), 5, who, 105));
  const ShardReads reads(chain.cl());

  const auto first = reads.of_address(who, std::nullopt, "", 2);
  const auto second = reads.of_address(who, std::nullopt, first.next, 2);
  const auto third = reads.of_address(who, std::nullopt, second.next, 2);
  const auto waiting = reads.of_address(who, std::nullopt, std::string(1, '\0'), 2);

  REQUIRE(first.transactions.size() == 2);
  CHECK(first.transactions[0].value == Uint256(104));
  CHECK(first.transactions[0].block_height == 5);
  CHECK(first.transactions[1].value == Uint256(103));
  REQUIRE(second.transactions.size() == 2);
  CHECK(second.transactions[1].value == Uint256(101));
  REQUIRE(third.transactions.size() == 1);
  CHECK(third.transactions[0].value == Uint256(100));
  CHECK(third.transactions[0].success);
  REQUIRE(waiting.transactions.size() == 1);
  CHECK(waiting.transactions[0].value == Uint256(105));
  CHECK(reads.of_all("", 100).transactions.size() == 5);
  const auto receipt = reads.receipt(first.transactions[0].tx_hash);
  REQUIRE(receipt);
  CHECK(receipt->receipt.gas_used - receipt->receipt.prev_gas_used == 21000);
  CHECK(reads.gas_price(qkc) == BigUint(10));
  CHECK(reads.stats().total_tx_count == 5);
  CHECK(reads.stats().block_count60s == 5);
  CHECK(reads.stats().last_block_time == 10);
}

// --- scenario 13: work for miners elsewhere

TEST_CASE(
    "quarkchain scenario 13: the same work is offered for 10 seconds while the tip stays, and a bad seal does not use "
    "it "
    "up") {
  Settings settings;
  settings.chains = 1;
  settings.chain = "\"CONSENSUS_TYPE\": \"POW_DOUBLESHA256\", \"GENESIS\": {\"DIFFICULTY\": 64}";
  ShardChain chain(settings);
  ShardWork work(chain.cl());
  const std::uint64_t start = chain.tip().create_time + 100;
  const Address miner{Signer(3).address, 0};

  const OfferedWork offered = work.offer(start, miner);
  CHECK(work.offer(start + 10, miner).mining_hash == offered.mining_hash);
  CHECK(work.offer(start + 11, miner).mining_hash != offered.mining_hash);
  CHECK(work.offer(start, std::nullopt).mining_hash != offered.mining_hash);
  CHECK(!work.solve(Hash256(), 0, Hash256()));
  std::optional<MinorBlock> sealed;
  std::uint64_t tries = 0;
  for (; !sealed; ++tries) sealed = work.solve(offered.mining_hash, tries, Hash256());
  CHECK(tries > 1);
  CHECK(chain.add(*sealed).tip_moved);
  work.forget(offered.mining_hash);
  CHECK(!work.solve(offered.mining_hash, tries - 1, Hash256()));
  const OfferedWork next = work.offer(start + 12, miner);
  CHECK(next.height == offered.height + 1);
}

// --- scenario 20: the whole database is run again

TEST_CASE(
    "quarkchain scenario 20: fifty root blocks pass a check of the database, and one changed byte is found and named") {
  ShardChain chain;
  RootBlock root = chain.genesis_root();
  std::vector<MinorBlockHeader> confirmed{chain.tip()};
  for (std::uint64_t number = 0; number < 50; ++number) {
    chain.cl().add_transaction(chain.transfer(Signer(1), number, Signer(2).address, 1 + number));
    chain.add(chain.block());
    confirmed.push_back(chain.tip());
    root = chain.root_on(root, std::exchange(confirmed, {}), 1000, 7);
    chain.add(root);
  }
  const Hash256 damaged = *chain.cl().database().minor_at(23);
  const auto faults = [&] {
    TransfersExecutor executor(chain.config(), *chain.config().find_shard(ShardChain::own), chain.store());
    ShardCL cl(chain.config(), *chain.config().find_shard(ShardChain::own), chain.store(), executor, true);
    DatabaseCheck check(cl);
    std::map<Hash256, std::string> found;
    for (const Hash256& block : check.blocks())
      if (const auto fault = check.fault_of(block, chain.now)) found.emplace(block, *fault);
    return found;
  };

  CHECK(faults().empty());
  const std::string key = shard_keys::minor_block(damaged);
  const std::string whole = *chain.store().get(key);
  for (const std::size_t at : {std::size_t{3}, whole.size() / 2, whole.size() - 100}) { // tracking_data is in no hash
    CAPTURE(at);
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    StoreBatch batch;
    batch.put(key, changed);
    chain.store().write(batch);
    CHECK(faults().contains(damaged));
  }
  StoreBatch batch;
  batch.put(key, whole);
  chain.store().write(batch);
  CHECK(faults().empty());
}

// --- crash points

namespace {

/// What a master, a neighbour and peers tell a shard, in order: forks, lists, a root block that switches, marks.
struct Told {
  std::vector<RootBlock> roots;
  std::vector<std::function<void(ShardChain&)>> acts;
  std::vector<std::size_t> root_tips; // after each act, which root block the master has as its tip; 0 is the genesis
};

Told history(ShardChain& twin) {
  Told told;
  told.roots.push_back(twin.genesis_root());
  std::size_t root_tip = 0;
  const auto act = [&](std::function<void(ShardChain&)> does) {
    does(twin);
    told.acts.push_back(std::move(does));
    told.root_tips.push_back(root_tip);
  };
  const auto minor = [&](const MinorBlock& block) {
    act([block](ShardChain& chain) {
      const AddedBlock added = chain.add(block, true);
      chain.cl().outgoing(block.header, added.sent);
      chain.cl().commit({added.hash});
    });
  };
  const auto root = [&](const RootBlock& block, bool tip) {
    told.roots.push_back(block);
    if (tip) root_tip = told.roots.size() - 1;
    act([block](ShardChain& chain) { chain.add(block); });
  };

  const MinorBlockHeader genesis = twin.tip();
  twin.cl().add_transaction(twin.transfer(Signer(1), 0, Signer(2).address, 500));
  minor(twin.block());
  const RootBlock first = twin.root_on(twin.genesis_root(), {genesis, twin.tip()}, 1000, 31);
  root(first, true);
  const MinorBlockHeader theirs = header_of_other(first, 1);
  CrossShardTransactionList list;
  list.tx_list.push_back(deposit_to(Signer(5).address, 70));
  act([theirs, list](ShardChain& chain) { chain.cl().add_deposits(hash_of(theirs), list); });
  const RootBlock second = twin.root_on(first, {theirs});
  root(second, true);
  const MinorBlockHeader base = twin.tip();
  minor(twin.block(10, 1));
  minor(twin.block(10, 1));
  const MinorBlock fork = twin.block_on(base, second, 9, 2);
  minor(fork);
  root(twin.root_on(second, {fork.header}, 4000), true);
  minor(twin.block(10, 3));
  return told;
}

/// The marks alone may differ: a root block that confirms a block writes its mark, too.
std::map<std::string, std::string> without_marks(std::map<std::string, std::string> all) {
  std::erase_if(all, [](const auto& entry) { return entry.first.starts_with("commit_"); });
  return all;
}

} // namespace

TEST_CASE("shard: whichever write is the last before the process dies, it comes to the tip of one that never died") {
  ShardChain twin;
  const Told told = history(twin);
  const auto expected = without_marks(contents(twin.store()));

  bool died = true;
  std::size_t deaths = 0;
  for (std::size_t writes = 0; died; ++writes) {
    CAPTURE(writes);
    died = false;
    const auto disk = make_memory_store();
    std::size_t done = 0;
    {
      FailingStore failing(*disk, writes);
      try {
        ShardChain chain({}, &failing);
        for (; done < told.acts.size(); ++done) told.acts[done](chain);
      } catch (const StoreFailure&) {
        died = true;
        ++deaths;
      }
    }
    // The master has what it had before, or the root block that it was just telling.
    for (const std::size_t at : {done == 0 ? 0 : told.root_tips[done - 1], died ? told.root_tips[done] : 0}) {
      const auto copy = make_memory_store();
      StoreBatch all;
      for (const auto& [key, value] : contents(*disk)) all.put(key, value);
      copy->write(all);
      ShardChain again({}, copy.get(), false);
      if (at == 0 || contents(*copy).empty()) again.cl().genesis_from(told.roots[0]);
      else again.cl().start(told.roots[at]);
      for (const auto& act : told.acts) act(again);
      CHECK(again.tip_hash() == twin.tip_hash());
      CHECK(again.cl().tips().root->hash == twin.cl().tips().root->hash);
      CHECK(without_marks(contents(*copy)) == expected);
    }
  }
  CHECK(deaths >= 15);
}

TEST_CASE("shard: when a write fails, memory is as before, and the same thing can be told again") {
  ShardChain twin;
  const Told told = history(twin);
  for (std::size_t i = 0; i < told.acts.size(); ++i) {
    for (std::size_t more = 0; more < 3; ++more) {
      CAPTURE(i);
      CAPTURE(more);
      const auto disk = make_memory_store();
      std::size_t before = 0;
      {
        FailingStore counting(*disk);
        ShardChain chain({}, &counting);
        for (std::size_t done = 0; done < i; ++done) told.acts[done](chain);
        before = counting.writes();
      }
      const auto fresh = make_memory_store();
      FailingStore failing(*fresh, before + more);
      ShardChain chain({}, &failing);
      for (std::size_t done = 0; done < i; ++done) told.acts[done](chain);
      const Tips tips = chain.cl().tips();
      try {
        told.acts[i](chain);
      } catch (const StoreFailure&) {
        // The mark comes after the tip has moved.
        const bool only_the_mark = more == 2;
        if (!only_the_mark) CHECK(chain.cl().tips().root->hash == tips.root->hash);
      }
    }
  }
}

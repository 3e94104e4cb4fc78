// What one shard costs, without a network: its consensus layer over the executor of plain transfers, a database in
// memory, and accounts that each have something.
//
//   shard_validate  plain transfers a second, in blocks of 200 that are added one after the other; 100,000 accounts.
//                   Senders are found on all cores, as by a node that catches up
//   shard_validate_alone  the same on one thread
//   shard_validate_queued  the same when all of them have waited in the queue, as on a network that announces them
//   shard_senders   transactions a second whose sender is found, and nothing else: what bounds shard_validate
//   shard_build     blocks of 200 transfers a second that are made from the queue
//   shard_checkdb   transfers' blocks a second that are validated and run again without writing
//   shard_root      milliseconds to apply a root block with 1,000 minor headers, 8 of them ours
//   shard_memory    MiB resident with 100,000 accounts, after blocks that touched them
#include "own_options.hpp"
#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/execution/sender_threads.hpp"
#include "services/quarkchain/execution/transfers.hpp"
#include "services/quarkchain/shard/database_check.hpp"
#include "services/quarkchain/shard/shard_cl.hpp"
#include "tests/services/quarkchain/signer.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace trunkline;
using namespace trunkline::quarkchain;
using trunkline::quarkchain::test::Signer;

constexpr std::uint32_t own = 0x00001;
constexpr std::size_t accounts_count = 100'000;
constexpr std::uint8_t senders_count = 100;
constexpr std::size_t in_block = 200;
constexpr std::size_t headers_in_root = 1000;
constexpr std::uint64_t seconds_ahead = 4'000'000'000;

Recipient account(std::uint64_t number) {
  const Hash256 hash = keccak256(bytes_of(std::to_string(number)));
  return *Recipient::from_bytes(std::span<const std::byte>(hash.bytes).last(Recipient::size));
}

/// Four chains of one shard each: the first is ours. Ten of ours fit into a root block, as of each other one.
QuarkChainConfig make_config(std::size_t accounts) {
  std::string alloc;
  for (std::uint8_t i = 1; i <= senders_count; ++i)
    alloc +=
        fmt::format("{}\"{}00000000\": {{\"QKC\": 1000000000000000000}}", i == 1 ? "" : ", ", Signer(i).address.hex());
  for (std::size_t i = 0; i < accounts; ++i)
    alloc += fmt::format(", \"{}00000000\": {{\"QKC\": 1000}}", account(i).hex());
  std::string chains;
  for (int chain = 0; chain < 4; ++chain)
    chains += fmt::format(
        "{}{{\"CHAIN_ID\": {}, \"SHARD_SIZE\": 1, \"CONSENSUS_TYPE\": \"POW_SIMULATE\", \"CONSENSUS_CONFIG\": "
        "{{\"TARGET_BLOCK_TIME\": 1}}, \"POSW_CONFIG\": {{}}, \"GENESIS\": {{\"ALLOC\": {{{}}}}}}}",
        chain == 0 ? "" : ", ", chain, chain == 0 ? alloc : std::string());
  return QuarkChainConfig::from_json(Json::parse(fmt::format(
      "{{\"CHAIN_SIZE\": 4, \"NETWORK_ID\": 255, \"MIN_TX_POOL_GAS_PRICE\": 0, \"MIN_MINING_GAS_PRICE\": 0, \"ROOT\": "
      "{{\"CONSENSUS_TYPE\": \"POW_SIMULATE\", \"CONSENSUS_CONFIG\": {{\"TARGET_BLOCK_TIME\": 60}}, \"GENESIS\": {{}}, "
      "\"POSW_CONFIG\": {{}}}}, \"CHAINS\": [{}]}}",
      chains)));
}

class Shard {
 public:
  explicit Shard(std::size_t accounts, std::unique_ptr<Store> on = make_memory_store(std::size_t{4} << 30))
      : config(make_config(accounts)), store(std::move(on)), executor(config, *config.find_shard(own), *store),
        cl(config, *config.find_shard(own), *store, executor, false), root(genesis_root_block(config.root.genesis)) {
    cl.genesis_from(root);
  }

  /// Signed before the clock runs: whoever sends pays for that.
  std::vector<TypedTransaction> transfers(std::size_t count) {
    std::vector<TypedTransaction> all;
    for (std::size_t i = 0; i < count; ++i, ++sent_) {
      const auto sender = static_cast<std::uint8_t>(1 + sent_ % senders_count);
      EvmTransaction tx;
      tx.nonce = BigUint(sent_ / senders_count);
      tx.gasprice = BigUint(10);
      tx.startgas = BigUint(21000);
      tx.to = account(sent_ * 7919 % accounts_count);
      tx.value = BigUint(1);
      tx.network_id = BigUint(255);
      tx.gas_token_id = tx.transfer_token_id = token_id("QKC").value();
      all.push_back(Signer(sender).sign(tx).typed());
    }
    return all;
  }
  void wait_in_queue(const std::vector<TypedTransaction>& all) {
    for (const TypedTransaction& transaction : all) cl.add_transaction(transaction);
  }
  MinorBlock build() { return cl.build(cl.tips().minor->header.create_time + 5, Address{Signer(200).address, 0}); }
  void add(const MinorBlock& block) {
    AddOptions options;
    options.now = seconds_ahead;
    cl.add_minor(block, options);
  }
  MinorBlock next_block() {
    wait_in_queue(transfers(in_block));
    MinorBlock block = build();
    if (block.tx_list.size() != in_block)
      throw std::runtime_error(fmt::format("a block has {} transfers, expected {}", block.tx_list.size(), in_block));
    return block;
  }

  QuarkChainConfig config;
  std::unique_ptr<Store> store;
  TransfersExecutor executor;
  ShardCL cl;
  RootBlock root;

 private:
  std::uint64_t sent_ = 0;
};

/// Enough blocks of another shard of the same genesis, which has looked at their signatures already; ours has not.
bench::Result validate(const bench::OwnOptions& options, bool queued, bool alone) {
  Shard maker(accounts_count), shard(accounts_count);
  const std::size_t blocks_count = options.count != 0 ? options.count : queued ? 30 : 40;
  std::vector<std::shared_ptr<const MinorBlock>> blocks;
  for (std::size_t i = 0; i < blocks_count; ++i) {
    blocks.push_back(std::make_shared<const MinorBlock>(maker.next_block()));
    maker.add(*blocks.back());
    if (queued) shard.wait_in_queue(blocks.back()->tx_list);
  }
  if (!alone) shard.cl.find_senders_on(SenderThreads::of_this_machine());
  const double began = bench::now_seconds();
  for (std::size_t i = 0; i < blocks_count; ++i) {
    if (!queued && i + 1 < blocks_count) shard.cl.expect(blocks[i + 1]);
    shard.add(*blocks[i]);
  }
  return {static_cast<double>(blocks_count * in_block) / (bench::now_seconds() - began), "transfers/s"};
}

bench::Result senders(const bench::OwnOptions& options) {
  Shard shard(1000);
  const std::vector<TypedTransaction> all = shard.transfers(options.count != 0 ? options.count : 4000);
  const double began = bench::now_seconds();
  for (const TypedTransaction& typed : all)
    if (SignedTransaction::of(typed)->sender.is_zero()) throw std::runtime_error("nobody has signed it");
  return {static_cast<double>(all.size()) / (bench::now_seconds() - began), "transactions/s"};
}

bench::Result build(const bench::OwnOptions& options) {
  Shard shard(accounts_count);
  shard.wait_in_queue(shard.transfers(in_block));
  const double began = bench::now_seconds();
  std::uint64_t done = 0;
  do {
    if (shard.build().tx_list.size() != in_block) throw std::runtime_error("a block is not full");
    ++done;
  } while (options.count != 0 ? done < options.count : bench::now_seconds() < began + options.seconds);
  return {static_cast<double>(done) / (bench::now_seconds() - began), "blocks/s"};
}

bench::Result checkdb(const bench::OwnOptions& options) {
  Shard shard(accounts_count);
  const std::size_t blocks_count = options.count != 0 ? options.count : 40;
  for (std::size_t i = 0; i < blocks_count; ++i) shard.add(shard.next_block());
  // Another process would look at it: signatures are not known there.
  TransfersExecutor executor(shard.config, *shard.config.find_shard(own), *shard.store);
  ShardCL cl(shard.config, *shard.config.find_shard(own), *shard.store, executor, false);
  cl.find_senders_on(SenderThreads::of_this_machine());
  DatabaseCheck check(cl);
  const double began = bench::now_seconds();
  std::size_t done = 0;
  const std::vector<Hash256> blocks = check.blocks();
  for (const Hash256& block : blocks) {
    if (++done < blocks.size()) check.expect(blocks[done]);
    if (const auto fault = check.fault_of(block, seconds_ahead)) throw std::runtime_error(*fault);
  }
  return {static_cast<double>(done) / (bench::now_seconds() - began), "blocks/s"};
}

/// Lists of the others first, which come before root blocks.
bench::Result root(const bench::OwnOptions&) {
  Shard shard(1000);
  RootBlock block;
  block.header.height = 1;
  block.header.hash_prev_block = hash_of(shard.root.header);
  block.header.difficulty = BigUint(1000);
  block.header.total_difficulty = shard.root.header.total_difficulty + BigUint(1000);
  block.minor_block_header_list.push_back(shard.cl.tips().minor->header);
  for (int i = 0; i < 8; ++i) {
    const MinorBlock own_block = shard.build();
    shard.add(own_block);
    block.minor_block_header_list.push_back(own_block.header);
  }
  while (block.minor_block_header_list.size() < headers_in_root) {
    MinorBlockHeader header;
    header.branch.value = 0x10001 + static_cast<std::uint32_t>(block.minor_block_header_list.size() % 3 << 16);
    header.height = block.minor_block_header_list.size();
    header.hash_prev_root_block = hash_of(shard.root.header);
    block.minor_block_header_list.push_back(header);
  }
  block.header.hash_merkle_root = merkle_root(block.minor_block_header_list);
  const double began = bench::now_seconds();
  if (!shard.cl.add_root(block).switched) throw std::runtime_error("the root block was not taken for the tip");
  return {(bench::now_seconds() - began) * 1000, "ms"};
}

double resident_mib() {
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  unsigned long all = 0, resident = 0;
  if (!file || std::fscanf(file, "%lu %lu", &all, &resident) != 2) throw std::runtime_error("no /proc/self/statm");
  std::fclose(file);
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

/// On disk, as a slave keeps it: what is measured is what a process holds, its configuration counted.
bench::Result memory(const bench::OwnOptions&) {
  const std::string directory = fmt::format("/tmp/trunkline-bench-shard-{}", ::getpid());
  double seen = 0;
  {
    Shard shard(accounts_count, open_store(directory, true));
    for (int i = 0; i < 20; ++i) shard.add(shard.next_block());
    seen = resident_mib();
  }
  std::filesystem::remove_all(directory);
  return {seen, "MiB"};
}

bench::Result drive(const bench::OwnOptions& options) {
  if (options.workload == "shard_validate") return validate(options, false, false);
  if (options.workload == "shard_validate_alone") return validate(options, false, true);
  if (options.workload == "shard_validate_queued") return validate(options, true, true);
  if (options.workload == "shard_senders") return senders(options);
  if (options.workload == "shard_build") return build(options);
  if (options.workload == "shard_checkdb") return checkdb(options);
  if (options.workload == "shard_root") return root(options);
  return memory(options);
}

} // namespace

int main(int argc, char** argv) {
  return bench::exit_code_of(argv[0], [&] {
    const bench::OwnOptions options = bench::parse_own(argc, argv, "quarkchain_shard",
                                                       {"shard_validate", "shard_validate_alone",
                                                        "shard_validate_queued", "shard_senders", "shard_build", "shard_checkdb", "shard_root", "shard_memory"});
    if (options.serving) {
      bench::say_listening(0); // nobody has to answer
      return;
    }
    const bench::Result result = drive(options);
    std::printf("{\"value\": %.6g, \"unit\": \"%s\"}\n", result.value, result.unit);
  });
}

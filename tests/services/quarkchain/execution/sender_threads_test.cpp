// Senders that are found on threads: the same as without, for good blocks and bad ones.
#include "services/quarkchain/execution/sender_threads.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "tests/services/quarkchain/shard/shard_chain.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;
using namespace trunkline::quarkchain::test;

namespace {

constexpr std::size_t threads_count = 3;

std::vector<TypedTransaction> transfers(ShardChain& chain, std::uint64_t from, std::uint64_t count) {
  std::vector<TypedTransaction> all;
  for (std::uint64_t nonce = from; nonce < from + count; ++nonce)
    all.push_back(chain.transfer(Signer(1), nonce, Signer(2).address, nonce + 1));
  return all;
}

/// A block of these, made by a shard of the same genesis.
std::shared_ptr<const MinorBlock> made(ShardChain& maker, const std::vector<TypedTransaction>& all) {
  for (const TypedTransaction& one : all) maker.cl().add_transaction(one);
  auto block = std::make_shared<const MinorBlock>(maker.block());
  maker.add(*block);
  return block;
}

std::string refusal_of(ShardChain& chain, const MinorBlock& block) {
  try {
    chain.add(block);
  } catch (const TransactionRefused& refusal) {
    return refusal.what();
  }
  return "nothing";
}

} // namespace

TEST_CASE("sender threads: however many look, each sender is found once and in its place") {
  ShardChain chain;
  std::vector<TypedTransaction> all = transfers(chain, 0, 50);
  all[7].tx.serialized_tx = "no transaction";
  SenderThreads threads(threads_count);
  for (int again = 0; again < 20; ++again) {
    const auto search = std::make_shared<SenderSearch>(all);
    threads.help(search);
    const std::vector<SenderSearch::Found>& found = search->finish();
    REQUIRE(found.size() == all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (i == 7) {
        CHECK(!found[i].transaction);
        CHECK(found[i].failure.starts_with("transaction: "));
      } else {
        REQUIRE(found[i].transaction);
        CHECK(found[i].transaction->sender == Signer(1).address);
        CHECK(found[i].transaction->hash == hash_of(all[i]));
      }
    }
  }
}

TEST_CASE("sender threads: a search that nobody finishes ends with its threads, and none is no search") {
  ShardChain chain;
  const auto all = std::make_shared<const std::vector<TypedTransaction>>(transfers(chain, 0, 50));
  struct Kept {
    explicit Kept(std::shared_ptr<const std::vector<TypedTransaction>> of) : all(std::move(of)), search(*all) {}
    std::shared_ptr<const std::vector<TypedTransaction>> all;
    SenderSearch search;
  };
  {
    SenderThreads threads(threads_count);
    const auto kept = std::make_shared<Kept>(all);
    threads.help(std::shared_ptr<SenderSearch>(kept, &kept->search));
  }
  CHECK(all.use_count() == 1);
  const std::vector<TypedTransaction> none;
  CHECK(SenderSearch(none).finish().empty());
}

TEST_CASE("sender threads: a shard comes to the same tip with them, whether a block was expected or not") {
  ShardChain maker, alone, helped;
  helped.cl().find_senders_on(std::make_shared<SenderThreads>(threads_count));
  std::vector<std::shared_ptr<const MinorBlock>> blocks;
  for (std::uint64_t height = 0; height < 8; ++height) blocks.push_back(made(maker, transfers(maker, height * 5, 5)));

  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (i % 2 == 0 && i + 1 < blocks.size()) helped.cl().expect(blocks[i + 1]);
    helped.add(*blocks[i]);
    alone.add(*blocks[i]);
  }

  CHECK(helped.tip_hash() == maker.tip_hash());
  CHECK(contents(helped.store()) == contents(alone.store()));
}

TEST_CASE("sender threads: a block with a bad signature is refused in the same words, also in the place of a good one") {
  ShardChain maker, alone, helped;
  helped.cl().find_senders_on(std::make_shared<SenderThreads>(threads_count));
  const auto good = made(maker, transfers(maker, 0, 5));
  MinorBlock bad = *good;
  EvmTransaction forged = EvmTransaction::from(bad.tx_list[3]);
  forged.s = BigUint();
  bad.tx_list[3] = forged.typed();
  bad.meta.hash_merkle_root = merkle_root(bad.tx_list);
  bad.header.hash_meta = hash_of(bad.meta);
  MinorBlock other = *good; // with the header of the one that is expected
  other.tx_list = transfers(maker, 0, 3);

  helped.cl().expect(std::make_shared<const MinorBlock>(bad));
  helped.cl().expect(std::make_shared<const MinorBlock>(other));

  const std::string words = refusal_of(helped, bad);
  CHECK(words == refusal_of(alone, bad));
  CHECK(words.find("(transaction 3 of the block)") != std::string::npos);
  helped.add(*good);
  CHECK(helped.tip_hash() == maker.tip_hash());
}

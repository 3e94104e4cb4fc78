// Listing the accounts of a state of which nothing can be asked but proofs of addresses: the state is a trie of ours, and
// a proof is what any execution layer shows of it.
#include "services/quarkchain/engine/account_proofs.hpp"

#include "services/quarkchain/chain/rlp.hpp"
#include "services/quarkchain/execution/state_trie.hpp"

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

using namespace trunkline;
using namespace trunkline::quarkchain;

namespace {

class State {
 public:
  State() : store_(make_memory_store()), known(make_memory_store()), nodes_(*store_), trie_(nodes_, blank_root()) {}

  void set(const Recipient& who, std::uint64_t balance, bool is_known) {
    RlpList account;
    account.add(std::uint64_t{1}).add(balance).add(text_of(blank_root().bytes)).add(text_of(keccak256(who.bytes).bytes));
    const Hash256 key = keccak256(who.bytes);
    trie_.set(text_of(key.bytes), account.encoded());
    balances[key] = balance;
    if (!is_known) return;
    StoreBatch batch;
    HashedAddresses::know(who, batch);
    known->write(batch);
  }
  Hash256 root() {
    FreshNodes fresh;
    const Hash256 root = trie_.commit(fresh);
    StoreBatch batch;
    nodes_.write(std::move(fresh), batch);
    store_->write(batch);
    return root;
  }
  /// From the root down to the leaf on the way to this address, whoever's it is, or to where there is none.
  std::vector<std::string> proof(const Hash256& root, const Recipient& who) const {
    std::string way;
    for (const std::byte byte : keccak256(who.bytes).bytes) {
      way += static_cast<char>(static_cast<unsigned char>(byte) >> 4);
      way += static_cast<char>(static_cast<unsigned char>(byte) & 15);
    }
    std::vector<std::string> shown;
    std::optional<Hash256> at = root;
    for (std::size_t done = 0; at;) {
      shown.emplace_back(nodes_.get(*at));
      std::array<RlpItem, 17> items;
      const std::size_t count = rlp_list(shown.back(), items);
      at.reset();
      if (count == items.size()) {
        at = Hash256::from_bytes(bytes_of(items[static_cast<std::size_t>(way[done++])].content));
      } else if ((items[0].content[0] & 0x20) == 0) {
        const std::size_t digits = 2 * items[0].content.size() - ((items[0].content[0] & 0x10) != 0 ? 1 : 2);
        done += digits; // whether or not they are those of the way: no test has one that leaves it there
        at = Hash256::from_bytes(bytes_of(items[1].content));
      }
    }
    return shown;
  }

 private:
  std::unique_ptr<Store> store_;

 public:
  std::unique_ptr<Store> known;
  std::map<Hash256, std::uint64_t> balances;

 private:
  TrieNodes nodes_;
  StateTrie trie_;
};

Recipient account(std::uint64_t number) {
  const Hash256 hash = keccak256(bytes_of("account " + std::to_string(number)));
  return *Recipient::from_bytes(std::span<const std::byte>(hash.bytes).last(Recipient::size));
}

/// Those behind `after`, at most `count_max`; `asked` counts the proofs.
std::map<Hash256, std::uint64_t> listed(State& state, std::optional<Hash256> after, std::size_t count_max,
                                        std::size_t& asked) {
  AccountProofs proofs;
  HashedAddresses addresses;
  std::map<Hash256, std::uint64_t> seen;
  const Hash256 root = state.root();
  const auto visit = [&](const Hash256& key, std::uint64_t, const BigUint& balance, const Hash256&) {
    if (seen.size() == count_max) return false;
    CHECK((!after || *after < key));
    after = key;
    CHECK(seen.emplace(key, balance.to_u64().value()).second);
    return true;
  };
  while (const auto way = proofs.walk(root, after, visit)) {
    const auto who = addresses.below(*state.known, *way);
    if (!who) throw std::runtime_error("nobody is known below " + std::to_string(way->size()) + " digits");
    for (std::string& node : state.proof(root, *who)) proofs.learn(std::move(node));
    ++asked;
  }
  return seen;
}

} // namespace

TEST_CASE("account proofs: accounts of which nobody has heard are all found in their order, with two proofs for each at most") {
  State state;
  for (std::uint64_t i = 0; i < 60; ++i) state.set(account(i), 1000 + i, false);

  std::size_t asked = 0;
  const std::map<Hash256, std::uint64_t> seen = listed(state, std::nullopt, 1000, asked);

  CHECK(seen == state.balances);
  CHECK(asked <= 2 * 60); // a made up address may lead to a place where nobody is
}

TEST_CASE("account proofs: a walk begins behind any key, and a page ends where it has to") {
  State state;
  for (std::uint64_t i = 0; i < 40; ++i) state.set(account(i), i + 1, i % 2 == 0);
  const auto middle = std::next(state.balances.begin(), 20);

  std::size_t asked = 0;
  const std::map<Hash256, std::uint64_t> page = listed(state, middle->first, 5, asked);
  CHECK(page == std::map<Hash256, std::uint64_t>(std::next(middle), std::next(middle, 6)));
  Hash256 between = middle->first;
  between.bytes.back() ^= std::byte{1}; // nobody's
  const std::map<Hash256, std::uint64_t> rest = listed(state, between, 1000, asked);
  CHECK(rest == std::map<Hash256, std::uint64_t>(between < middle->first ? middle : std::next(middle), state.balances.end()));
  CHECK(listed(state, state.balances.rbegin()->first, 1000, asked).empty());
}

TEST_CASE("account proofs: a large state is listed by the addresses that blocks have named") {
  State state;
  for (std::uint64_t i = 0; i < 3000; ++i) state.set(account(i), i + 1, true);

  std::size_t asked = 0;
  CHECK(listed(state, std::nullopt, 5000, asked) == state.balances);
  CHECK(asked <= 3000);
}

TEST_CASE("account proofs: an empty state has no accounts, and nothing is asked for it") {
  State state;

  std::size_t asked = 0;
  CHECK(listed(state, std::nullopt, 1000, asked).empty());
  CHECK(asked == 0);
}

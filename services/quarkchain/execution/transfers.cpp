#include "services/quarkchain/execution/transfers.hpp"

#include "services/quarkchain/chain/genesis.hpp"
#include "services/quarkchain/chain/rlp.hpp"
#include "services/quarkchain/execution/transfer_run.hpp"

#include <fmt/format.h>

#include <functional>
#include <map>
#include <queue>
#include <unordered_map>
#include <utility>

namespace trunkline::quarkchain {
namespace {

std::string code_key(const Hash256& hash) { return "state_c" + std::string(text_of(hash.bytes)); }

/// Indices of candidates whose nonce is the next of their sender, best first.
class NextOfSenders {
 public:
  NextOfSenders(std::span<const SignedTransactionPtr> candidates, TransferRun& run) : candidates_(candidates) {
    for (std::size_t i = 0; i < candidates.size(); ++i)
      waiting_[candidates[i]->sender].emplace(candidates[i]->tx.nonce, i);
    for (const auto& [sender, waiting] : waiting_) offer(sender, run.nonce(sender));
  }
  std::optional<std::size_t> take() {
    if (ready_.empty()) return std::nullopt;
    const std::size_t best = ready_.top();
    ready_.pop();
    return best;
  }
  void offer(const Recipient& sender, std::uint64_t nonce) {
    const auto [first, last] = waiting_.at(sender).equal_range(BigUint(nonce));
    for (auto at = first; at != last; ++at) ready_.push(at->second);
  }

 private:
  std::span<const SignedTransactionPtr> candidates_;
  std::unordered_map<Recipient, std::multimap<BigUint, std::size_t>> waiting_;
  std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready_;
};

} // namespace

TransfersExecutor::TransfersExecutor(const QuarkChainConfig& config, const ShardConfig& shard, const Store& store)
    : config_(config), shard_(shard), store_(store),
      capabilities_{"plain transfers of versions 0, 1 and 2, in a shard and across", false, true, true, true},
      rules_(config, shard), nodes_(store) {}

Hash256 TransfersExecutor::genesis(StoreBatch& into) {
  const Hash256 expected = genesis_state_root(shard_); // refuses what no state can hold
  World world(nodes_, blank_root());
  std::map<Recipient, StateTrie> storages;
  FreshNodes fresh;
  for (const GenesisAccount& given : shard_.genesis.alloc) {
    const Recipient& who = given.address.recipient;
    world.set_full_shard_key(given.address.full_shard_key);
    Account& account = world.changed(who);
    if (given.code) {
      account.code_hash = keccak256(bytes_of(*given.code));
      account.nonce = 1;
      into.put(code_key(account.code_hash), *given.code);
    }
    if (!given.storage.empty()) {
      StateTrie& storage = storages.try_emplace(who, nodes_, blank_root()).first->second;
      for (const auto& [key, value] : given.storage)
        storage.set(text_of(word_key(key).bytes), value.is_zero() ? std::string() : rlp_bytes(value.bytes()));
      account.storage = storage.commit(fresh);
    }
    for (const auto& [name, amount] : given.balances) world.add(who, token_id(name).value(), amount);
  }
  const Hash256 root = world.commit(fresh);
  if (root != expected)
    throw ConfigFailure(fmt::format("genesis: the state root is {}, expected {}", root.hex(), expected.hex()));
  nodes_.write(std::move(fresh), into);
  return root;
}

Execution TransfersExecutor::run(const Hash256& parent, const BlockSetting& setting, Deposits& deposits,
                                 std::span<const SignedTransactionPtr> transactions, StoreBatch& into) {
  TransferRun run(config_, rules_, setting, nodes_, take(parent));
  run.take(deposits);
  for (const SignedTransactionPtr& transaction : transactions) run.apply(*transaction);
  FreshNodes fresh;
  Execution execution = run.finish(fresh);
  nodes_.write(std::move(fresh), into, true);
  last_.emplace(execution.state_root, run.take_state());
  last_->trie.forget_lower();
  return execution;
}

StateTrie TransfersExecutor::take(const Hash256& state) {
  std::optional<LastState> last = std::exchange(last_, std::nullopt);
  if (last && last->root == state) return std::move(last->trie);
  return StateTrie(nodes_, state);
}

Execution TransfersExecutor::build(const Hash256& parent, const BlockSetting& setting, Deposits& deposits,
                                   std::span<const SignedTransactionPtr> candidates, const BigUint& gas_price_min,
                                   std::vector<SignedTransactionPtr>& taken) {
  TransferRun run(config_, rules_, setting, nodes_, StateTrie(nodes_, parent));
  run.take(deposits);
  NextOfSenders next(candidates, run);
  while (const auto best = next.take()) {
    const SignedTransactionPtr& candidate = candidates[*best];
    // Gas never comes back within a block: what does not fit now does not fit later.
    if (candidate->tx.startgas > BigUint(run.gas_left()) || candidate->tx.gasprice < gas_price_min) continue;
    if (candidate->tx.nonce != BigUint(run.nonce(candidate->sender))) continue; // another one of this nonce was better
    try {
      run.apply(*candidate);
    } catch (const TransactionRefused&) {
      continue;
    } catch (const CapabilityMissing&) {
      continue;
    }
    taken.push_back(candidate);
    next.offer(candidate->sender, run.nonce(candidate->sender));
  }
  FreshNodes fresh;
  return run.finish(fresh);
}

void TransfersExecutor::check(const Hash256& state, const BlockSetting& setting, const SignedTransaction& transaction,
                              const BigUint& gas_price_min) {
  const EvmTransaction& tx = transaction.tx;
  rules_.check_form(transaction, setting);
  World world(nodes_, state);
  const std::uint64_t nonce = world.nonce(transaction.sender);
  const bool waits = tx.nonce > BigUint(nonce) && tx.nonce <= BigUint(nonce + TransactionRules::nonces_ahead_max);
  if (!waits) rules_.check_account(transaction, setting, world, 0, setting.gas_limit);
  // Other tokens have a price in the chain's token only where a contract says so.
  const BigUint price = tx.gas_token_id == rules_.chain_token() ? tx.gasprice : BigUint();
  if (price < gas_price_min)
    throw TransactionRefused(fmt::format("{}: gas price: expected at least {}, seen {}", transaction.text(),
                                         gas_price_min.to_decimal(), price.to_decimal()));
  if (!tx.to) throw CapabilityMissing(transaction.text() + " creates a contract, which executor transfers does not");
  if (!rules_.is_across(tx) && world.has_code(*tx.to))
    throw CapabilityMissing(transaction.text() + " calls " + tx.to->hex() +
                            ", whose code executor transfers does not run");
}

/// A plain transfer gives nothing back.
std::optional<std::string> TransfersExecutor::call(const Hash256& state, const BlockSetting& setting,
                                                   const SignedTransaction& transaction) const {
  TransferRun run(config_, rules_, setting, nodes_, StateTrie(nodes_, state));
  run.apply(transaction);
  FreshNodes fresh;
  return run.finish(fresh).receipts.back().success ? std::optional(std::string()) : std::nullopt;
}

bool TransfersExecutor::holds(const Hash256& state) const { return state == blank_root() || nodes_.has(state); }

AccountState TransfersExecutor::account(const Hash256& state, const Recipient& who) const {
  return seen(World(nodes_, state).peek(who));
}

std::string TransfersExecutor::code(const Hash256& state, const Recipient& who) const {
  const Account account = World(nodes_, state).peek(who);
  return account.has_code() ? store_.get(code_key(account.code_hash)).value_or(std::string()) : std::string();
}

Uint256 TransfersExecutor::storage(const Hash256& state, const Recipient& who, const Uint256& key) const {
  const Account account = World(nodes_, state).peek(who);
  StateTrie words(nodes_, account.storage);
  const std::string* const value = words.get(text_of(keccak256(key.bytes()).bytes));
  if (!value) return {};
  std::string_view digits = *value;
  if (static_cast<unsigned char>(digits[0]) >= 0x80) digits.remove_prefix(1);
  return Uint256::from_bytes(bytes_of(digits)).value_or(Uint256());
}

void TransfersExecutor::accounts(
    const Hash256& state, const std::optional<Hash256>& after,
    const std::function<bool(const Hash256&, const Recipient&, const AccountState&)>& visit) const {
  const auto bound = after ? std::optional(std::string(text_of(after->bytes))) : std::nullopt;
  StateTrie(nodes_, state).walk(bound, [&](const std::string& key, const std::string& value) {
    const Hash256 hash = *Hash256::from_bytes(bytes_of(key));
    const auto who = nodes_.preimage(hash);
    const auto recipient = who ? Recipient::from_bytes(bytes_of(*who)) : std::nullopt;
    if (!recipient) throw MissingNode("the address behind the key " + hash.hex() + " is not known");
    return visit(hash, *recipient, seen(Account::decode(value)));
  });
}

AccountState TransfersExecutor::seen(const Account& account) const {
  AccountState state;
  state.nonce = account.nonce;
  for (const auto& [token, amount] : account.all_balances(nodes_)) state.balances.set(token, amount);
  state.code_hash = account.code_hash;
  state.has_code = account.has_code();
  state.full_shard_key = account.full_shard_key;
  return state;
}

} // namespace trunkline::quarkchain

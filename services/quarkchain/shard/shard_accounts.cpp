#include "services/quarkchain/shard/shard_accounts.hpp"

#include "services/quarkchain/chain/hashes.hpp"
#include "services/quarkchain/chain/shard.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trunkline::quarkchain {
namespace {

/// The network's contract of stakes for root blocks.
const Recipient root_chain_posw = *Recipient::from_hex("514b430000000000000000000000000000000001");
constexpr std::string_view locked_stakes_of = "fd8c4646"; // its function
constexpr std::uint64_t stakes_gas = 1000000;
constexpr std::uint64_t least_gas_of_all = 21000;

std::uint16_t short_of(std::uint64_t count) {
  return static_cast<std::uint16_t>(std::min<std::uint64_t>(count, 0xffff));
}

} // namespace

MinorPointPtr ShardAccounts::at(std::optional<std::uint64_t> height) const {
  const MinorPointPtr& tip = shard_.tips().minor;
  if (!height || *height == tip->header.height) return tip;
  const auto hash = shard_.database().minor_at(*height);
  return hash ? shard_.database().minor(*hash) : nullptr;
}

AccountBranchData ShardAccounts::data(const Recipient& who, std::optional<std::uint64_t> height) const {
  AccountBranchData data;
  data.branch.value = shard_.shard().full_shard_id;
  AccountState account;
  if (const MinorPointPtr after = at(height)) account = shard_.executor().account(shard_.state_after(*after), who);
  data.transaction_count = Uint256(account.nonce);
  data.is_contract = account.has_code;
  const BigUint stakes = account.balances.of(token_id(shard_.config().genesis_token).value());
  data.token_balances.balance_map = std::move(account.balances);
  const auto [mined, mineable] = shard_.rules().mined_and_mineable(shard_.tips().minor, who, stakes);
  data.mined_blocks = short_of(mined);
  data.posw_mineable_blocks = short_of(mineable);
  return data;
}

std::string ShardAccounts::code(const Recipient& who, std::optional<std::uint64_t> height) const {
  const MinorPointPtr after = at(height);
  return after ? shard_.executor().code(shard_.state_after(*after), who) : std::string();
}

std::optional<Hash256> ShardAccounts::storage(const Recipient& who, const Uint256& key,
                                              std::optional<std::uint64_t> height) const {
  const MinorPointPtr after = at(height);
  if (!after) return std::nullopt;
  return Hash256::from_bytes(shard_.executor().storage(shard_.state_after(*after), who, key).bytes());
}

/// As pyquarkchain makes it anew: version 0, whatever it was.
SignedTransaction ShardAccounts::unsigned_from(const TypedTransaction& typed, const Address& from) {
  SignedTransaction transaction;
  transaction.typed = typed;
  transaction.tx = EvmTransaction::from(typed);
  transaction.tx.version = BigUint();
  transaction.tx.from_full_shard_key = from.full_shard_key;
  transaction.sender = from.recipient;
  return transaction;
}

std::optional<std::string> ShardAccounts::call(SignedTransaction transaction, const MinorPointPtr& after,
                                               const BigUint& gas) const {
  const Hash256 state = shard_.state_after(*after);
  transaction.tx.startgas = gas;
  transaction.tx.nonce = BigUint(shard_.executor().account(state, transaction.sender).nonce);
  BlockSetting setting;
  setting.create_time = after->header.create_time;
  setting.gas_limit = shard_.rules().gas_limit();
  setting.xshard_gas_limit = shard_.rules().xshard_gas_limit();
  setting.reach = shard_.neighbourhood().reach(shard_.tips().root->header.height);
  try {
    return shard_.executor().call(state, setting, transaction);
  } catch (const TransactionRefused&) {
    return std::nullopt;
  }
}

std::optional<std::string> ShardAccounts::call(const TypedTransaction& typed, const Address& from,
                                               std::optional<std::uint64_t> height) const {
  const MinorPointPtr after = at(height);
  if (!after) return std::nullopt;
  SignedTransaction transaction = unsigned_from(typed, from);
  const BigUint gas = transaction.tx.startgas.is_zero() ? BigUint(shard_.rules().gas_limit()) : transaction.tx.startgas;
  return call(std::move(transaction), after, gas);
}

/// Halves the way between what is too little and what is enough.
std::optional<std::uint64_t> ShardAccounts::least_gas(const TypedTransaction& typed, const Address& from) const {
  const SignedTransaction transaction = unsigned_from(typed, from);
  const MinorPointPtr& tip = shard_.tips().minor;
  const auto given = transaction.tx.startgas.to_u64();
  const std::uint64_t most = given && *given > least_gas_of_all ? *given : shard_.rules().gas_limit();
  std::uint64_t too_little = least_gas_of_all - 1;
  std::uint64_t enough = most;
  while (too_little + 1 < enough) {
    const std::uint64_t middle = too_little + (enough - too_little) / 2;
    (call(transaction, tip, BigUint(middle)) ? enough : too_little) = middle;
  }
  if (enough == most && !call(transaction, tip, BigUint(enough))) return std::nullopt;
  return enough;
}

std::pair<BigUint, Recipient> ShardAccounts::root_chain_stakes(const Recipient& who, const Hash256& minor) const {
  const MinorPointPtr after = shard_.database().minor(minor);
  if (!after) throw StoreFailure("block " + minor.hex() + " is not held");
  const std::string code = shard_.executor().code(shard_.state_after(*after), root_chain_posw);
  if (code.empty() || keccak256(bytes_of(code)) != shard_.config().root_chain_posw_contract_bytecode_hash) return {};
  if (!shard_.executor().capabilities().contracts)
    throw CapabilityMissing(fmt::format("the stakes of {} are in contract {}, which executor {} does not run", who.hex(),
                                        root_chain_posw.hex(), shard_.executor().name()));
  SignedTransaction question; // from nobody
  question.tx.to = root_chain_posw;
  question.tx.data = *from_hex(locked_stakes_of) + std::string(Hash256::size - Recipient::size, '\0');
  question.tx.data += text_of(who.bytes);
  question.tx.gas_token_id = question.tx.transfer_token_id = token_id(shard_.config().genesis_token).value();
  const std::optional<std::string> answer = call(std::move(question), after, BigUint(stakes_gas));
  if (!answer || answer->size() < 2 * Hash256::size) return {};
  const std::string_view words = *answer;
  return {BigUint::from_bytes(bytes_of(words.substr(0, Hash256::size))).value(),
          *Recipient::from_bytes(bytes_of(words.substr(2 * Hash256::size - Recipient::size, Recipient::size)))};
}

} // namespace trunkline::quarkchain

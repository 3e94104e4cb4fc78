#include "services/quarkchain/ledger/genesis_accounts.hpp"

#include "services/quarkchain/chain/keccak.hpp"

#include <cstdint>

namespace trunkline::quarkchain {

GenesisAccounts::GenesisAccounts(const ShardConfig& config) {
  for (const GenesisAccount& given : config.genesis.alloc) {
    Account& account = accounts_[keccak256(given.address.recipient)];
    for (const auto& [name, amount] : given.balances)
      if (const auto token = token_id(name)) account.balances.add(BigUint(*token), amount);
    if (given.code) account.code = *given.code;
    for (const auto& [key, value] : given.storage) {
      const auto word = Uint256::from_bytes(bytes_of(key.bytes()));
      const auto content = Uint256::from_bytes(bytes_of(value.bytes()));
      if (word && content) account.storage[*word] = *content;
    }
  }
}

const GenesisAccounts::Account* GenesisAccounts::find(const Recipient& who) const {
  const auto found = accounts_.find(keccak256(who));
  return found == accounts_.end() ? nullptr : &found->second;
}

GetTotalBalanceResponse GenesisAccounts::total(const GetTotalBalanceRequest& request) const {
  GetTotalBalanceResponse page;
  page.next.assign(Hash256::size, '\0');
  std::uint32_t seen = 0;
  for (auto at = accounts_.lower_bound(request.start.value_or(Hash256())); at != accounts_.end(); ++at) {
    if (++seen > request.limit) {
      page.next = std::string(text_of(at->first.bytes));
      break;
    }
    page.total_balance = page.total_balance + at->second.balances.of(BigUint(request.token_id));
  }
  return page;
}

} // namespace trunkline::quarkchain

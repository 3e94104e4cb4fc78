// The accounts of a shard as its genesis made them: nothing is executed, so they stay like that.
#pragma once

#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/chain/token_balance_map.hpp"
#include "services/quarkchain/protocol/cluster_messages.hpp"

#include <map>
#include <string>

namespace trunkline::quarkchain {

class GenesisAccounts {
 public:
  struct Account {
    TokenBalances balances;
    std::string code;
    std::map<Uint256, Uint256> storage;
  };

  explicit GenesisAccounts(const ShardConfig& config);

  /// Null for one that genesis does not know.
  const Account* find(const Recipient& who) const;
  /// One page of all accounts.
  GetTotalBalanceResponse total(const GetTotalBalanceRequest& request) const;

 private:
  std::map<Hash256, Account> accounts_; // by the hash of the recipient, which orders the state
};

} // namespace trunkline::quarkchain

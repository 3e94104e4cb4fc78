// What wallets and the master ask a shard about what it has: transactions by account, receipts, prices, figures.
#pragma once

#include "services/quarkchain/protocol/cluster_messages.hpp"
#include "services/quarkchain/shard/shard_cl.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

class ShardReads {
 public:
  /// `shard` must outlive it.
  explicit ShardReads(const ShardCL& shard) : shard_(shard) {}

  struct Page {
    std::vector<TransactionDetail> transactions;
    std::string next; // asks for what comes behind it
  };
  struct Found {
    std::shared_ptr<const MinorBlock> block;
    std::uint32_t index = 0; // beyond the block's transactions: a deposit
  };
  struct FoundWithReceipt {
    Found found;
    TransactionReceipt receipt;
  };

  /// Newest first. `start`: empty for the newest, one zero byte for those that wait. A hash is listed once a page.
  Page of_address(const Recipient& who, std::optional<std::uint64_t> token, const std::string& start,
                  std::uint32_t limit) const;
  /// Deposits from the root chain are left out.
  Page of_all(const std::string& start, std::uint32_t limit) const;

  /// In the canonical chain.
  std::optional<Found> transaction(const Hash256& hash) const;
  std::optional<FoundWithReceipt> receipt(const Hash256& hash) const;

  /// The middle price of the last blocks for gas in this token.
  BigUint gas_price(std::uint64_t token) const;
  ShardStats stats() const;
  EcoInfo eco_info(std::uint64_t now) const;
  /// The sum over accounts behind `after`, at most `limit` of them, and the last one's key: zero at the end.
  std::pair<BigUint, Hash256> total_balance(const Hash256& minor, std::uint64_t token,
                                            const std::optional<Hash256>& after, std::uint32_t limit) const;

  /// What deposits bring that a root block has for us and that blocks up to this one have not taken; zero for the tip,
  /// and for a root block that is not held.
  BigUint waiting_deposits(const Hash256& minor, const Hash256& root, std::uint64_t token) const;

 private:
  Page page(const std::string& family, const std::string& start, std::uint32_t limit,
            const std::function<bool(const TransactionDetail&)>& wanted) const;
  Page waiting(const Recipient& who, std::optional<std::uint64_t> token) const;
  TransactionDetail detail_of(const SignedTransaction& transaction) const;

  const ShardCL& shard_;
};

} // namespace trunkline::quarkchain

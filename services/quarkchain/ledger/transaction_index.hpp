// Where the transactions of one shard are: by their hash, by who sent them or was sent them, and from the tip down.
// Entries of blocks that have left the best chain stay, and are passed over.
#pragma once

#include "services/quarkchain/chain/config.hpp"
#include "services/quarkchain/ledger/minor_chain.hpp"
#include "services/quarkchain/store/store.hpp"
#include "services/quarkchain/ledger/transaction_queue.hpp"
#include "services/quarkchain/protocol/cluster_messages.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

class TransactionIndex {
 public:
  /// One page of a list; `next` asks for the one after it.
  struct Page {
    std::vector<TransactionDetail> details;
    std::string next;
  };

  /// What it is given must outlive it. `page_max`: transactions in one page.
  TransactionIndex(const Store& store, const MinorChain& chain, const TransactionQueue& queue,
                   const QuarkChainConfig& config, std::uint32_t page_max);

  void add(const MinorBlock& block, const Hash256& hash, StoreBatch& batch) const;
  /// With error_code 0; nothing for one that neither a block has nor waits. One that waits is in a block with nothing
  /// else in it.
  std::optional<GetTransactionResponse> find(const Hash256& hash) const;
  /// How many transactions of an account the best chain has up to a height: one more than its last nonce.
  std::uint64_t count(const Recipient& who, std::uint64_t height) const;
  // Errors: Refused for a cursor that is none.
  Page of_address(const GetTransactionListByAddressRequest& request) const;
  Page all(const std::string& start, std::uint32_t limit) const;

 private:
  InspectedTransaction inspect(const TypedTransaction& transaction) const;
  TransactionDetail detail(const MinorBlock& block, std::uint32_t index) const;
  static TransactionDetail detail(const InspectedTransaction& transaction);

  const Store& store_;
  const MinorChain& chain_;
  const TransactionQueue& queue_;
  const QuarkChainConfig& config_;
  std::uint32_t page_max_;
};

} // namespace trunkline::quarkchain

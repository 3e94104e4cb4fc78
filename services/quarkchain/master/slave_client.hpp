// A master's way to one slave: a method for each opcode that a master sends, with the types of Backend.
//
//   const auto accounts = co_await slave.within(5s).get_account_data(address);
//
// Cancelled: the reply is dropped when it comes. Errors of each: error::timed_out after the deadline; what the
// connection ended with; error::cannot_decode for a reply that is none; Refused, with the slave's error_code.
#pragma once

#include "services/quarkchain/backend/backend.hpp"
#include "services/quarkchain/protocol/cluster_messages.hpp"
#include "services/quarkchain/rpc/rpc.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trunkline::quarkchain {

/// A handle; copies speak on the same circuit. It keeps the circuit alive, not open.
class SlaveClient {
 public:
  explicit SlaveClient(std::shared_ptr<RpcCircuit> circuit, Duration deadline = Duration::zero())
      : circuit_(std::move(circuit)), deadline_(deadline) {}
  /// The same slave, with a deadline for each call.
  SlaveClient within(Duration deadline) const { return SlaveClient(circuit_, deadline); }
  const std::shared_ptr<RpcCircuit>& circuit() const noexcept { return circuit_; }

  awaitable<Pong> ping(std::optional<RootBlock> root_tip = std::nullopt) const;
  /// One text for each entry; empty for success. Errors also: Refused when there are more or fewer.
  awaitable<std::vector<std::string>> connect_to_slaves(std::vector<SlaveInfo> slaves) const;
  awaitable<void> create_cluster_peer_connection(std::uint64_t cluster_peer_id) const;
  awaitable<void> destroy_cluster_peer_connection(std::uint64_t cluster_peer_id) const;

  awaitable<bool> add_root_block(const RootBlock& block, bool expect_switch = false) const;
  awaitable<std::vector<EcoInfo>> get_eco_info_list() const;
  awaitable<MinorBlock> get_next_block_to_mine(std::uint32_t branch, const Address& coinbase,
                                               ArtificialTxConfig artificial = {}) const;
  awaitable<std::vector<HeadersInfo>> get_unconfirmed_headers() const;
  awaitable<std::vector<AccountBranchData>> get_account_data(const Address& address,
                                                             std::optional<std::uint64_t> height = {}) const;
  awaitable<void> add_transaction(const TypedTransaction& transaction) const;
  awaitable<SyncedBlocks> sync_minor_block_list(PeerShard from, std::vector<Hash256> hashes) const;
  awaitable<void> add_minor_block(const MinorBlock& block) const;
  /// Nothing when the slave has none.
  awaitable<std::optional<FoundMinorBlock>> get_minor_block(std::uint32_t branch, const Hash256& hash,
                                                            bool need_extra_info = false) const;
  awaitable<std::optional<FoundMinorBlock>> get_minor_block_at(std::uint32_t branch, std::uint64_t height,
                                                               bool need_extra_info = false) const;
  awaitable<std::optional<FoundTransaction>> get_transaction(std::uint32_t branch, const Hash256& hash) const;
  awaitable<std::string> execute_transaction(const TypedTransaction& transaction, const Address& from,
                                             std::optional<std::uint64_t> height = {}) const;
  awaitable<std::optional<FoundReceipt>> get_transaction_receipt(std::uint32_t branch, const Hash256& hash) const;
  awaitable<void> mine(ArtificialTxConfig artificial, bool mining) const;
  awaitable<void> gen_tx(std::uint32_t per_shard, std::uint32_t xshard_percent, const TypedTransaction& like) const;
  awaitable<TransactionPage> get_transaction_list_by_address(const Address& address, std::optional<std::uint64_t> token,
                                                             std::string start, std::uint32_t limit) const;
  awaitable<TransactionPage> get_all_transactions(std::uint32_t branch, std::string start, std::uint32_t limit) const;
  awaitable<std::vector<Log>> get_log(const LogQuery& query) const;
  awaitable<std::uint32_t> estimate_gas(const TypedTransaction& transaction, const Address& from) const;
  awaitable<Hash256> get_storage(const Address& address, const Uint256& key,
                                 std::optional<std::uint64_t> height = {}) const;
  awaitable<std::string> get_code(const Address& address, std::optional<std::uint64_t> height = {}) const;
  awaitable<std::uint64_t> gas_price(std::uint32_t branch, std::uint64_t token) const;
  awaitable<Work> get_work(std::uint32_t branch, std::optional<Address> coinbase = std::nullopt) const;
  awaitable<bool> submit_work(const Solution& solution) const;
  awaitable<void> check_minor_block(const MinorBlockHeader& header) const;
  awaitable<Stakes> get_root_chain_stakes(const Address& address, const Hash256& minor_block_hash) const;
  awaitable<BalancePage> get_total_balance(const BalanceQuery& query) const;

 private:
  std::shared_ptr<RpcCircuit> circuit_;
  Duration deadline_;
};

} // namespace trunkline::quarkchain

// What a backend that leaves something out does.
#include "services/quarkchain/backend/backend.hpp"

namespace trunkline::quarkchain {
namespace {

/// Fails when it is awaited, as a backend that does something would.
template <class T> awaitable<T> left_out(const char* method) {
  throw NotImplemented(method);
  co_return T();
}

template <> awaitable<void> left_out(const char* method) {
  throw NotImplemented(method);
  co_return;
}

} // namespace

awaitable<void> Backend::create_shards(RootBlock) { return left_out<void>("create_shards"); }
awaitable<bool> Backend::add_root_block(RootBlock) { return left_out<bool>("add_root_block"); }
awaitable<std::vector<EcoInfo>> Backend::get_eco_info_list() {
  return left_out<std::vector<EcoInfo>>("get_eco_info_list");
}
awaitable<MinorBlock> Backend::get_next_block_to_mine(std::uint32_t, Address, ArtificialTxConfig) {
  return left_out<MinorBlock>("get_next_block_to_mine");
}
awaitable<std::vector<HeadersInfo>> Backend::get_unconfirmed_headers() {
  return left_out<std::vector<HeadersInfo>>("get_unconfirmed_headers");
}
awaitable<std::vector<AccountBranchData>> Backend::get_account_data(Address, std::optional<std::uint64_t>) {
  return left_out<std::vector<AccountBranchData>>("get_account_data");
}
awaitable<void> Backend::add_transaction(TypedTransaction) { return left_out<void>("add_transaction"); }
awaitable<SyncedBlocks> Backend::sync_minor_block_list(PeerShard, std::vector<Hash256>) {
  return left_out<SyncedBlocks>("sync_minor_block_list");
}
awaitable<void> Backend::add_minor_block(MinorBlock) { return left_out<void>("add_minor_block"); }
awaitable<std::optional<FoundMinorBlock>> Backend::get_minor_block(std::uint32_t, Hash256, bool) {
  return left_out<std::optional<FoundMinorBlock>>("get_minor_block");
}
awaitable<std::optional<FoundMinorBlock>> Backend::get_minor_block_at(std::uint32_t, std::uint64_t, bool) {
  return left_out<std::optional<FoundMinorBlock>>("get_minor_block_at");
}
awaitable<std::optional<FoundTransaction>> Backend::get_transaction(std::uint32_t, Hash256) {
  return left_out<std::optional<FoundTransaction>>("get_transaction");
}
awaitable<std::string> Backend::execute_transaction(TypedTransaction, Address, std::optional<std::uint64_t>) {
  return left_out<std::string>("execute_transaction");
}
awaitable<std::optional<FoundReceipt>> Backend::get_transaction_receipt(std::uint32_t, Hash256) {
  return left_out<std::optional<FoundReceipt>>("get_transaction_receipt");
}
awaitable<void> Backend::mine(ArtificialTxConfig, bool) { return left_out<void>("mine"); }
awaitable<void> Backend::gen_tx(std::uint32_t, std::uint32_t, TypedTransaction) { return left_out<void>("gen_tx"); }
awaitable<TransactionPage> Backend::get_transaction_list_by_address(Address, std::optional<std::uint64_t>, std::string,
                                                                    std::uint32_t) {
  return left_out<TransactionPage>("get_transaction_list_by_address");
}
awaitable<TransactionPage> Backend::get_all_transactions(std::uint32_t, std::string, std::uint32_t) {
  return left_out<TransactionPage>("get_all_transactions");
}
awaitable<std::vector<Log>> Backend::get_log(LogQuery) { return left_out<std::vector<Log>>("get_log"); }
awaitable<std::uint32_t> Backend::estimate_gas(TypedTransaction, Address) {
  return left_out<std::uint32_t>("estimate_gas");
}
awaitable<Hash256> Backend::get_storage(Address, Uint256, std::optional<std::uint64_t>) {
  return left_out<Hash256>("get_storage");
}
awaitable<std::string> Backend::get_code(Address, std::optional<std::uint64_t>) {
  return left_out<std::string>("get_code");
}
awaitable<std::uint64_t> Backend::gas_price(std::uint32_t, std::uint64_t) {
  return left_out<std::uint64_t>("gas_price");
}
awaitable<Work> Backend::get_work(std::uint32_t, std::optional<Address>) { return left_out<Work>("get_work"); }
awaitable<bool> Backend::submit_work(Solution) { return left_out<bool>("submit_work"); }
awaitable<void> Backend::check_minor_block(MinorBlockHeader) { return left_out<void>("check_minor_block"); }
awaitable<Stakes> Backend::get_root_chain_stakes(Address, Hash256) { return left_out<Stakes>("get_root_chain_stakes"); }
awaitable<BalancePage> Backend::get_total_balance(BalanceQuery) { return left_out<BalancePage>("get_total_balance"); }
awaitable<void> Backend::add_xshard_tx_list(XshardList) { return left_out<void>("add_xshard_tx_list"); }
awaitable<void> Backend::on_new_minor_block_header(PeerShard, RootBlockHeader, MinorBlockHeader) {
  return left_out<void>("on_new_minor_block_header");
}
awaitable<void> Backend::on_new_transaction_list(PeerShard, std::vector<TypedTransaction>) {
  return left_out<void>("on_new_transaction_list");
}
awaitable<void> Backend::on_new_block_minor(PeerShard, MinorBlock) { return left_out<void>("on_new_block_minor"); }
awaitable<std::vector<MinorBlock>> Backend::get_minor_block_list(std::uint32_t, std::vector<Hash256>) {
  return left_out<std::vector<MinorBlock>>("get_minor_block_list");
}
awaitable<MinorHeaderPage> Backend::get_minor_block_header_list(std::uint32_t, HeaderQuery) {
  return left_out<MinorHeaderPage>("get_minor_block_header_list");
}

} // namespace trunkline::quarkchain

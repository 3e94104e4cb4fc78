// As backend.cpp, for a master.
#include "services/quarkchain/backend/root_backend.hpp"

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

awaitable<ArtificialTxConfig> RootBackend::add_minor_block_header(std::string, MinorBlockReport) {
  return left_out<ArtificialTxConfig>("add_minor_block_header");
}
awaitable<void> RootBackend::add_minor_block_header_list(std::string, std::vector<MinorBlockHeader>,
                                                         std::vector<TokenBalanceMap>) {
  return left_out<void>("add_minor_block_header_list");
}
awaitable<void> RootBackend::on_new_tip(std::uint64_t, RootBlockHeader) { return left_out<void>("on_new_tip"); }
awaitable<void> RootBackend::on_new_transaction_list(std::uint64_t, std::vector<TypedTransaction>) {
  return left_out<void>("on_new_transaction_list");
}
awaitable<void> RootBackend::on_new_root_block(std::uint64_t, RootBlock) { return left_out<void>("on_new_root_block"); }
awaitable<RootHeaderPage> RootBackend::get_root_block_header_list(HeaderQuery) {
  return left_out<RootHeaderPage>("get_root_block_header_list");
}
awaitable<std::vector<RootBlock>> RootBackend::get_root_block_list(std::vector<Hash256>) {
  return left_out<std::vector<RootBlock>>("get_root_block_list");
}

} // namespace trunkline::quarkchain

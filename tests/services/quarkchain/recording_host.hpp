// A host of a backend that notes what it is told, and fails where a test wants it to.
#pragma once

#include "fragment/error.hpp"
#include "services/quarkchain/backend/backend.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace trunkline::quarkchain::test {

class RecordingHost final : public BackendHost {
 public:
  awaitable<ArtificialTxConfig> add_minor_block_header(AddMinorBlockHeaderRequest report) override {
    if (master_is_away) throw_error(error::trunk_lost, "the master is away");
    reports.push_back(std::move(report));
    co_return ArtificialTxConfig();
  }
  awaitable<void> add_minor_block_header_list(AddMinorBlockHeaderListRequest many) override {
    for (MinorBlockHeader& header : many.minor_block_header_list) listed.push_back(std::move(header));
    co_return;
  }
  awaitable<void> add_xshard_tx_list(AddXshardTxListRequest list) override {
    if (slaves_are_away) throw_error(error::connect_failed, "slave \"S1\" is not connected");
    lists.push_back(std::move(list));
    co_return;
  }
  awaitable<void> batch_add_xshard_tx_list(std::vector<AddXshardTxListRequest> many) override {
    for (AddXshardTxListRequest& list : many) lists.push_back(std::move(list));
    co_return;
  }
  std::vector<PeerShard> peers_of(std::uint32_t branch) const override {
    std::vector<PeerShard> peers;
    for (const std::uint64_t id : peer_ids) peers.push_back(PeerShard{branch, id});
    return peers;
  }
  awaitable<void> tell(PeerShard to, NewMinorBlockHeaderListCommand tip) override {
    announced.emplace_back(to.cluster_peer_id, tip.minor_block_header_list.at(0).height);
    co_return;
  }
  awaitable<void> tell(PeerShard to, NewTransactionListCommand command) override {
    if (to.cluster_peer_id == gone) throw_error(error::peer_ended, "the peer has gone");
    passed_on.emplace_back(to.cluster_peer_id, command.transaction_list.size());
    co_return;
  }
  awaitable<void> tell(PeerShard to, NewBlockMinorCommand command) override {
    if (to.cluster_peer_id == gone) throw_error(error::peer_ended, "the peer has gone");
    relayed.emplace_back(to.cluster_peer_id, command.block.header.height);
    co_return;
  }
  awaitable<GetMinorBlockListResponse> ask(PeerShard from, GetMinorBlockListRequest request) override {
    listed_when_asked.push_back(listed.size());
    return source->on(from, std::move(request));
  }
  awaitable<GetMinorBlockHeaderListResponse> ask(PeerShard from,
                                                 GetMinorBlockHeaderListWithSkipRequest request) override {
    return source->on(from, std::move(request));
  }

  bool master_is_away = false;
  bool slaves_are_away = false;
  std::vector<std::uint64_t> peer_ids;
  std::uint64_t gone = 0; // in peer_ids still
  std::vector<std::size_t> listed_when_asked; // blocks that were in the chain whenever a peer was asked for more
  std::shared_ptr<Backend> source; // what the peers have
  std::vector<AddMinorBlockHeaderRequest> reports;
  std::vector<MinorBlockHeader> listed;
  std::vector<AddXshardTxListRequest> lists;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> announced, relayed;
  std::vector<std::pair<std::uint64_t, std::size_t>> passed_on;
};

} // namespace trunkline::quarkchain::test

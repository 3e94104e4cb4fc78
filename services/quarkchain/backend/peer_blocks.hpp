// What a peer of a shard has, asked for and checked.
#pragma once

#include "services/quarkchain/backend/backend.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace trunkline::quarkchain {

class PeerBlocks {
 public:
  PeerBlocks(std::shared_ptr<BackendHost> host, PeerShard peer) : host_(std::move(host)), peer_(peer) {}

  // Errors of both: Refused for what the peer does not have or makes up; the error of its connection. They keep what
  // they need.
  /// In one reply: what arrives together is bounded by the size of a command, whatever was asked for.
  awaitable<std::vector<MinorBlock>> blocks(std::vector<Hash256> hashes) const {
    return blocks_of(host_, peer_, std::move(hashes));
  }
  /// The hashes from above the first block that is known here up to the peer's tip.
  awaitable<std::vector<Hash256>> missing_up_to(MinorBlockHeader tip, std::function<bool(const Hash256&)> knows) const {
    return missing(host_, peer_, std::move(tip), std::move(knows));
  }

 private:
  static awaitable<std::vector<MinorBlock>> blocks_of(std::shared_ptr<BackendHost> host, PeerShard peer,
                                                      std::vector<Hash256> hashes);
  static awaitable<std::vector<Hash256>> missing(std::shared_ptr<BackendHost> host, PeerShard peer,
                                                 MinorBlockHeader tip, std::function<bool(const Hash256&)> knows);

  std::shared_ptr<BackendHost> host_;
  PeerShard peer_;
};

} // namespace trunkline::quarkchain

// Telling many peers the same: each is told for itself, and the one that has gone meanwhile is passed over.
#pragma once

#include "services/quarkchain/backend/backend.hpp"

#include <exception>
#include <memory>
#include <utility>

namespace trunkline::quarkchain {

/// A peer that has gone meanwhile is not the fault of the one whose news is passed on.
inline awaitable<void> sent(awaitable<void> announcement) {
  try {
    co_await std::move(announcement);
  } catch (const std::exception&) { // nothing is left to tell
  }
}

/// Does nothing when the host is gone.
template <class Command> awaitable<void> tell_one(std::weak_ptr<BackendHost> host, PeerShard to, Command command) {
  const std::shared_ptr<BackendHost> live = host.lock();
  if (live) co_await sent(live->tell(to, std::move(command)));
}

} // namespace trunkline::quarkchain

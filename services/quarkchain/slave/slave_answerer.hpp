// What the answers of a slave to its master and to other slaves have in common. Internal to its services.
#pragma once

#include "services/quarkchain/rpc/typed_service.hpp"
#include "services/quarkchain/slave/slave_service.hpp"

#include <memory>
#include <utility>

namespace trunkline::quarkchain {

struct SlaveAnswerer {
  SlaveAnswerer(std::shared_ptr<Backend> to, std::weak_ptr<Membership> of)
      : backend(std::move(to)), membership(std::move(of)) {}

  /// What is no matter of the cluster itself, the backend answers.
  template <class Request> auto on(Request request) -> decltype(std::declval<Backend&>().on(std::move(request))) {
    return backend->on(std::move(request));
  }

  /// Errors: error::node_closed when the slave is gone.
  std::shared_ptr<Membership> members() const {
    std::shared_ptr<Membership> live = membership.lock();
    if (!live) throw_error(error::node_closed, "the slave has ended");
    return live;
  }
  /// Who we are.
  Pong pong() const {
    const std::shared_ptr<Membership> live = members();
    Pong pong;
    pong.id = live->own().id;
    pong.full_shard_id_list = live->own().full_shard_ids;
    return pong;
  }

  std::shared_ptr<Backend> backend;
  std::weak_ptr<Membership> membership;
  std::shared_ptr<RpcCircuit> circuit;
};

} // namespace trunkline::quarkchain

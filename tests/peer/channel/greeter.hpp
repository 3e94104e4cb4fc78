// A far end that greets as a node does, and says goodbye or that it drains in the same write. Then it closes the
// connection, or keeps it and drops what it reads. It is made of a machine alone.
#pragma once

#include "async/tasks.hpp"
#include "circuit/native/machine.hpp"
#include "tests/peer/channel/town.hpp"

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::test {

class Greeter {
 public:
  using Act = std::function<void(Machine&)>; // in the same write as its Hello

  Greeter(Town& town, const std::string& host, NodeId as, Act what, bool stays = false)
      : id(as), act(std::move(what)), keeps(stays), tasks_(town.world.executor()), medium_(town.world.medium(host)),
        world_(&town.world) {
    if (host != "client") {
      listener_ = medium_->listen(town.world.executor(), "sim://" + host);
      tasks_.spawn(accept_all());
    }
  }

  /// Takes part as the one who dials: once, under this id.
  awaitable<void> dial(std::string address, NodeId as) {
    std::unique_ptr<Transport> transport = co_await medium_->dial(std::move(address));
    tasks_.spawn(greet(std::move(transport), as, true));
  }

  NodeId id;
  Act act;
  bool keeps; // the connection, until the far side ends it; otherwise it is closed once all is written
  std::size_t accepted = 0;

 private:
  awaitable<void> accept_all() {
    for (;;) {
      std::unique_ptr<Transport> transport = co_await listener_->accept();
      ++accepted;
      tasks_.spawn(greet(std::move(transport), id, false));
    }
  }
  awaitable<void> greet(std::unique_ptr<Transport> transport, NodeId as, bool dialled) {
    NativeMachineOptions options;
    options.node_id = as;
    options.dialled = dialled;
    NativeMachine machine(std::move(options), world_->now());
    options = NativeMachineOptions(); // somebody who has greeted already, so that what it says next is not held back
    options.node_id = *NodeId::from_bytes("whoever that is!");
    options.dialled = !dialled;
    NativeMachine whoever(std::move(options), world_->now());
    machine.feed(words_of(whoever), world_->now());
    act(machine);
    try {
      const std::vector<std::byte> words = words_of(machine);
      const std::span<const std::byte> piece(words);
      co_await transport->write(std::span(&piece, 1));
      std::array<std::byte, 4096> buffer;
      for (std::size_t count = 1; keeps && count != 0;) count = co_await transport->read_some(buffer);
    } catch (const boost::system::system_error&) {}
  }
  std::vector<std::byte> words_of(Machine& machine) {
    std::vector<std::byte> words;
    Output output;
    for (;;) {
      machine.collect_output(output, 1 << 20, world_->now());
      if (output.empty()) return words;
      std::vector<std::span<const std::byte>> pieces;
      output.gather(pieces);
      for (const auto& piece : pieces) words.insert(words.end(), piece.begin(), piece.end());
      machine.written(world_->now());
    }
  }

  Tasks tasks_;
  std::shared_ptr<Medium> medium_;
  std::unique_ptr<Listener> listener_;
  sim::World* world_;
};

} // namespace trunkline::test

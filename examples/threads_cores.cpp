// A node per core: each thread has a context, a node and services of its own, and shares nothing with the others. They
// talk over circuits, as they would with another machine.
#include "examples/run.hpp"
#include "peer/node.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <memory>
#include <thread>
#include <vector>

using namespace trunkline;

namespace {

struct Core {
  asio::io_context io{1};
  Node node{io.get_executor()};
  std::string address;
  std::string heard;
  int code = 0;
};
using Cores = std::vector<std::unique_ptr<Core>>;

awaitable<void> greet(Circuit circuit, std::size_t number) {
  co_await circuit.send(Fragment(0, "hello from core " + std::to_string(number)));
}

// What one thread wants of another one's node is posted to that node's executor.
void close_all(const Cores& cores) {
  for (const auto& core : cores)
    asio::post(core->io, [&node = core->node] { asio::co_spawn(node.executor(), node.close(), asio::detached); });
}

awaitable<void> ask_neighbour(Core& core, std::string address, const Cores& cores, std::atomic<std::size_t>& asking) {
  const std::shared_ptr<LocalPeer> me = core.node.new_peer("asker");
  const Fragment reply = co_await me->request(address, "greet", Fragment(), std::chrono::seconds(30));
  core.heard = reply.payload.text();
  if (--asking == 0) close_all(cores); // until then the others may ask us
}

} // namespace

int main() {
  const std::size_t count = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 2, 4);
  Cores cores;
  for (std::size_t i = 0; i < count; ++i) {
    Core& core = *cores.emplace_back(std::make_unique<Core>());
    core.node.serve("greet", [i](Circuit circuit) { return greet(std::move(circuit), i); });
    core.address = core.node.listen("tcp://127.0.0.1:0"); // nothing runs yet: this thread may set things up
  }

  std::atomic<std::size_t> asking = count;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < count; ++i)
    threads.emplace_back([&, i] {
      Core& core = *cores[i];
      core.code = run(core.io, ask_neighbour(core, cores[(i + 1) % count]->address, cores, asking));
      if (core.code != 0) close_all(cores);
    });
  for (std::thread& thread : threads) thread.join();

  int code = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::cout << "core " << i << " heard: " << cores[i]->heard << "\n";
    code = std::max(code, cores[i]->code);
  }
  return code;
}

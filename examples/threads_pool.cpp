// Work that takes a thread for itself, on a pool: the handler waits for it without blocking its node, and its result
// comes back to the node's thread.
#include "async/within.hpp"
#include "examples/run.hpp"
#include "peer/node.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <atomic>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

using namespace trunkline;

namespace {

std::thread::id node_thread;
std::atomic<int> done_on_node_thread = 0;

// Long and plain: it knows nothing of nodes and circuits, and gets values, not references.
std::uint64_t smallest_factor(std::uint64_t number) {
  if (std::this_thread::get_id() == node_thread) ++done_on_node_thread;
  for (std::uint64_t factor = 2; factor * factor <= number; ++factor)
    if (number % factor == 0) return factor;
  return number;
}

// A coroutine on the pool: it runs there from its first line to its last.
awaitable<std::uint64_t> factor_on_pool(std::uint64_t number) { co_return smallest_factor(number); }

awaitable<void> factor(asio::thread_pool& pool, Circuit circuit) {
  while (auto question = co_await circuit.receive()) {
    const auto number = static_cast<std::uint64_t>(question->part);
    // A strand for each job: cancelling the handler, when its caller leaves, is then posted to where the job runs. The
    // job itself goes on to its end, and the handler waits for that.
    auto job = asio::co_spawn(asio::make_strand(pool), factor_on_pool(number), asio::use_awaitable);
    const std::uint64_t found = co_await std::move(job);
    // Here it is the node's thread again.
    if (std::this_thread::get_id() != node_thread) throw std::logic_error("the handler changed its thread");
    Fragment answer(0);
    answer.part = static_cast<std::int64_t>(found);
    co_await circuit.send(std::move(answer));
  }
}

awaitable<std::uint64_t> ask(LocalPeer& me, std::string address, std::uint64_t number) {
  Fragment question(0);
  question.part = static_cast<std::int64_t>(number);
  const Fragment answer = co_await me.request(address, "factor", std::move(question), std::chrono::seconds(30));
  co_return static_cast<std::uint64_t>(answer.part);
}

awaitable<void> program(Node& here, Node& there) {
  using namespace asio::experimental::awaitable_operators;
  const std::string address = there.listen("tcp://127.0.0.1:0");
  const std::shared_ptr<LocalPeer> me = here.new_peer("asker");
  const auto [one, other] = co_await (ask(*me, address, 1'000'000'000'000) && ask(*me, address, 62'710'561));
  std::cout << one << " is the smallest factor of 1000000000000\n"
            << other << " is the smallest factor of 62710561\n";
  if (done_on_node_thread == 0) std::cout << "the node's thread did none of the work\n";
  co_await here.close();
  co_await there.close();
}

} // namespace

int main() {
  node_thread = std::this_thread::get_id();
  asio::thread_pool pool(2);
  asio::io_context io(1);
  Node here(io.get_executor());
  Node there(io.get_executor());
  ServiceOptions as_many_as_threads; // the pool's own queue has no bound: the service's has
  as_many_as_threads.circuits_max = 2;
  there.serve("factor", [&pool](Circuit circuit) { return factor(pool, std::move(circuit)); }, as_many_as_threads);
  return run(io, program(here, there));
}

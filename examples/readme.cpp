// The program of README.md, which tests/examples compares with this file, byte by byte.
// [readme]
#include "async/run.hpp"
#include "peer/node.hpp"
#include <iostream>
using namespace trunkline;

awaitable<void> tally(Circuit circuit) { // one call per circuit, on whichever side registered it
  Fragment total;
  while (auto fragment = co_await circuit.receive()) total.part += fragment->payload.size(); // until they finish
  co_await circuit.send(std::move(total));
}
awaitable<void> stream(Node& here, std::string there) {
  const std::shared_ptr<LocalPeer> me = here.new_peer("streamer");
  std::vector<Circuit> circuits;
  for (const char* name : {"alpha", "beta", "gamma"}) {
    circuits.push_back(me->join_or_start(there, "tally", Fragment(0, name))); // opened: no round trip
    for (int i = 0; i < 1000; ++i) co_await circuits.back().send(Fragment(i, "a chunk")); // waits for credit only
    circuits.back().finish();
  }
  for (Circuit& circuit : circuits)
    std::cout << circuit.remote_url() << " counted " << (co_await circuit.receive())->part << " bytes\n";
}
awaitable<void> both_ways(Executor executor) {
  Node dialler(executor), listener(executor); // destroying a Node closes it
  for (Node* node : {&dialler, &listener}) node->serve("tally", tally); // the same line on both sides
  co_await stream(dialler, listener.listen("tcp://127.0.0.1:0"));
  co_await stream(listener, "node://" + dialler.id().to_string()); // the same code back over the same connection
}
int main() { run(both_ways); }
// [readme]

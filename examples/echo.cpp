// Two nodes that are the same: each serves "echo" and each asks the other. One of them happens to listen, one to dial.
//
//   echo                         over TCP on this machine
//   echo unix:/tmp/echo.sock     over another transport
#include "examples/run.hpp"
#include "peer/node.hpp"

#include <iostream>

using namespace trunkline;

namespace {

// A service in its short form: one call per circuit. It does not depend on which side dialled.
awaitable<void> echo(Circuit circuit) {
  while (auto fragment = co_await circuit.receive()) co_await circuit.send(std::move(*fragment));
} // returning closes the circuit, after what was sent

awaitable<void> ask(std::string name, Node& here, std::string there) {
  // A peer without a service: it opens circuits and accepts none.
  const std::shared_ptr<LocalPeer> me = here.new_peer("asker");

  // The first fragment rides in the opening. Nothing below waits for the far side until the first receive.
  Circuit circuit = me->join_or_start(there, "echo", Fragment(0, "one"));
  for (const char* text : {"two", "three"}) {
    Fragment fragment(0, text);
    co_await circuit.send(std::move(fragment));
  }
  circuit.finish(); // everything above arrives first

  while (auto fragment = co_await circuit.receive())
    std::cout << name << " heard " << fragment->payload.text() << ", fragment " << fragment->serial() << " from "
              << fragment->from_service() << std::endl;
  std::cout << name << (circuit.dialled() ? " had to dial" : " used the trunk that was there") << std::endl;
}

awaitable<void> program(Node& anna, Node& ben, std::string address) {
  const std::string there = ben.listen(address);
  co_await ask("anna", anna, there);
  // Anna listens nowhere. Her node is reached over the trunk that she opened.
  co_await ask("ben", ben, "node://" + anna.id().to_string());
  co_await anna.close();
  co_await ben.close();
}

} // namespace

int main(int argc, char** argv) {
  asio::io_context io(1);
  Node anna(io.get_executor());
  Node ben(io.get_executor());
  for (Node* node : {&anna, &ben}) node->serve("echo", echo);
  return run(io, program(anna, ben, argc > 1 ? argv[1] : "tcp://127.0.0.1:0"));
}

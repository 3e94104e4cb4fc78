// A chat between two terminals, without a server: the two programs are the same, and either may be the one that dials.
//
//   chat anna --listen tcp://127.0.0.1:7000
//   chat ben --dial tcp://127.0.0.1:7000
#include "examples/run.hpp"
#include "peer/node.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <iostream>
#include <unistd.h>
#include <vector>

using namespace trunkline;

namespace {

awaitable<void> type(Circuit& circuit, std::string name) {
  asio::posix::stream_descriptor keyboard(co_await asio::this_coro::executor, ::dup(STDIN_FILENO));
  std::string typed;
  boost::system::error_code ended;
  for (;;) {
    const std::size_t size = co_await asio::async_read_until(keyboard, asio::dynamic_buffer(typed), '\n',
                                                             asio::redirect_error(asio::use_awaitable, ended));
    if (ended) break;
    co_await circuit.send(Fragment(0, name, std::string_view(typed).substr(0, size - 1)));
    typed.erase(0, size);
  }
  circuit.finish(); // we have said everything; they may go on
}

awaitable<void> show(Circuit& circuit) {
  while (auto line = co_await circuit.receive())
    std::cout << line->subject << ": " << line->payload.text() << std::endl;
}

// Runs on both sides: on one for the circuit that it opened, on the other for the same circuit when it arrived.
awaitable<void> talk(Circuit circuit, std::string name) {
  using namespace asio::experimental::awaitable_operators;
  std::cout << "* " << (circuit.opened_here() ? "we called " : "called by ") << circuit.remote_url() << std::endl;
  co_await (type(circuit, name) && show(circuit));
}

awaitable<void> chat(CircuitInbox& circuits, std::string name) {
  std::optional<Circuit> circuit = co_await circuits.next();
  if (circuit) co_await talk(std::move(*circuit), name); // one conversation, then this peer ends
}

awaitable<void> program(Node& node, std::string name, bool dials, std::string address) {
  const std::shared_ptr<LocalPeer> me = node.start_local_peer("chat");
  if (dials) {
    Circuit circuit = me->join_or_start(address, "chat", std::nullopt); // the instance that runs there
    co_await circuit.accepted();
    co_await talk(std::move(circuit), name);
    me->close();
  } else {
    std::cout << "* listening on " << node.listen(address) << std::endl;
  }
  co_await me->ended();
  co_await node.close();
}

} // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() != 3 || (arguments[1] != "--listen" && arguments[1] != "--dial")) {
    std::cerr << "chat NAME --listen ADDRESS\nchat NAME --dial ADDRESS\n";
    return 2;
  }
  asio::io_context io(1);
  Node node(io.get_executor());
  const std::string name = arguments[0];
  node.register_service("chat", [name](LocalPeer&, CircuitInbox& circuits) { return chat(circuits, name); }, 1);
  return run(io, program(node, name, arguments[1] == "--dial", arguments[2]));
}

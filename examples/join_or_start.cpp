// Join the running instance of a service, or start one: how peers meet that know an address and a name, but no id.
// A service with a limit of one instance refuses a second, and the refusal says where the first one is.
#include "examples/run.hpp"
#include "peer/node.hpp"

#include <iostream>

using namespace trunkline;

namespace {

// One call is one room. It counts the guests, tells each its number, and ends with its node.
awaitable<void> room(LocalPeer& self, CircuitInbox& circuits) {
  std::int64_t visitors = 0;
  while (auto circuit = co_await circuits.next()) {
    Fragment welcome(0, self.url().to_string(), "welcome");
    welcome.part = ++visitors;
    co_await circuit->send(std::move(welcome));
    circuit->close();
  }
}

awaitable<void> visit(Node& node, std::string name, std::string there) {
  const std::shared_ptr<LocalPeer> me = node.new_peer(name);
  Circuit circuit = me->join_or_start(there, "room", std::nullopt);
  co_await circuit.accepted(); // the one round trip, needed only to know at once which instance it is
  const std::optional<Fragment> welcome = co_await circuit.receive();
  std::cout << name << " is visitor " << welcome.value().part << " of room " << circuit.remote_peer().id.to_string()
            << std::endl;
}

// The same by the URL of one instance, which may have been passed on by others.
awaitable<void> visit_by_url(Node& node, std::string name, PeerUrl url) {
  const std::shared_ptr<LocalPeer> me = node.new_peer(name);
  Circuit circuit = me->new_circuit(url);
  const std::optional<Fragment> welcome = co_await circuit.receive();
  std::cout << name << " is visitor " << welcome.value().part << " of room " << url.peer_id().to_string() << std::endl;
}

awaitable<void> program(Node& host, Node& anna, Node& ben) {
  const std::string there = host.listen("tcp://127.0.0.1:0");
  co_await visit(anna, "anna", there); // starts the room
  co_await visit(ben, "ben", there);   // joins it

  // A guest that insists on a room of its own is told that there is one already.
  try {
    co_await ben.new_peer("ben")->start_only(there, "room", std::chrono::seconds(5));
  } catch (const boost::system::system_error& refusal) {
    std::cout << "a second room is refused: " << refusal.what() << std::endl;
  }
  co_await visit_by_url(ben, "ben", host.local_peers("room").at(0)->url());

  co_await anna.close();
  co_await ben.close();
  co_await host.close();
}

} // namespace

int main() {
  asio::io_context io(1);
  Node host(io.get_executor());
  Node anna(io.get_executor());
  Node ben(io.get_executor());
  host.register_service("room", room, 1); // at most one instance
  return run(io, program(host, anna, ben));
}

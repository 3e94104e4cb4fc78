// Five nodes and one room: each registers the same processor, none is a server, and no code is about connections.
#include "examples/run.hpp"
#include "peer/channel/network.hpp"

#include <functional>
#include <iostream>
#include <vector>

using namespace trunkline;

// Every node prints each message. The sender is known from the connection, not from the message.
awaitable<void> hear(std::string name, int* heard, NodeId, Message message) {
  std::cout << name << " heard: " << message.payload.text() << std::endl;
  ++*heard;
  co_return;
}

struct Person {
  std::string name;
  int heard = 0;
  std::shared_ptr<Network> network;
  Conduit room;
};

awaitable<void> chat(std::vector<Person>& people) {
  for (Person& person : people) co_await person.network->ready(); // it listens
  for (Person& person : people)
    for (Person& other : people)
      if (&other != &person)
        person.network->address_book().add(other.network->local_id(), other.network->addresses().front());

  for (Person& speaker : people) { // each says one thing to all others, and waits until they have it
    BroadcastOptions options;
    options.acked = true;
    const auto everybody = speaker.network->address_book().nodes();
    const auto results = co_await speaker.room.broadcast(everybody, "hello from " + speaker.name, options);
    for (const SendResult& result : results)
      if (!result) std::cout << speaker.name << " failed: " << result.text << std::endl;
  }
  for (Person& person : people) {
    const NetworkMetrics metrics = person.network->metrics();
    std::cout << person.name << " heard " << person.heard << " over "
              << metrics.connections_inbound + metrics.connections_outbound << " connections" << std::endl;
  }
  for (Person& person : people) co_await person.network->stop();
}

int main() {
  asio::io_context io(1);
  std::vector<Person> people;
  for (const char* name : {"anna", "ben", "cleo", "dan", "eva"}) people.push_back(Person{name, 0, nullptr, {}});
  for (Person& person : people) {
    NetworkOptions options;
    options.listen = {"tcp://127.0.0.1:0"};
    person.network = std::make_shared<Network>(io.get_executor(), std::move(options));
    person.room = person.network->register_processor("room", std::bind_front(hear, person.name, &person.heard));
    person.network->start();
  }
  return run(io, chat(people));
}

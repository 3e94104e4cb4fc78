// Several networks in a simulated world: virtual time, so that deadlines cost nothing, and links that a test can break.
#pragma once

#include "async/signal.hpp"
#include "async/tasks.hpp"
#include "peer/channel/network.hpp"
#include "tests/support/log_lines.hpp"
#include "transport/sim/world.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace trunkline::test {

using namespace std::chrono_literals;

/// Remembers what a processor was given, and lets a test wait for it.
class Recorder {
 public:
  struct Heard {
    NodeId origin;
    std::string text;
  };

  Processor processor() {
    return [this](NodeId origin, Message message) { return hear(origin, std::move(message)); };
  }
  awaitable<void> at_least(std::size_t count) {
    while (heard.size() < count) co_await changed.wait();
  }
  std::size_t count(const std::string& text) const {
    return static_cast<std::size_t>(
        std::count_if(heard.begin(), heard.end(), [&](const Heard& one) { return one.text == text; }));
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> all;
    for (const Heard& one : heard) all.push_back(one.text);
    return all;
  }

  std::vector<Heard> heard;
  bool blocked = false; // every message waits in its processor
  std::size_t inside = 0;
  bool throws = false;
  Signal changed;

  void unblock() {
    blocked = false;
    changed.notify_all();
  }

 private:
  awaitable<void> hear(NodeId origin, Message message) {
    ++inside;
    changed.notify_all();
    struct Leaving {
      std::size_t& inside;
      ~Leaving() { --inside; }
    } const leaving{inside};
    while (blocked) co_await changed.wait();
    if (throws) throw std::runtime_error("the processor is broken");
    heard.push_back({origin, std::string(message.payload.text())});
    changed.notify_all();
  }
};

class Town {
 public:
  using Tweak = std::function<void(NetworkOptions&)>;

  explicit Town(std::uint64_t seed = 1) : world(seed) {}
  ~Town() {
    networks.clear(); // what still runs goes with the world
  }

  /// A network that listens on "sim://NAME" and is started; nobody knows it yet.
  std::shared_ptr<Network> make(const std::string& name, const Tweak& tweak = {}) {
    NetworkOptions options;
    options.node.name = name;
    options.node.media["sim"] = world.medium(name);
    options.node.random = world.random(name);
    options.node.log = log.sink(name);
    options.listen = {"sim://" + name};
    if (tweak) tweak(options);
    auto network = std::make_shared<Network>(world.executor(), std::move(options));
    network->start();
    networks.push_back(network);
    world.run(network->ready());
    return network;
  }
  /// Everybody knows where everybody is.
  void introduce() {
    for (const auto& one : networks)
      for (const auto& other : networks)
        if (one != other && !other->addresses().empty())
          one->address_book().add(other->local_id(), other->addresses().front());
  }
  /// Stops all; the world must then be at rest.
  void stop() {
    for (const auto& network : networks) world.run(network->stop());
    for (const auto& network : networks) CHECK(network->is_done());
    CHECK(world.connections_open() == 0);
    networks.clear();
    world.run_for(1s);
    CHECK(world.idle());
  }

  sim::World world;
  std::vector<std::shared_ptr<Network>> networks;
  LogLines log;
};

/// Two networks that know each other, with a recorder each on channel "chat".
struct Couple : Town {
  explicit Couple(const Tweak& tweak = {}) {
    one = make("one", tweak);
    other = make("other", tweak);
    introduce();
    from_one = one->register_processor("chat", at_one.processor());
    from_other = other->register_processor("chat", at_other.processor());
  }

  SendResult send(std::string text, Duration deadline = Duration::zero()) {
    return run(from_one.send(other->local_id(), Message(std::string_view(text)), deadline));
  }
  template <class T> T run(awaitable<T> operation) {
    std::optional<T> value;
    world.run(keep(std::move(operation), &value));
    return std::move(*value);
  }
  void run(awaitable<void> operation) { world.run(std::move(operation)); }
  void settle(Duration time = 100ms) { world.run_for(time); }
  void stop() {
    from_one.close();
    from_other.close();
    Town::stop();
  }

  Recorder at_one;
  Recorder at_other;
  std::shared_ptr<Network> one;
  std::shared_ptr<Network> other;
  Conduit from_one;
  Conduit from_other;

 private:
  template <class T> static awaitable<void> keep(awaitable<T> operation, std::optional<T>* value) {
    value->emplace(co_await std::move(operation));
  }
};

inline std::uint64_t failures(const Traffic& traffic, SendError why) {
  return traffic.send_failures[static_cast<std::size_t>(why)];
}

} // namespace trunkline::test

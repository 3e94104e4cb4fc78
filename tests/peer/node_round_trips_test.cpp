// How often both sides wait for each other before a service has the first fragment of a circuit for which its node was
// dialled. Counted in flights of a simulated link: each takes the same virtual time, and nothing else takes any.
#include "peer/node.hpp"
#include "transport/identity.hpp"
#include "transport/sim/world.hpp"
#include "transport/tls.hpp"
#include "transport/web_socket.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace trunkline::sim {
namespace {

constexpr Duration flight = std::chrono::milliseconds(50);

enum class Way { tcp, tls, web_socket, web_socket_over_tls };

std::shared_ptr<Identity> identity_of(const IdentityKey& own, const IdentityKey& other) {
  TrustOptions trust;
  trust.pins.push_back(other.id());
  return std::make_shared<Identity>(own, std::move(trust));
}

std::shared_ptr<Medium> medium_of(Way way, const std::shared_ptr<Medium>& below,
                                  const std::shared_ptr<Identity>& identity) {
  switch (way) {
    case Way::tcp: return below;
    case Way::tls: return make_tls_medium(identity, below);
    case Way::web_socket: return make_web_socket_medium(WebSocketOptions(), below, "ws");
    case Way::web_socket_over_tls: return make_web_socket_tls_medium(identity, WebSocketOptions(), nullptr, below);
  }
  return nullptr;
}

struct Arrival {
  std::string text;
  Duration at{};
};

awaitable<void> say_hello(Node& here, std::string address) {
  const auto me = here.new_peer("asker");
  Circuit circuit = me->join_or_start(std::move(address), "greeted", Fragment(1, "hello"));
  circuit.finish();
  co_await circuit.receive(); // its end
}

/// Whole round trips that are over when the flight with the fragment begins.
int round_trips(Way way) {
  LinkOptions links;
  links.delay = flight;
  links.jitter = Duration::zero();
  World world(7, links);
  const IdentityKey one = IdentityKey::draw();
  const IdentityKey other = IdentityKey::draw();
  const auto options_for = [&](const std::string& host, const IdentityKey& own, const IdentityKey& theirs) {
    NodeOptions options;
    const bool is_encrypted = way == Way::tls || way == Way::web_socket_over_tls;
    if (is_encrypted) options.identity = identity_of(own, theirs);
    const std::shared_ptr<Medium> medium = medium_of(way, world.medium(host), options.identity);
    options.media[std::string(medium->scheme())] = medium;
    options.random = world.random(host);
    return options;
  };
  Node alpha(world.executor(), options_for("alpha", one, other));
  Node beta(world.executor(), options_for("beta", other, one));
  Arrival arrival;
  beta.serve("greeted", [&](Circuit circuit) {
    auto take = [](Circuit from, World& in, Arrival& into) -> awaitable<void> {
      const std::optional<Fragment> first = co_await from.receive();
      into.text = first ? first->payload.text() : "(end)";
      into.at = in.elapsed();
    };
    return take(std::move(circuit), world, arrival);
  });
  const std::string scheme = way == Way::web_socket ? "ws" : way == Way::web_socket_over_tls ? "wss" : "sim";
  const std::string address = beta.listen(scheme + "://beta");
  world.run(say_hello(alpha, address));
  CHECK(arrival.text == "hello");
  CHECK(arrival.at % flight == Duration::zero());
  return static_cast<int>((arrival.at / flight - 1) / 2);
}

} // namespace

TEST_CASE("node: from a dial to the first fragment pass 1 round trip over tcp, 2 over tls or ws, 3 over wss") {
  CHECK(round_trips(Way::tcp) == 1);
  CHECK(round_trips(Way::tls) == 2);
  CHECK(round_trips(Way::web_socket) == 2);
  CHECK(round_trips(Way::web_socket_over_tls) == 3);
}

} // namespace trunkline::sim

// TLS over simulated links: what every transport must do, at any delay and cut into single bytes, and how many round
// trips there are before the first byte.
#include "tests/support/seed.hpp"
#include "tests/transport/conformance.hpp"
#include "transport/sim/world.hpp"
#include "transport/tls.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include <chrono>
#include <memory>
#include <string>

namespace trunkline::test {
namespace {

using namespace asio::experimental::awaitable_operators;

std::shared_ptr<Medium> encrypted(const std::shared_ptr<Medium>& below, const IdentityKey& own, const IdentityKey& other) {
  TrustOptions trust;
  trust.pins.push_back(other.id());
  return make_tls_medium(std::make_shared<Identity>(own, std::move(trust)), below);
}

class TlsOverSim : public MediumUnderTest {
 public:
  explicit TlsOverSim(sim::LinkOptions links = sim::LinkOptions()) : world_(test_seed(), links) {
    const IdentityKey one = IdentityKey::draw();
    const IdentityKey other = IdentityKey::draw();
    alpha_ = encrypted(world_.medium("alpha"), one, other);
    beta_ = encrypted(world_.medium("beta"), other, one);
  }
  asio::io_context& io() override { return world_.io(); }
  Medium& dialling() override { return *alpha_; }
  Medium& listening() override { return *beta_; }
  std::string address() override { return "sim://beta:" + std::to_string(++listeners_); }
  std::string address_of_nobody() override { return "sim://beta:nobody"; }
  bool tells_a_cut() const override { return true; }
  void run() override { world_.run(); }
  void run_some() override { world_.step(); }

 private:
  sim::World world_;
  std::shared_ptr<Medium> alpha_;
  std::shared_ptr<Medium> beta_;
  int listeners_ = 0;
};

sim::LinkOptions byte_by_byte() {
  sim::LinkOptions options;
  options.delay = Duration::zero();
  options.split = sim::Split::every_byte;
  return options;
}

class TlsByteByByte final : public TlsOverSim {
 public:
  TlsByteByByte() : TlsOverSim(byte_by_byte()) {}
};

constexpr std::chrono::milliseconds one_way{50};

awaitable<void> answer(Listener* listener, sim::World* world, Duration* first_byte_at) {
  const auto transport = co_await listener->accept();
  co_await transport->handshake();
  std::byte byte{};
  co_await transport->read_some(std::span(&byte, 1));
  *first_byte_at = world->elapsed();
}

awaitable<void> dial_and_say(Medium* medium) {
  const auto transport = co_await medium->dial("sim://beta");
  const std::byte byte{1};
  const std::span<const std::byte> piece(&byte, 1);
  co_await transport->write(std::span(&piece, 1));
  std::byte end{};
  co_await transport->read_some(std::span(&end, 1));
}

/// From the dial until the first byte is there, in round trips; the last half is the byte's own way.
double round_trips(bool is_encrypted) {
  sim::LinkOptions links;
  links.delay = one_way;
  links.jitter = Duration::zero();
  sim::World world(7, links);
  const IdentityKey one = IdentityKey::draw();
  const IdentityKey other = IdentityKey::draw();
  std::shared_ptr<Medium> alpha = world.medium("alpha");
  std::shared_ptr<Medium> beta = world.medium("beta");
  if (is_encrypted) {
    alpha = encrypted(alpha, one, other);
    beta = encrypted(beta, other, one);
  }
  const auto listener = beta->listen(world.executor(), "sim://beta");
  Duration first_byte_at{};
  asio::co_spawn(world.io(), answer(listener.get(), &world, &first_byte_at), [](std::exception_ptr) {});
  asio::co_spawn(world.io(), dial_and_say(alpha.get()), [](std::exception_ptr) {});
  world.run();
  return std::chrono::duration<double>(first_byte_at) / std::chrono::duration<double>(2 * one_way);
}

} // namespace

TRUNKLINE_TRANSPORT_CONFORMS("tls over simulated links", TlsOverSim)
TRUNKLINE_TRANSPORT_CHECK("tls over single bytes", TlsByteByByte, "every byte arrives once and in order", check_order)

TEST_CASE("tls over simulated links: two round trips pass before the first byte, of which TLS is one") {
  CHECK(round_trips(false) == doctest::Approx(1.5).epsilon(0.05));
  CHECK(round_trips(true) == doctest::Approx(2.5).epsilon(0.05));
}

} // namespace trunkline::test

#include "tests/support/seed.hpp"
#include "tests/transport/conformance.hpp"
#include "transport/sim/world.hpp"

#include <string>

namespace trunkline::test {
namespace {

class SimUnderTest : public MediumUnderTest {
 public:
  explicit SimUnderTest(sim::LinkOptions links = sim::LinkOptions()) : world_(test_seed(), links) {}

  asio::io_context& io() override { return world_.io(); }
  Medium& dialling() override { return *alpha_; }
  Medium& listening() override { return *beta_; }
  std::string address() override { return "sim://beta:" + std::to_string(++listeners_); }
  std::string address_of_nobody() override { return "sim://beta:nobody"; }
  void run() override { world_.run(); }
  void run_some() override { world_.step(); }

 private:
  sim::World world_;
  std::shared_ptr<Medium> alpha_ = world_.medium("alpha");
  std::shared_ptr<Medium> beta_ = world_.medium("beta");
  int listeners_ = 0;
};

sim::LinkOptions slow_and_narrow() {
  sim::LinkOptions options;
  options.delay = std::chrono::milliseconds(80);
  options.jitter = std::chrono::milliseconds(40);
  options.bytes_per_second = 1'000'000;
  options.buffer_bytes_max = 3000;
  return options;
}

class SlowSimMedium final : public SimUnderTest {
 public:
  SlowSimMedium() : SimUnderTest(slow_and_narrow()) {}
};

sim::LinkOptions byte_by_byte() {
  sim::LinkOptions options;
  options.delay = Duration::zero();
  options.split = sim::Split::every_byte;
  return options;
}

class ByteSimMedium final : public SimUnderTest {
 public:
  ByteSimMedium() : SimUnderTest(byte_by_byte()) {}
};

} // namespace

TRUNKLINE_TRANSPORT_CONFORMS("simulated", SimUnderTest)
TRUNKLINE_TRANSPORT_CHECK("slow simulated", SlowSimMedium, "every byte arrives once and in order", check_order)
TRUNKLINE_TRANSPORT_CHECK("slow simulated", SlowSimMedium, "the end is seen after every byte before it",
                          check_end_is_seen_after_the_bytes)
TRUNKLINE_TRANSPORT_CHECK("byte-wise simulated", ByteSimMedium, "every byte arrives once and in order", check_order)

} // namespace trunkline::test

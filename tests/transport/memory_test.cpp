#include "transport/memory.hpp"

#include "tests/transport/conformance.hpp"

#include <string>

namespace trunkline::test {
namespace {

class MemoryUnderTest : public MediumUnderTest {
 public:
  explicit MemoryUnderTest(std::size_t buffer_bytes_max = MemoryMedium::buffer_bytes_default)
      : medium_(buffer_bytes_max) {}
  asio::io_context& io() override { return io_; }
  Medium& dialling() override { return medium_; }
  Medium& listening() override { return medium_; }
  std::string address() override { return "mem://alpha" + std::to_string(++listeners_); }
  std::string address_of_nobody() override { return "mem://nobody"; }

 private:
  asio::io_context io_{1};
  MemoryMedium medium_;
  int listeners_ = 0;
};

class NarrowMemoryMedium final : public MemoryUnderTest {
 public:
  NarrowMemoryMedium() : MemoryUnderTest(7) {}
};

} // namespace

TRUNKLINE_TRANSPORT_CONFORMS("memory", MemoryUnderTest)
TRUNKLINE_TRANSPORT_CHECK("narrow memory", NarrowMemoryMedium, "every byte arrives once and in order", check_order)
TRUNKLINE_TRANSPORT_CHECK("narrow memory", NarrowMemoryMedium, "a write takes any number of pieces", check_many_pieces)

TEST_CASE("memory: media do not know each other's names") {
  asio::io_context io(1);
  MemoryMedium one;
  MemoryMedium other;
  const auto in_one = one.listen(io.get_executor(), "mem://alpha");
  const auto in_other = other.listen(io.get_executor(), "mem://alpha");
  CHECK(in_one->address() == in_other->address());
}

} // namespace trunkline::test

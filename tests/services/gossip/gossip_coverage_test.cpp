// Every size of book from 1 to 200 over real circuits: a broadcast by the default strategy reaches every node exactly
// once, whoever originates.
#include "tests/services/gossip/village.hpp"
#include "tests/support/coroutine.hpp"

#include <boost/asio/io_context.hpp>

using namespace trunkline;
using namespace trunkline::test;

namespace {

void covers(std::uint32_t first, std::uint32_t last) {
  for (std::uint32_t size = first; size <= last; ++size) {
    CAPTURE(size);
    const std::uint32_t origin = size % 3 == 0 ? 0 : size % 3 == 1 ? size / 2 : size - 1; // first, in the middle, last
    asio::io_context io(1);
    run_coroutine(io, plays_default(io, size, origin, std::string(gossip::Strategy::default_names)));
  }
}

} // namespace

// In parts of about the same length, so that none takes as long as a hang.
TEST_CASE("coverage: over circuits the default strategy reaches each of 1 to 80 nodes exactly once") { covers(1, 80); }
TEST_CASE("coverage: over circuits the default strategy reaches each of 81 to 115 nodes exactly once") {
  covers(81, 115);
}
TEST_CASE("coverage: over circuits the default strategy reaches each of 116 to 140 nodes exactly once") {
  covers(116, 140);
}
TEST_CASE("coverage: over circuits the default strategy reaches each of 141 to 160 nodes exactly once") {
  covers(141, 160);
}
TEST_CASE("coverage: over circuits the default strategy reaches each of 161 to 180 nodes exactly once") {
  covers(161, 180);
}
TEST_CASE("coverage: over circuits the default strategy reaches each of 181 to 200 nodes exactly once") {
  covers(181, 200);
}

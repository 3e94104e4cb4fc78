// Two trunks joined: the input chooses what both applications do and how the bytes between them are cut. The reference
// model of the machine's own tests watches order, credit, memory and endings, and every part of both machines its own
// sums (circuit/invariant.hpp).

#include "tests/circuit/native/choices.hpp"
#include "tests/circuit/native/random_conversation.hpp"
#include "tests/circuit/machine_pair.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace trunkline::test;
  // Short and with the smallest memory: hundreds of conversations a second find more than a few long ones.
  ByteChoices choices(std::span<const std::uint8_t>(data, size));
  trunkline::Limits limits;
  limits.fragment_bytes_max = 160 * 1024; // three frames
  limits.trunk_memory_bytes_max = 2 << 20;
  limits.circuit_window_bytes_max = 256 * 1024;
  limits.send_queue_bytes_max = 128 * 1024;
  try {
    MachinePair pair(limits, limits);
    ConversationOptions options;
    options.fragment_bytes_max = limits.fragment_bytes_max; // what is larger is refused, and not a finding
    options.sums = choices.one_in(16);
    options.losses = !choices.one_in(4);
    Conversation conversation(choices, pair, options);
    conversation.expect_memory_below(limits.trunk_memory_bytes_max, limits.trunk_memory_bytes_max);
    for (int round = 0; round < 2 && choices.more(); ++round) {
      conversation.run(150);
      conversation.settle();
    }
  } catch (const std::exception& broken) {
    std::fprintf(stderr, "%s\n", broken.what());
    std::abort();
  }
  return 0;
}

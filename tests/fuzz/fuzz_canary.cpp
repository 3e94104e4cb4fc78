// Must fail: shows that the fuzzer, and the replay, notice a target that breaks.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size >= 2 && data[0] == 'B' && data[1] > 0x40 && data[1] < 0x60) std::abort();
  return 0;
}

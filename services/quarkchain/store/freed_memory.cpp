#include "services/quarkchain/store/freed_memory.hpp"

#include <cstdlib>
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace trunkline::quarkchain {

void give_back_freed_memory() noexcept {
#ifdef __GLIBC__
  (void)::malloc_trim(0);
#endif
}

} // namespace trunkline::quarkchain

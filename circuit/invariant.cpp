#include "circuit/invariant.hpp"

#include <cstdio>
#include <cstdlib>

namespace trunkline {

void report_broken_invariant(const char* what) {
  if (on_broken_invariant) return on_broken_invariant(what);
  std::fprintf(stderr, "broken invariant: %s\n", what);
  std::abort();
}

} // namespace trunkline

// A bug in the library itself, for as long as this lives: the part named here miscounts by one. What check() says about
// it is thrown instead of ending the process. Only in builds with planted bugs (-Dplanted_bugs=true).
#pragma once

#include "circuit/invariant.hpp"

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace trunkline::test {

#ifdef TRUNKLINE_PLANTED_BUGS

struct BrokenInvariant : std::logic_error {
  using logic_error::logic_error;
};

class PlantedBug {
 public:
  explicit PlantedBug(std::string_view part) {
    planted_bug = part;
    on_broken_invariant = [](const char* what) { throw BrokenInvariant(what); };
  }
  PlantedBug(const PlantedBug&) = delete;
  PlantedBug& operator=(const PlantedBug&) = delete;
  ~PlantedBug() {
    planted_bug = {};
    on_broken_invariant = nullptr;
  }
};

/// What check() says first about the bug during `input`; empty when it says nothing. It is noted and not thrown: it is
/// said in a destructor, when the result of the input is made already, and clang does not destroy that result then.
/// What says it without end, because the bug keeps it from coming to one, is stopped by a throw.
template <class Input> std::string noticed(std::string_view part, Input input) {
  static std::string said;
  const PlantedBug bug(part);
  static int times;
  on_broken_invariant = [](const char* what) {
    if (said.empty()) said = what;
    if (++times > 1000) throw BrokenInvariant(what);
  };
  said.clear();
  times = 0;
  try {
    input();
  } catch (const std::exception&) { // a test's own checks see the bug after that
    if (said.empty()) throw;
  }
  return said;
}

#endif

} // namespace trunkline::test

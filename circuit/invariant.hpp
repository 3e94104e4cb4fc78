// The invariants of the parts of a machine. Each part states its inequality in `check()`; a machine calls the checks of
// its parts after every input, in builds with assertions.
#pragma once

#include <cstddef>
#include <exception>
#include <string_view>

namespace trunkline {

/// Receives an inequality that does not hold. Null, the default: it is printed and the process aborts. For a test that
/// plants a bug: it may throw.
inline void (*on_broken_invariant)(const char* what) = nullptr;
void report_broken_invariant(const char* what);

inline void invariant(bool holds, const char* what) {
  if (!holds) [[unlikely]]
    report_broken_invariant(what);
}

/// Bugs in the library itself, for tests that show that `check()` notices them: the part named here miscounts by one.
#ifdef TRUNKLINE_PLANTED_BUGS
inline std::string_view planted_bug;
inline int off_by_one(std::string_view part) noexcept { return planted_bug == part ? 1 : 0; }
#else
constexpr int off_by_one(std::string_view) noexcept { return 0; }
#endif

/// When a machine checks its parts: after each outermost input, and never again after an input that threw (out of
/// memory), because the sums may be half done then.
class Checks {
 public:
  /// Whether to look at every circuit, too: once in as many inputs as there is to look at, so that an input costs no
  /// more than a constant.
  bool is_full(std::size_t weight) noexcept {
    if (++inputs_ <= weight / 16) return false;
    inputs_ = 0;
    return true;
  }

 private:
  template <class Machine> friend class CheckedInput;

  std::size_t inputs_ = 0;
  int depth_ = 0;
  bool given_up_ = false;
};

/// One input to a machine: calls `check()` at its end, in builds with assertions.
#ifdef NDEBUG
template <class Machine> class CheckedInput {
 public:
  CheckedInput(Machine&, Checks&) noexcept {}
  ~CheckedInput() {}
};
#else
template <class Machine> class CheckedInput {
 public:
  CheckedInput(Machine& machine, Checks& checks)
      : machine_(machine), checks_(checks), exceptions_(std::uncaught_exceptions()) {
    ++checks_.depth_;
  }
  CheckedInput(const CheckedInput&) = delete;
  CheckedInput& operator=(const CheckedInput&) = delete;
  ~CheckedInput() noexcept(false) {
    --checks_.depth_;
    if (std::uncaught_exceptions() > exceptions_) checks_.given_up_ = true;
    if (checks_.depth_ == 0 && !checks_.given_up_) machine_.check();
  }

 private:
  Machine& machine_;
  Checks& checks_;
  int exceptions_;
};
#endif

} // namespace trunkline

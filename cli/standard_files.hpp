// Standard input, output and error, which whoever starts a program may have closed.
#pragma once

#include <fcntl.h>
#include <unistd.h>

namespace trunkline::cli {

/// Gives each of the three that is closed something to be, so that no file or connection that is opened later gets its
/// number and, with it, what is printed. What is printed to a closed one fails: it can be read only. Call it first.
inline void occupy_standard_files() noexcept {
  for (int number = 0; number <= 2; ++number) {
    if (::fcntl(number, F_GETFD) >= 0) continue;
    // The lowest number that is free; a program started from here needs one there, too.
    const int opened = ::open("/dev/null", O_RDONLY); // lint-allow: a standard file is inherited
    if (opened >= 0 && opened != number) ::close(opened);
  }
}

} // namespace trunkline::cli

// SRC and DST of a sync: a local path, or an address with a path below what is served there.
#pragma once

#include <string>
#include <string_view>

namespace trunkline::cli {

struct Place {
  std::string address; // empty: local
  std::string path;    // local: as given; remote: relative to the served root, "" is the root itself

  bool local() const noexcept { return address.empty(); }
};

/// tcp://HOST:PORT[/PATH], unix:SOCKET[!/PATH], or a local path. Errors: std::invalid_argument that says what was
/// expected.
Place parse_place(std::string_view text);

/// Whether only this machine can connect to what listens there.
bool is_loopback(std::string_view address);

} // namespace trunkline::cli

// SRC and DST of a command line.
#pragma once

#include <string>
#include <string_view>

namespace trunkline::cli {

/// A path here, or an address of a node and a path below its root.
struct Location {
  std::string address; // empty: here
  std::string path;    // there: without a slash at either end; "" is the root

  bool is_remote() const noexcept { return !address.empty(); }
};

/// tcp://host:port/path and unix:/run/socket!/path are there; everything else is a path here ("./unix:x" is one, too),
/// unless its first component holds a colon, as in "host:path".
/// Errors: UsageError; error::bad_url.
Location parse_location(std::string_view text);

/// Whether only this machine can reach a listening address.
bool is_local_only(std::string_view address);

} // namespace trunkline::cli

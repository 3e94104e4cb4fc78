// SRC and DST of a command line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace trunkline::cli {

/// A path here, or an address of a node and a path below its root.
struct Location {
  std::string address; // empty: here
  std::string path;    // there: without a slash at either end; "" is the root
  std::vector<std::string> command; // starts the other node, and its standard input and output lead there

  bool is_remote() const noexcept { return !address.empty(); }
};

/// How another machine is entered, and what is started there.
struct RemoteShell {
  std::string command = "ssh"; // with options, separated by blanks
  std::string program = "trunkline";
};

/// tcp://host:port/path and unix:/run/socket!/path are there; everything else is a path here ("./unix:x" is one, too),
/// unless its first component holds a colon, as in "host:path".
/// Errors: UsageError; error::bad_url.
/// ssh://[user@]host[:port]/path is where a shell on another machine leads: /path there, or ~/path from its home.
Location parse_location(std::string_view text, const RemoteShell& shell = {});

/// The address of a node as a user types it: tcp:// may be left out. Errors: UsageError; error::bad_url.
std::string parse_address(const std::string& word);

/// How locations on other nodes are written: "tcp://host:port/path or tls://host:port/path or unix:/path!/path".
std::string location_forms(std::string_view conjunction = "or");
/// How the addresses of nodes are written: "tcp://host:port or unix:/path".
std::string address_forms(std::string_view conjunction = "or");

/// Refuses to listen on an address that other machines can reach and that nothing encrypts, unless the user allows it.
/// Errors: UsageError; error::bad_url.
void check_listen_address(std::string_view address, bool insecure);
/// The same for an address to be dialled; empty: none.
void check_dial_address(std::string_view address, bool insecure);

} // namespace trunkline::cli

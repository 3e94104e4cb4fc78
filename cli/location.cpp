#include "cli/location.hpp"

#include "cli/exit_code.hpp"
#include "peer/url.hpp"
#include "services/sync/path.hpp"
#include "transport/address.hpp"

#include <algorithm>
#include <charconv>

namespace trunkline::cli {
namespace {

bool is_scheme(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '+';
  });
}

std::string without_slashes(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  return std::string(path);
}

/// 127.a.b.c
bool is_loopback_ipv4(std::string_view host) {
  int count = 0;
  bool loopback = true;
  for (bool more = true; more; ++count) {
    const std::size_t dot = host.find('.');
    const std::string_view part = host.substr(0, dot);
    int value = -1;
    const auto [end, failed] = std::from_chars(part.data(), part.data() + part.size(), value);
    loopback = loopback && failed == std::errc() && end == part.data() + part.size() && value >= 0 && value <= 255 &&
               (count > 0 || value == 127);
    more = dot != std::string_view::npos;
    if (more) host.remove_prefix(dot + 1);
  }
  return loopback && count == 4;
}

} // namespace

Location parse_location(std::string_view text) {
  if (text.empty()) throw UsageError("a location is a path, tcp://host:port/path or unix:/socket!/path, not \"\"");
  Location location;
  if (text.starts_with("unix:")) {
    const std::size_t mark = text.find('!');
    location.address = text.substr(0, mark);
    if (location.address == "unix:") throw UsageError("\"" + std::string(text) + "\" names no socket");
    if (mark != std::string_view::npos) location.path = without_slashes(text.substr(mark + 1));
    return location;
  }
  const std::size_t mark = text.find("://");
  if (mark == std::string_view::npos || !is_scheme(text.substr(0, mark))) {
    // rsync, scp and rclone read it as a place on another machine, and whoever writes it means that.
    if (text.substr(0, text.find('/')).find(':') != std::string_view::npos)
      throw UsageError("\"" + sync::printable(text) + "\" names no place here: another node is tcp://host:port/path " +
                       "or unix:/socket!/path, and a path with a colon in its first component begins with ./");
    location.path = text;
    return location;
  }
  if (text.substr(0, mark) != "tcp")
    throw UsageError("scheme of \"" + sync::printable(text) + "\" is neither tcp:// nor unix:");
  const std::size_t slash = text.find('/', mark + 3);
  location.address = text.substr(0, slash);
  parse_host_port(location.address, "tcp"); // throws what is wrong with it
  if (slash != std::string_view::npos) location.path = without_slashes(text.substr(slash));
  return location;
}

bool is_local_only(std::string_view address) {
  if (address.starts_with("unix:")) return true;
  const std::string_view host = host_of(address);
  return host == "localhost" || host == "::1" || is_loopback_ipv4(host);
}

} // namespace trunkline::cli

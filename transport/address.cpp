#include "transport/address.hpp"

#include "fragment/error.hpp"
#include "transport/failure.hpp"

#include <charconv>

namespace trunkline {
namespace {

[[noreturn]] void fail(std::string_view address, std::string_view expected) {
  throw_transport_text(make_error_code(error::bad_url),
                       "address \"" + std::string(address) + "\" is not " + std::string(expected));
}

} // namespace

HostPort parse_host_port(std::string_view address, std::string_view scheme) {
  const std::string expected = std::string(scheme) + "://host:port";
  const std::string prefix = std::string(scheme) + "://";
  if (!address.starts_with(prefix)) fail(address, expected);
  const std::string_view rest = address.substr(prefix.size());

  const std::size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) fail(address, expected);
  std::string_view host = rest.substr(0, colon);
  const std::string_view port = rest.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string_view::npos) fail(address, expected + "; an IPv6 host is written in brackets");
  if (host.empty() || host.find_first_of("/[]@?# ") != std::string_view::npos) fail(address, expected);

  HostPort result;
  const auto parsed = std::from_chars(port.data(), port.data() + port.size(), result.port);
  if (parsed.ec != std::errc() || parsed.ptr != port.data() + port.size() || port.empty())
    fail(address, expected + " with a port from 0 to 65535");
  result.host = host;
  return result;
}

std::string to_address(std::string_view scheme, std::string_view host, std::uint16_t port) {
  std::string text(scheme);
  text += "://";
  if (host.find(':') != std::string_view::npos) text.append("[").append(host).append("]");
  else text += host;
  return text.append(":").append(std::to_string(port));
}

std::string_view parse_after(std::string_view address, std::string_view prefix, std::string_view what) {
  if (!address.starts_with(prefix) || address.size() == prefix.size())
    fail(address, std::string(prefix) + std::string(what));
  return address.substr(prefix.size());
}

} // namespace trunkline

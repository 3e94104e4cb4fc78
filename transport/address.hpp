// Addresses of the host:port kind: "tcp://127.0.0.1:7000", "tcp://[::1]:0", later also tls and ws.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline {

/// The two halves of "host:port"; the host is without the brackets of an IPv6 address.
struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};

/// Splits "SCHEME://host:port". Errors: error::bad_url, `address "tcp:/x" is not tcp://host:port`.
HostPort parse_host_port(std::string_view address, std::string_view scheme);

/// The reverse; puts brackets around a host with a colon.
std::string to_address(std::string_view scheme, std::string_view host, std::uint16_t port);

/// What follows PREFIX ("mem://", "unix:") in an address. Errors: error::bad_url when the prefix differs or nothing
/// follows, `address "mem:x" is not mem://name`.
std::string_view parse_after(std::string_view address, std::string_view prefix, std::string_view what);

} // namespace trunkline

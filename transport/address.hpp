// Addresses as text: "tcp://127.0.0.1:7000", "tcp://[::1]:0", "mem://alpha", "unix:/run/t.sock". The part after the
// scheme is either "//" and an authority, or a path.
#pragma once

#include "fragment/ids.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline {

/// The two halves of "host:port"; the host is without the brackets of an IPv6 address.
struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};

/// Why a text is not host:port.
enum class HostPortFlaw : std::uint8_t {
  none,
  form,            // no colon, no host, or a byte that no host has
  missing_bracket, // '[' without ']'
  bare_ipv6,       // an IPv6 address without brackets
  port,            // no number from 0 to 65535
};

/// Splits "host:port" into `into`, which is changed only when nothing is wrong.
HostPortFlaw parse_host_port(std::string_view authority, HostPort& into);

/// Splits "SCHEME://host:port". Errors: error::bad_url, `address "tcp:/x" is not tcp://host:port`.
HostPort parse_host_port_address(std::string_view address, std::string_view scheme);

/// Makes "SCHEME://host:port", with brackets around a host that contains a colon, unless it has them.
std::string to_address(std::string_view scheme, std::string_view host, std::uint16_t port);

/// The part of an address after PREFIX ("mem://", "unix:"). Errors: error::bad_url when the prefix differs or nothing
/// follows, `address "mem:x" is not mem://name`, where `form` is "mem://name".
std::string_view parse_after(std::string_view address, std::string_view prefix, std::string_view form);

/// The scheme of an address: what stands before its first ':'; empty when it has none.
std::string_view scheme_of(std::string_view address) noexcept;

/// The host of an address like "tcp://host:port", without the brackets of an IPv6 one; empty when it has none.
std::string_view host_of(std::string_view address) noexcept;

/// The address without a pin, "#NODE-ID" at its end.
std::string_view without_pin(std::string_view address) noexcept;

/// Whose key is expected at an address: the id behind its '#'; nothing when it has no '#'. Errors: error::bad_url for
/// one that is followed by anything else.
std::optional<NodeId> pin_of(std::string_view address);

/// The same address with another host. The address must have a host, or at least "//".
std::string with_host(std::string_view address, std::string_view host);

/// Whether the address names all of this machine's hosts instead of one: "tcp://0.0.0.0:7000", "tcp://[::]:7000",
/// "tcp://:7000".
bool is_unspecified(std::string_view address) noexcept;

/// Whether a host is this machine itself: 127.0.0.0/8, ::1, either of them mapped into IPv6, or "localhost". Does not
/// resolve: false for every other name.
bool is_loopback_host(std::string_view host) noexcept;

/// What counts as one place on the network: of an IPv6 host its /64, which one subscriber has to itself; any other host
/// as it is.
std::string network_of(std::string_view host);

} // namespace trunkline

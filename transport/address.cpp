#include "transport/address.hpp"

#include "fragment/error.hpp"
#include "transport/failure.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>
#include <charconv>
#include <optional>

namespace trunkline {
namespace {

namespace ip = boost::asio::ip;

[[noreturn]] void fail(std::string_view address, std::string_view expected) {
  throw_transport_text(make_error_code(error::bad_url),
                       "address \"" + std::string(address) + "\" is not " + std::string(expected));
}

/// The host as an IP address, an IPv4 one also where it is mapped into IPv6; nothing for a name.
std::optional<ip::address> ip_of(std::string_view host) noexcept {
  boost::system::error_code not_numeric;
  const ip::address address = ip::make_address(host, not_numeric);
  if (not_numeric) return std::nullopt;
  if (address.is_v6() && address.to_v6().is_v4_mapped()) return ip::make_address_v4(ip::v4_mapped, address.to_v6());
  return address;
}

} // namespace

HostPortFlaw parse_host_port(std::string_view authority, HostPort& into) {
  const bool bracketed = authority.starts_with('[');
  const std::size_t bracket = bracketed ? authority.find(']') : std::string_view::npos;
  if (bracketed && bracket == std::string_view::npos) return HostPortFlaw::missing_bracket;
  const std::size_t colon = authority.find(':', bracketed ? bracket : 0);
  if (colon == std::string_view::npos) return HostPortFlaw::form;
  std::string_view host = authority.substr(0, colon);
  if (bracketed) {
    if (colon != bracket + 1) return HostPortFlaw::form;
    host = host.substr(1, bracket - 1);
  } else if (authority.find(':', colon + 1) != std::string_view::npos) {
    return HostPortFlaw::bare_ipv6;
  }
  if (host.empty() || host.find_first_of("/[]@?# ") != std::string_view::npos) return HostPortFlaw::form;

  const std::string_view port = authority.substr(colon + 1);
  std::uint16_t number = 0;
  const auto [end, code] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (code != std::errc() || end != port.data() + port.size()) return HostPortFlaw::port;
  into.host = host;
  into.port = number;
  return HostPortFlaw::none;
}

HostPort parse_host_port_address(std::string_view address, std::string_view scheme) {
  const std::string expected = std::string(scheme) + "://host:port";
  const std::string prefix = std::string(scheme) + "://";
  if (!address.starts_with(prefix)) fail(address, expected);
  HostPort result;
  switch (parse_host_port(address.substr(prefix.size()), result)) {
    case HostPortFlaw::none: return result;
    case HostPortFlaw::form:
    case HostPortFlaw::missing_bracket: break;
    case HostPortFlaw::bare_ipv6: fail(address, expected + "; an IPv6 host is written in brackets");
    case HostPortFlaw::port: fail(address, expected + " with a port from 0 to 65535");
  }
  fail(address, expected);
}

std::string to_address(std::string_view scheme, std::string_view host, std::uint16_t port) {
  std::string text(scheme);
  text += "://";
  if (host.find(':') != std::string_view::npos && !host.starts_with('[')) text.append("[").append(host).append("]");
  else text += host;
  return text.append(":").append(std::to_string(port));
}

std::string_view parse_after(std::string_view address, std::string_view prefix, std::string_view form) {
  if (!address.starts_with(prefix) || address.size() == prefix.size()) fail(address, form);
  return address.substr(prefix.size());
}

std::string_view scheme_of(std::string_view address) noexcept {
  const std::size_t colon = address.find(':');
  return colon == std::string_view::npos ? std::string_view() : address.substr(0, colon);
}

std::string_view host_of(std::string_view address) noexcept {
  const std::size_t slashes = address.find("://");
  if (slashes == std::string_view::npos) return {};
  std::string_view host = address.substr(slashes + 3);
  if (host.starts_with('[') && host.find(']') != std::string_view::npos) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find_first_of(":/"));
}

std::string_view without_pin(std::string_view address) noexcept { return address.substr(0, address.find('#')); }

std::optional<NodeId> pin_of(std::string_view address) {
  const std::size_t mark = address.find('#');
  if (mark == std::string_view::npos) return std::nullopt;
  const std::optional<NodeId> id = NodeId::parse(address.substr(mark + 1));
  if (!id || id->empty())
    throw_transport_text(make_error_code(error::bad_url),
                         "address \"" + std::string(address) + "\" does not end in #NODE-ID, the 22 characters of a node's id");
  return id;
}

std::string with_host(std::string_view address, std::string_view host) {
  const std::size_t begin = address.find("://") + 3;
  const bool bracketed = address.substr(begin).starts_with('[');
  const std::size_t end = bracketed ? address.find(']', begin) + 1 : address.find_first_of(":/", begin);
  std::string replaced(address.substr(0, begin));
  const bool needs_brackets = host.find(':') != std::string_view::npos;
  replaced += needs_brackets ? '[' + std::string(host) + ']' : std::string(host);
  if (end != std::string_view::npos) replaced += address.substr(end);
  return replaced;
}

bool is_unspecified(std::string_view address) noexcept {
  if (address.find("://") == std::string_view::npos) return false;
  const std::string_view host = host_of(address);
  if (host.empty() || host == "*") return true;
  const auto ip = ip_of(host);
  return ip && ip->is_unspecified();
}

bool is_loopback_host(std::string_view host) noexcept {
  if (host == "localhost") return true;
  const auto ip = ip_of(host);
  return ip && ip->is_loopback();
}

std::string network_of(std::string_view host) {
  const auto ip = ip_of(host);
  if (!ip) return std::string(host);
  if (ip->is_v4()) return ip->to_string();
  auto bytes = ip->to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), 0);
  return ip::address_v6(bytes).to_string() + "/64";
}

} // namespace trunkline

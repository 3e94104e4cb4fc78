// Where a host of the configuration is dialled: an IPv6 address stands there with brackets or without.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline::quarkchain {

/// "tcp://10.0.0.7:38000", "tcp://[::1]:38000".
inline std::string tcp_address(std::string_view host, std::uint16_t port) {
  const bool bare = host.find(':') != std::string_view::npos && !host.starts_with('[');
  return bare ? fmt::format("tcp://[{}]:{}", host, port) : fmt::format("tcp://{}:{}", host, port);
}

} // namespace trunkline::quarkchain

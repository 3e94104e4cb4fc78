// The address of a node that a configuration, or a message, names by a host and a port.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trunkline::quarkchain {

/// "tcp://HOST:PORT". A host may say another medium of ports and, where that has them, whose key is expected:
/// "SCHEME://HOST" and "SCHEME://HOST#NODE-ID" give "SCHEME://HOST:PORT#NODE-ID".
std::string cluster_address(std::string_view host, std::uint16_t port);

/// Where the node of such a host listens: on all interfaces, over the medium that the host says.
std::string cluster_listen_address(std::string_view host, std::uint16_t port);

} // namespace trunkline::quarkchain

// TCP: "tcp://host:port", where a host is a name, an IPv4 address or an IPv6 address in brackets.
#pragma once

#include "transport/medium.hpp"
#include "transport/names.hpp"
#include "transport/socket_options.hpp"

#include <memory>
#include <string_view>

namespace trunkline {

/// Dials all addresses of a name until one answers, the next one after `next_address_delay`; the text of a failure
/// names those that were tried. A dial that is cancelled is over at once, whatever the system's resolver does.
/// Listening on port 0 picks a free port; listening on a name blocks while it is resolved, at most for
/// `resolve_deadline`. `names` resolves them; the system's unless given. `scheme`: of its addresses, for a medium that
/// puts a protocol of its own on top and passes addresses and error texts through.
std::shared_ptr<Medium> make_tcp_medium(TcpOptions options = TcpOptions(), std::shared_ptr<Names> names = nullptr,
                                        std::string_view scheme = "tcp");

} // namespace trunkline

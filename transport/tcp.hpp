// TCP: "tcp://host:port", where a host is a name, an IPv4 address or an IPv6 address in brackets.
#pragma once

#include "transport/medium.hpp"

#include <memory>

namespace trunkline {

/// Dials the addresses of a name in turn until one answers; sets nodelay and keepalive on every connection. Listening
/// on port 0 picks a free port; listening on a name blocks while it is resolved. A cancelled dial returns at once, but
/// a name that is still being resolved keeps the context's run() from returning until the system's resolver has
/// answered.
std::shared_ptr<Medium> make_tcp_medium();

} // namespace trunkline

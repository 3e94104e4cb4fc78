// Unix stream sockets: "unix:/run/service.sock".
#pragma once

#include "transport/medium.hpp"
#include "transport/socket_options.hpp"

#include <memory>

namespace trunkline {

/// Listening replaces a socket file that a dead listener left behind. It is an error when another listener is alive
/// there, or when the file is no socket. The listener removes the file when it closes. Options that are TCP's are
/// ignored.
std::shared_ptr<Medium> make_unix_medium(SocketOptions options = {});

} // namespace trunkline

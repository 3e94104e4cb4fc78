// Unix stream sockets: "unix:/run/service.sock".
#pragma once

#include "transport/medium.hpp"

#include <memory>

namespace trunkline {

/// Listening replaces a socket file that a dead listener left behind. It is an error when another listener is alive
/// there, or when the file is no socket. The listener removes the file when it closes.
std::shared_ptr<Medium> make_unix_medium();

} // namespace trunkline

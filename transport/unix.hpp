// Unix stream sockets: "unix:/run/service.sock".
#pragma once

#include "transport/transport.hpp"

#include <memory>

namespace trunkline {

/// A socket file that a dead listener left behind is replaced when one listens; one with a live listener, or a
/// file that is no socket, is an error. The file goes when its listener closes.
std::shared_ptr<Medium> make_unix_medium();

} // namespace trunkline

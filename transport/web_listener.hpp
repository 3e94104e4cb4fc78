// The port of WebSockets as what it is, a port of HTTP: a request that asks for a WebSocket becomes a transport, and
// any other is answered with a page or with one line.
#pragma once

#include "transport/transport.hpp"
#include "transport/web_socket.hpp"

#include <memory>
#include <string>

namespace trunkline {

/// Accepts from `below`. The handshakes run side by side, so a slow one holds up no other.
std::unique_ptr<Listener> make_web_listener(const Executor& executor, std::unique_ptr<Listener> below,
                                            std::string address, std::shared_ptr<const WebSocketOptions> options);

} // namespace trunkline

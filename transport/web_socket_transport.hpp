// A Transport below as the WebSocket that it carries. Only the .cpp files of the medium include it.
#pragma once

#include "transport/transport.hpp"
#include "transport/web_request.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

namespace trunkline {

/// What both ends of one need to know.
struct WebSocketEnds {
  std::string remote;
  std::string remote_host;
  std::size_t message_bytes_max = 0;
  std::chrono::milliseconds ping_interval{0}; // 0: no pings
  bool half_closes = false; // the far side has said that it can; set by the handshake

  WebSocketEnds() = default;
};

/// Asks the far side for a WebSocket; `host` is what the request calls it. Cancelled: throws operation_aborted. Errors:
/// boost::system::system_error, `context: ` and what the far side answered.
awaitable<std::unique_ptr<Transport>> dial_web_socket_on(std::unique_ptr<Transport> below, WebSocketEnds ends,
                                                         std::string host, std::string context);

/// Answers a request that asks for one, and that has been found good.
awaitable<std::unique_ptr<Transport>> accept_web_socket_on(std::unique_ptr<Transport> below, WebSocketEnds ends,
                                                           WebRequest request);

} // namespace trunkline

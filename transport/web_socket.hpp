// WebSocket: "ws://host:port" and "wss://host:port", the bytes of a trunk in binary messages over another medium, for
// browsers and for what lets only HTTP through. The port is one of HTTP, too, and gives pages to browsers.
#pragma once

#include "transport/medium.hpp"
#include "transport/web_pages.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

class Identity;
class WebTls;

struct WebSocketOptions {
  std::shared_ptr<const WebPages> pages; // for GET; none: a line of text instead
  /// Origins whose pages may connect, beside the one that the port itself is: "https://example.org". The port is its own
  /// origin under an IP address and as localhost alone: under any other name a page of somebody else's could bring its
  /// name here (DNS rebinding). "*" allows all.
  std::vector<std::string> origins;
  std::size_t message_bytes_max = 1 << 20; // of a message either way; to be read, all of it never lies in memory
  std::size_t header_bytes_max = 16 << 10; // of a request
  std::chrono::milliseconds handshake_deadline{5000}; // since it was accepted, until it is a trunk or answered
  std::size_t visitors_max = 256;         // accepted connections that are neither; beyond it the oldest one goes
  std::size_t visitors_per_host_max = 64; // of those, the ones of one host, or of one /64 of IPv6
  /// Of an accepted connection that has been silent for so long; three times that is its end. A trunk that keeps itself
  /// alive is never silent: the pings are for a page in the background, whose timers a browser slows down. 0: none.
  std::chrono::milliseconds ping_interval{30000};
  /// Hears of each request, and of each handshake of TLS, that was refused: the remote address and why, as one phrase;
  /// of many of them only some. Must not throw.
  std::function<void(const std::string& remote, const std::string& why)> on_refused;

  WebSocketOptions() = default;
};

/// What a request must name as Sec-WebSocket-Protocol.
inline constexpr std::string_view web_socket_protocol = "trunkline";

/// Dials and listens through `below`, whose addresses differ in the scheme alone.
std::shared_ptr<Medium> make_web_socket_medium(WebSocketOptions options, std::shared_ptr<Medium> below,
                                               std::string_view scheme);
/// "ws://host:port" over TCP.
std::shared_ptr<Medium> make_web_socket_medium(WebSocketOptions options = WebSocketOptions());
/// "wss://host:port", also "wss://host:port#NODE-ID": over TLS, between nodes and with the web, as make_web_tls_medium
/// says. `below`: TCP, with the scheme "wss", unless given.
std::shared_ptr<Medium> make_web_socket_tls_medium(std::shared_ptr<Identity> identity,
                                                   WebSocketOptions options = WebSocketOptions(),
                                                   std::shared_ptr<const WebTls> web = nullptr,
                                                   std::shared_ptr<Medium> below = nullptr);

} // namespace trunkline

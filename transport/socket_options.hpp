// What the system is told of each socket, and how long a dial waits for what.
#pragma once

#include <chrono>
#include <cstddef>

namespace trunkline {

/// Of every connection that a medium dials or accepts. What the system refuses to set stays as it is: an option of a
/// socket is never a reason to have no connection.
struct SocketOptions {
  bool no_delay = true;   // TCP: small writes leave at once
  bool keep_alive =
      true; // TCP: the system asks a silent far end whether it is there; the trunk's own keepalive is faster
  std::chrono::seconds keep_alive_idle{0}; // before it asks first; 0: as the system is configured, as are the next two
  std::chrono::seconds keep_alive_interval{0}; // between two questions
  int keep_alive_probes = 0; // without an answer, then the connection is broken
  std::size_t send_buffer_bytes = 0; // 0: the system adapts it, which is best where it may grow large
  std::size_t receive_buffer_bytes = 0; // the same; set before connecting, so that TCP's window scale fits it
  int traffic_class = 0; // TCP: the byte of IP that routers read, DSCP in its upper six bits; 0: unmarked
  int listen_backlog = 0; // connections that the system keeps until they are accepted; 0: as many as it allows
};

struct TcpOptions {
  SocketOptions sockets;
  std::chrono::milliseconds resolve_deadline{5000}; // of one name, by the system's resolver
  /// Between the first address of a name and the next (RFC 8305), unless the one before has failed already.
  std::chrono::milliseconds next_address_delay{250};

  TcpOptions() = default;
};

} // namespace trunkline

// Every limit of a QuarkChain connection and of the rpc on it: its name, its default, its unit.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace trunkline::quarkchain {

/// Charged for each frame in an inbox beyond its payload, so that empty ones count.
inline constexpr std::size_t frame_cost_bytes = 128;

/// Of one connection.
struct ClusterLimits {
  std::size_t command_bytes_max = 128 << 20;       // payload of one frame; looked at before anything is allocated
  std::size_t unidentified_command_bytes_max = 64 << 10; // the same, of who has connected and not said who it is
  std::size_t control_inbox_bytes_max = 16 << 20;  // unread on the control circuit; then the connection is not read
  std::size_t peer_inbox_bytes_max = 4 << 20;      // unread on one virtual peer; then it alone is closed. Of a p2p
                                              // connection: on all; then it is not read
  std::size_t peers_inbox_bytes_max = 256 << 20; // unread on all of them; then the one that holds most is closed
  std::size_t output_bytes_max = 4 << 20; // not yet written; then the control circuit's sends wait
  std::size_t peer_output_bytes_max = 1 << 20; // not yet written; then the virtual peers' sends wait
  std::uint32_t circuits_max = 131072; // virtual peers; more are not opened
  std::chrono::milliseconds stall_deadline{60000}; // the connection is not read, and nothing is taken
  std::chrono::milliseconds write_deadline{20000}; // output handed over and not written
  std::chrono::milliseconds goodbye_deadline{1000}; // to flush what was sent before the end

  /// Throws std::invalid_argument that names the limit, its value and what it must be.
  void check() const;
};

/// Of one circuit that speaks rpc.
struct RpcLimits {
  std::uint32_t requests_in_flight_max = 256; // of the far side, being handled; further ones wait
  std::size_t requests_in_flight_bytes_max = 128 << 20; // of those; one is always let in
  std::size_t requests_of_kind_bytes_max = 256 << 20; // of those of all circuits of one RpcServer together
  std::size_t requests_waiting_bytes_max = 256 << 10; // of those that wait; then the circuit is not read,
  std::size_t requests_read_ahead_bytes_max = 16 << 20; // unless a reply may be behind them: then only from here on
  std::uint32_t calls_in_flight_max = 65536; // of ours, without a reply; further ones wait
  std::uint32_t late_replies_max = 1024; // ids of given up calls that are told from unknown ones

  void check() const;
};

} // namespace trunkline::quarkchain

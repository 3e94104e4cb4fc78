// Every limit of a trunk: its name, its default, its unit. docs/limits.md is checked against this file.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace trunkline {

/// Fixed by protocol version 1, so that a side may send before it has heard the other's Hello.
inline constexpr std::size_t frame_bytes_max = 64 * 1024 + 8 * 1024; // body of any frame
inline constexpr std::size_t chunk_bytes_max = 64 * 1024;            // payload bytes in one data frame
inline constexpr std::size_t control_bytes_max = 8 * 1024; // body of a control frame; metadata of a fragment
inline constexpr std::size_t circuit_window_bytes_initial = 256 * 1024;
inline constexpr std::size_t trunk_window_bytes_initial = 1024 * 1024;
/// Charged for each fragment beyond its bytes: about what it occupies in memory when it is empty.
inline constexpr std::size_t fragment_credit_overhead = 256;
/// A fragment of several frames of which the first has no more payload has begun without credit for the rest.
inline constexpr std::size_t short_beginning_bytes_max = 4096;

struct Limits {
  std::size_t fragment_bytes_max = 4 << 20; // payload of one fragment; at most 1 GiB
  std::size_t trunk_memory_bytes_max = 16 << 20; // received and not yet consumed, half of it for reassembly;
                                                 // raised to 4 * fragment_bytes_max when that is larger
  std::size_t circuit_window_bytes_max = 4 << 20; // how far a circuit's window may tune itself up
  std::size_t errors_unread_bytes_max = 64 * 1024; // on one circuit; beyond it the oldest error fragment is dropped
  std::size_t send_queue_bytes_max = 4 << 20; // taken for sending and covered by circuit credit, per trunk
  std::uint32_t circuits_max = 131072; // opened by the far side and not over; as many over, held by services
  std::uint32_t open_backlog_max = 131072; // opened by far sides to one peer and not yet taken by its service
  std::uint32_t empty_frames_max = 10; // data frames in a row that carry nothing, per circuit
  std::uint32_t pings_answered_per_second_max = 10; // more are coalesced
  std::uint32_t pings_per_second_max = 100; // more break the trunk
  std::uint32_t unknown_frames_per_minute_max = 100; // optional ones; more break the trunk
  std::uint32_t cancelled_opens_per_second_max = 200; // sustained for five seconds; beyond it opens wait
  std::uint32_t control_frames_per_second_max = 10000; // metadata, peer ends, tiny credits; beyond it reading pauses
  std::size_t metadata_bytes_max = 4096; // user metadata of one peer, keys and values
  std::uint32_t remote_peers_max = 4096; // peers of the far side whose metadata is kept
  std::size_t remote_metadata_bytes_max = 4 << 20; // of all peers of the far side together
  std::size_t circuit_strings_bytes_max = 16 << 20; // names and user strings of circuits that the far side opened
  std::size_t name_bytes_max = 128; // a service name, a circuit name
  std::size_t user_string_bytes_max = 1024;
  std::size_t reason_bytes_max = 256; // any text that explains an end
  std::chrono::milliseconds handshake_deadline{5000};
  std::chrono::milliseconds keepalive_interval{15000}; // silence before a ping; twice that is death
  std::chrono::milliseconds write_deadline{20000}; // output handed over and not written
  std::chrono::milliseconds stall_deadline{60000}; // since the last progress: of a circuit that we closed; of readers
                                                   // that hold the memory which others need
  std::chrono::milliseconds goodbye_deadline{1000}; // to flush the last words

  /// Throws std::invalid_argument that names the limit, its value and what it must be.
  void check() const;
};

} // namespace trunkline

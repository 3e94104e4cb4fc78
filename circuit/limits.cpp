#include "circuit/limits.hpp"

#include "fragment/deadline.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace trunkline {

void Limits::check() const {
  const auto demand = [](bool good, const char* name, std::size_t value, const char* expected) {
    if (!good) throw std::invalid_argument(fmt::format("{} is {}, expected {}", name, value, expected));
  };
  demand(fragment_bytes_max >= 1 && fragment_bytes_max <= std::size_t{1} << 30, "fragment_bytes_max",
         fragment_bytes_max, "1 to 1 GiB");
  demand(trunk_memory_bytes_max >= 2 * trunk_window_bytes_initial, "trunk_memory_bytes_max", trunk_memory_bytes_max,
         "at least 2 MiB");
  demand(circuit_window_bytes_max >= circuit_window_bytes_initial && circuit_window_bytes_max <= std::size_t{1} << 29,
         "circuit_window_bytes_max", circuit_window_bytes_max, "256 KiB to 512 MiB");
  demand(errors_unread_bytes_max >= 1024 && errors_unread_bytes_max <= circuit_window_bytes_initial / 2,
         "errors_unread_bytes_max", errors_unread_bytes_max, "1 KiB to 128 KiB");
  demand(send_queue_bytes_max >= frame_bytes_max, "send_queue_bytes_max", send_queue_bytes_max, "at least 72 KiB");
  demand(circuits_max >= 1, "circuits_max", circuits_max, "at least 1");
  demand(open_backlog_max >= 1, "open_backlog_max", open_backlog_max, "at least 1");
  demand(pings_per_second_max >= 1, "pings_per_second_max", pings_per_second_max, "at least 1");
  demand(cancelled_opens_per_second_max >= 1, "cancelled_opens_per_second_max", cancelled_opens_per_second_max,
         "at least 1");
  demand(control_frames_per_second_max >= 1, "control_frames_per_second_max", control_frames_per_second_max,
         "at least 1");
  demand(remote_peers_max >= 1, "remote_peers_max", remote_peers_max, "at least 1");
  demand(metadata_bytes_max <= control_bytes_max / 2, "metadata_bytes_max", metadata_bytes_max, "at most 4 KiB");
  demand(name_bytes_max >= 1 && name_bytes_max <= 1024, "name_bytes_max", name_bytes_max, "1 to 1024");
  demand(user_string_bytes_max <= 4096, "user_string_bytes_max", user_string_bytes_max, "at most 4096");
  demand(reason_bytes_max <= 4096, "reason_bytes_max", reason_bytes_max, "at most 4096");
  const auto demand_time = [&](std::chrono::milliseconds value, const char* name) {
    demand(value.count() >= 1 && (value <= std::chrono::days(365) || is_never(value)), name,
           static_cast<std::size_t>(value.count() < 0 ? 0 : value.count()),
           "1 millisecond to 365 days, or the longest for none");
  };
  demand_time(handshake_deadline, "handshake_deadline");
  demand_time(keepalive_interval, "keepalive_interval");
  demand_time(write_deadline, "write_deadline");
  demand_time(stall_deadline, "stall_deadline");
  demand_time(goodbye_deadline, "goodbye_deadline");
}

} // namespace trunkline

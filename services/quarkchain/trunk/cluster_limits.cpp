#include "services/quarkchain/trunk/cluster_limits.hpp"

#include <fmt/format.h>

#include <stdexcept>
#include <string_view>

namespace trunkline::quarkchain {
namespace {

void demand(bool good, std::string_view name, std::uint64_t value, std::string_view what) {
  if (!good) throw std::invalid_argument(fmt::format("{} is {}; it must be {}", name, value, what));
}

} // namespace

void ClusterLimits::check() const {
  demand(command_bytes_max > 0 && command_bytes_max <= 0xFFFFFFFFu, "command_bytes_max", command_bytes_max,
         "1 to 4294967295");
  demand(unidentified_command_bytes_max > 0, "unidentified_command_bytes_max", unidentified_command_bytes_max,
         "more than 0");
  demand(control_inbox_bytes_max > 0, "control_inbox_bytes_max", control_inbox_bytes_max, "more than 0");
  demand(peer_inbox_bytes_max > 0, "peer_inbox_bytes_max", peer_inbox_bytes_max, "more than 0");
  demand(peers_inbox_bytes_max >= peer_inbox_bytes_max, "peers_inbox_bytes_max", peers_inbox_bytes_max,
         "at least peer_inbox_bytes_max");
  demand(peer_output_bytes_max > 0, "peer_output_bytes_max", peer_output_bytes_max, "more than 0");
  demand(output_bytes_max >= peer_output_bytes_max, "output_bytes_max", output_bytes_max,
         "at least peer_output_bytes_max");
  for (const auto& [name, value] : {std::pair{"stall_deadline", stall_deadline},
                                    {"write_deadline", write_deadline},
                                    {"goodbye_deadline", goodbye_deadline}})
    demand(value.count() > 0, name, static_cast<std::uint64_t>(value.count()), "more than 0 ms");
}

void RpcLimits::check() const {
  demand(requests_in_flight_max > 0, "requests_in_flight_max", requests_in_flight_max, "more than 0");
  demand(requests_in_flight_bytes_max > 0, "requests_in_flight_bytes_max", requests_in_flight_bytes_max, "more than 0");
  demand(requests_of_kind_bytes_max > 0, "requests_of_kind_bytes_max", requests_of_kind_bytes_max, "more than 0");
  demand(requests_waiting_bytes_max > 0, "requests_waiting_bytes_max", requests_waiting_bytes_max, "more than 0");
  demand(calls_in_flight_max > 0, "calls_in_flight_max", calls_in_flight_max, "more than 0");
}

} // namespace trunkline::quarkchain

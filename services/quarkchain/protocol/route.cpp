#include "services/quarkchain/protocol/route.hpp"

#include <fmt/format.h>

#include <charconv>

namespace trunkline::quarkchain {

std::string to_text(const Route& route) { return fmt::format("{:08x}/{}", route.branch, route.cluster_peer_id); }

std::optional<Route> parse_route(std::string_view text) {
  constexpr std::size_t slash = 8;
  if (text.size() < slash + 2 || text[slash] != '/') return std::nullopt;
  Route route;
  const char* const end = text.data() + text.size();
  const auto branch = std::from_chars(text.data(), text.data() + slash, route.branch, 16);
  const auto id = std::from_chars(text.data() + slash + 1, end, route.cluster_peer_id);
  if (branch.ec != std::errc() || id.ec != std::errc() || id.ptr != end) return std::nullopt;
  if (to_text(route) != text) return std::nullopt; // one text for each route
  return route;
}

std::string describe(const Route& route) {
  if (route.is_control()) return "the control circuit";
  if (route.cluster_peer_id == 0) return fmt::format("branch 0x{:08x}", route.branch);
  return fmt::format("peer {} on branch 0x{:08x}", route.cluster_peer_id, route.branch);
}

} // namespace trunkline::quarkchain

// Which circuit of a connection a frame belongs to.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trunkline::quarkchain {

/// A branch and a cluster_peer_id: a virtual peer. On a connection of the p2p framing the id is 0 and the branch says
/// it all; {0, 0} is the control circuit of every framing. The name of a circuit is its route's text, over every
/// dialect.
struct Route {
  std::uint32_t branch = 0;
  std::uint64_t cluster_peer_id = 0;

  constexpr Route() = default;
  constexpr Route(std::uint32_t on_branch, std::uint64_t peer_id) : branch(on_branch), cluster_peer_id(peer_id) {}
  constexpr bool is_control() const noexcept { return branch == 0 && cluster_peer_id == 0; }
  friend constexpr auto operator<=>(const Route&, const Route&) = default;
  friend std::size_t hash_value(const Route& route) noexcept {
    std::uint64_t mixed =
        (route.cluster_peer_id ^ (std::uint64_t{route.branch} << 32 | route.branch >> 16)) * 0x9E3779B97F4A7C15u;
    return static_cast<std::size_t>(mixed ^ mixed >> 32);
  }
};

/// "00010001/7": eight hex digits of the branch, the id in decimal.
std::string to_text(const Route& route);
/// Takes exactly what `to_text` prints; anything else is nullopt.
std::optional<Route> parse_route(std::string_view text);
/// For log lines: "the control circuit", "peer 7 on branch 0x00010001".
std::string describe(const Route& route);

} // namespace trunkline::quarkchain

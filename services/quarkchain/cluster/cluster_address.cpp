#include "services/quarkchain/cluster/cluster_address.hpp"

#include "transport/address.hpp"

namespace trunkline::quarkchain {
namespace {

constexpr std::string_view behind_scheme = "://";

std::string_view scheme_of_host(std::string_view host) noexcept {
  const std::size_t end = host.find(behind_scheme);
  return end == std::string_view::npos ? std::string_view("tcp") : host.substr(0, end);
}

} // namespace

std::string cluster_address(std::string_view host, std::uint16_t port) {
  const std::string_view scheme = scheme_of_host(host);
  const std::size_t end = host.find(behind_scheme);
  if (end == std::string_view::npos) return to_address(scheme, host, port);
  const std::string_view rest = host.substr(end + behind_scheme.size());
  const std::string_view name = without_pin(rest);
  return to_address(scheme, name, port) + std::string(rest.substr(name.size()));
}

std::string cluster_listen_address(std::string_view host, std::uint16_t port) {
  return to_address(scheme_of_host(host), "0.0.0.0", port);
}

} // namespace trunkline::quarkchain

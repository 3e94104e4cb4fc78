// How peers are written down: tcp://host:port/service/peer-id[/circuit-id], and the same with unix: and mem://.
#pragma once

#include "fragment/ids.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace trunkline {

/// A parsed peer URL. The service is percent-encoded where it holds '/', '%' or bytes outside printable ASCII.
///   tcp://127.0.0.1:7000/store/bWFrZSBpdCBzb3VuZCEh..        unix:/run/t.sock!/store/ID (the '!' ends the path)
///   mem://alpha/store/ID                                     node://NODE-ID/store/ID (a node that does not listen)
class PeerUrl {
 public:
  PeerUrl() = default;
  PeerUrl(std::string address, std::string service, PeerId peer) : address_(std::move(address)), service_(std::move(service)), peer_(peer) {}

  /// Errors: error::bad_url whose text says what was expected where.
  static PeerUrl parse(std::string_view text);

  /// Where to dial: "tcp://127.0.0.1:7000", "unix:/run/t.sock", "mem://alpha", "node://ID".
  const std::string& address() const noexcept { return address_; }
  std::string_view scheme() const noexcept;
  const std::string& service() const noexcept { return service_; }
  const PeerId& peer_id() const noexcept { return peer_; }
  const std::optional<CircuitId>& circuit_id() const noexcept { return circuit_; }
  std::string to_string() const;
  friend bool operator==(const PeerUrl&, const PeerUrl&) = default;

 private:
  std::string address_;
  std::string service_;
  PeerId peer_;
  std::optional<CircuitId> circuit_;
};

} // namespace trunkline

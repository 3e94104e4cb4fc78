// The URLs of peers: tcp://host:port/service/peer-id[/circuit-id], and the same with unix: and mem://.
#pragma once

#include "fragment/ids.hpp"
#include "transport/address.hpp"
#include "transport/media.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace trunkline {

/// A parsed peer URL: an address, a service, and mostly a peer id. The service is percent-encoded where it holds '/',
/// '%' or bytes outside printable ASCII, and so are '%' and '!' in an address that is a path.
///   tcp://127.0.0.1:7000/store/bWFrZSBpdCBzb3VuZCEh..        unix:/run/t.sock!/store/ID (the '!' ends the path)
///   mem://alpha/store/ID                                     node://NODE-ID/store/ID (a node that does not listen)
/// Without a peer id ("tcp://127.0.0.1:7000/store") it names the service alone: any instance that runs there.
class PeerUrl {
 public:
  PeerUrl() = default;
  PeerUrl(std::string address, std::string service, PeerId peer)
      : address_(std::move(address)), service_(std::move(service)), peer_(peer) {}

  /// The text after the scheme is parsed as its medium prescribes. Without `media` only those of default_media() are
  /// known; every other scheme is parsed as SCHEME://NAME. Errors: error::bad_url; its text says what was expected and
  /// where.
  static PeerUrl parse(std::string_view text);
  static PeerUrl parse(std::string_view text, const Media& media);

  /// Where to dial: "tcp://127.0.0.1:7000", "unix:/run/t.sock", "mem://alpha", "node://ID".
  const std::string& address() const noexcept { return address_; }
  std::string_view scheme() const noexcept;
  const std::string& service() const noexcept { return service_; }
  /// None when the URL names the service alone.
  const PeerId& peer_id() const noexcept { return peer_; }
  /// Informative only: no circuit can be opened by its URL.
  const std::optional<CircuitId>& circuit_id() const noexcept { return circuit_; }
  std::string to_string() const;
  friend bool operator==(const PeerUrl&, const PeerUrl&) = default;

 private:
  std::string address_;
  std::string service_;
  PeerId peer_;
  std::optional<CircuitId> circuit_;
};

/// The address as it stands at the beginning of its peers' URLs: unchanged, but "unix:/run/t.sock!" for
/// "unix:/run/t.sock".
std::string url_base(std::string_view address);

} // namespace trunkline

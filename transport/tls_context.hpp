// What the TLS handshakes of one key have in common: version 1.3 alone, no resumption, certificates of a few KiB.
#pragma once

#include "transport/identity_key.hpp"

#include <memory>
#include <string>

struct ssl_ctx_st;

namespace trunkline {

/// Bytes of all certificates of a far side together; more ends the handshake.
inline constexpr long certificates_bytes_max = 16 * 1024;

/// For both roles of connections between nodes: each side shows its certificate and demands the other's.
std::shared_ptr<ssl_ctx_st> make_tls_context(const IdentityKey& key);

/// For the connections of browsers and other programs that are no nodes: a side shows a certificate of any kind, or none.
struct WebTlsOptions {
  std::string certificate_file; // a chain in PEM, the host's own certificate first; needed to listen
  std::string key_file;         // its private key in PEM, which others cannot read; empty: it is in certificate_file
  std::string authority_file;   // in PEM, whose certificates are trusted when dialling; empty: the system's

  WebTlsOptions() = default;
};

/// What handshakes with the web use, from files. For both roles: who answers shows the certificate, and who dials checks
/// it, with the name of the host.
class WebTls {
 public:
  /// Errors: error::unusable_file.
  explicit WebTls(WebTlsOptions options = WebTlsOptions());

  /// Reads all files again: handshakes from now on use them, connections stay as they are. Errors:
  /// error::unusable_file; then nothing has changed.
  void reload();

  /// Whether it has a certificate to show.
  bool can_listen() const noexcept { return !options_.certificate_file.empty(); }
  /// What handshakes begun now use; a connection keeps it alive.
  const std::shared_ptr<ssl_ctx_st>& context() const noexcept { return context_; }

 private:
  WebTlsOptions options_;
  std::shared_ptr<ssl_ctx_st> context_;
};

} // namespace trunkline

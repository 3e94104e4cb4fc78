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
  std::string certificate_file; // a chain and its key in one PEM file that others cannot read; needed to listen
  std::string authority_file;   // in PEM, whose certificates are trusted when dialling; empty: the system's

  WebTlsOptions() = default;
};

/// For both roles: who answers shows the certificate, and who dials checks it, with the name of the host. Errors:
/// error::unusable_file.
std::shared_ptr<ssl_ctx_st> make_tls_context(const WebTlsOptions& options);

} // namespace trunkline

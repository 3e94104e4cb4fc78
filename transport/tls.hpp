// TLS between nodes: "tls://host:port", also "tls://host:port#NODE-ID", which says whose key is expected there.
#pragma once

#include "transport/identity.hpp"
#include "transport/medium.hpp"
#include "transport/tls_context.hpp"
#include "transport/tls_stream.hpp"

#include <memory>
#include <string>

namespace trunkline {

/// TLS 1.3 over another medium: both sides show their keys, and each decides by its Identity. Its addresses are those of
/// `below`, also with a pin; that of a listener has this node's own id for a pin. Errors of dials, beside those of
/// `below`: as make_tls_transport says. Without an identity it can name its addresses and nothing else: dial and listen
/// throw error::not_secured. `below`: TCP, with the scheme "tls", unless given.
std::shared_ptr<Medium> make_tls_medium(std::shared_ptr<Identity> identity, std::shared_ptr<Medium> below = nullptr);

/// TLS 1.3 with certificates of hosts, in which nobody proves to be a node: what lies below a protocol of the web.
/// `protocol` is the name (ALPN) that both sides have to agree on: "http/1.1". Errors: error::unusable_file; dials also
/// as make_tls_transport says; error::unusable_file for listening without a certificate.
std::shared_ptr<Medium> make_web_tls_medium(const WebTlsOptions& options, std::string protocol,
                                            std::shared_ptr<Medium> below);

} // namespace trunkline

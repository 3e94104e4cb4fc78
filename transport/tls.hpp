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

/// TLS 1.3 for what carries trunks in HTTP, over `below`: to nodes as above, and to the web with certificates of hosts, in
/// which nobody proves to be a node. Listening, it is both on one port: whoever names the protocol of nodes has to show a
/// key, and all others are the web; the first needs `identity`, the others need that `web` has a certificate. Dialling,
/// an address with a pin, or of a known node, is that node's; any other may be a node's or, if its certificate is good
/// for the host, of the web. `web`: without a certificate, and made when it is dialled, unless given. Errors: as of make_tls_medium;
/// error::unusable_file for listening with neither.
std::shared_ptr<Medium> make_web_tls_medium(std::shared_ptr<Identity> identity, std::shared_ptr<const WebTls> web,
                                            std::shared_ptr<Medium> below);

} // namespace trunkline

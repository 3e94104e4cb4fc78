// TLS over any transport: what the media of encrypted connections are made of.
#pragma once

#include "fragment/identity.hpp"
#include "transport/identity.hpp"
#include "transport/transport.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct ssl_ctx_st;

namespace trunkline {

/// The protocol name (ALPN) of connections between nodes. It has no version: preface and Hello say theirs.
inline constexpr std::string_view tls_protocol = "trunkline";
/// The same of connections between nodes whose trunk is in a WebSocket, and of those with the web.
inline constexpr std::string_view tls_web_socket_protocol = "trunkline-ws";
inline constexpr std::string_view tls_http_protocol = "http/1.1";

/// What a handshake is to do.
struct TlsSide {
  bool dialled = false;                        // decides the role in the handshake
  std::string address;                         // that was dialled, without a pin; for texts and known nodes
  std::optional<NodeId> pin;                   // whose key alone is expected
  std::string protocol{tls_protocol};          // that two nodes have to name
  std::string web_protocol;                    // that the web has to name, if it names any
};

/// Makes a transport that encrypts all that passes, between two nodes that both show their keys. The handshake is done
/// by Transport::handshake, or by the first read or write. Errors of handshakes: error::no_tls, not_trunkline (the far
/// side has no protocol of this name), unknown_key, wrong_key, certificate_expired, certificate_not_yet_valid,
/// dialled_self, key_refused, not_secured; all texts name the address. A far side that refuses our key may say so only
/// after the handshake: a read then throws it.
/// An end without TLS's own word for it is a connection that was cut: `read_some` throws error::trunk_lost. `close`
/// without `finish` before it may be such an end to the far side.
std::unique_ptr<Transport> make_tls_transport(const Executor& executor, std::unique_ptr<Transport> transport,
                                              std::shared_ptr<Identity> identity, TlsSide side);

/// The same to far sides of two kinds, which tell themselves apart by the protocol that they name. Nodes are those of
/// above. To the web, `web` (the context of a WebTls) shows a certificate, or checks one: such a connection proves
/// nothing but the name of the host that was dialled, and that to the side that dialled it. A null `identity` knows no
/// nodes; a dialled `side.pin` wants a node.
std::unique_ptr<Transport> make_tls_transport(const Executor& executor, std::unique_ptr<Transport> transport,
                                              std::shared_ptr<Identity> identity, std::shared_ptr<ssl_ctx_st> web,
                                              TlsSide side);

/// For make_tls_context: the streams decide about certificates and protocols.
void set_tls_callbacks(ssl_ctx_st* context);

} // namespace trunkline

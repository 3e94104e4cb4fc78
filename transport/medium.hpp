// The interface of one kind of connection: it dials, listens, and describes its addresses.
#pragma once

#include "transport/transport.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace trunkline {

/// Dials and listens for one scheme. No other code depends on the scheme: it finds the medium of an address
/// (transport/media.hpp) and asks that.
class Medium {
 public:
  virtual ~Medium() = default;

  /// The scheme of its addresses, without the ':': "tcp".
  virtual std::string_view scheme() const noexcept = 0;
  /// How its addresses are written, for help and error texts: "tcp://host:port".
  virtual std::string_view form() const noexcept = 0;
  /// True when its addresses name a host, and its transports know the host of the far end (Transport::remote_host). An
  /// address that the far side claims is then believed only when it names that host; otherwise a claim is believed when
  /// it is of this scheme.
  virtual bool has_hosts() const noexcept = 0;
  /// True when its addresses are SCHEME://HOST:PORT. Not without hosts.
  virtual bool has_ports() const noexcept = 0;
  /// True when no other machine can reach any of its addresses.
  virtual bool is_local() const noexcept = 0;

  /// True when nobody on the way can read or change what its transports carry. Where it is not, addresses that other
  /// machines reach are used only by those who ask for that.
  virtual bool is_encrypted() const noexcept { return false; }
  /// True when its transports can prove who is at the far end; Transport::proof says whether one has. Its addresses may
  /// then end in "#NODE-ID": whose key is expected there.
  virtual bool proves_identity() const noexcept { return false; }

  /// Connects, and returns the transport; where it is encrypted, its handshake is done. Cancelled: throws operation_aborted. Errors: error::bad_url, `address "x" is
  /// not FORM`; otherwise boost::system::system_error with "cannot connect to ADDRESS: " and the system's reason.
  virtual awaitable<std::unique_ptr<Transport>> dial(std::string address) = 0;
  /// Binds the address before it returns; does not wait. Errors: as for dial, with "cannot listen on ADDRESS: ".
  virtual std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) = 0;
};

} // namespace trunkline

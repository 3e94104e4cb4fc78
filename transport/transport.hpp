// Ordered bytes between two ends, and the listener that accepts them. Nothing here knows what the bytes mean.
#pragma once

#include "async/types.hpp"
#include "fragment/identity.hpp"

#include <boost/system/error_code.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace trunkline {

/// One connection. Belongs to one executor. One read and one write may be in progress at the same time, never two of
/// either. Destroying it closes it.
class Transport {
 public:
  virtual ~Transport() = default;

  /// Waits for at least one byte and returns how many were read; 0 means that the far side has finished sending. `into`
  /// must not be empty. Cancelled: throws operation_aborted and has taken nothing. Errors: boost::system::system_error.
  virtual awaitable<std::size_t> read_some(std::span<std::byte> into) = 0;

  /// The same into two places, `rest` after `into`. A medium that cannot fill both in one operation fills `into` alone.
  virtual awaitable<std::size_t> read_scattered(std::span<std::byte> into, std::span<std::byte> /*rest*/) {
    return read_some(into);
  }

  /// Writes all pieces, in order. There may be any number of them, also empty ones; they must stay valid until it
  /// returns. Waits for the far side only while the medium's own buffer is full. Cancelled or failed: an unknown part
  /// has been written, so close is the only sensible next call.
  virtual awaitable<void> write(std::span<const std::span<const std::byte>> pieces) = 0;

  /// Bytes that have left this machine since the write in progress began to wait; 0 from a medium that cannot tell. The
  /// session uses it to tell a slow write from a stalled one.
  virtual std::uint64_t write_progress() const noexcept { return 0; }

  /// Ends this side's sending: the far side reads the end after the bytes written before. Reading goes on. Must not be
  /// called while a write is in progress. Idempotent. A medium without half close does nothing: `close` ends both.
  virtual void finish() noexcept {}

  /// Ends both directions at once; a waiting read or write throws operation_aborted. Idempotent.
  virtual void close() noexcept = 0;

  /// True when `handshake` proves who is at the far end.
  virtual bool proves_identity() const noexcept { return false; }
  /// Whether `handshake` has something to do.
  virtual bool needs_handshake() const noexcept { return false; }
  /// Does what has to come before the first byte: the handshake of an encrypted connection. A dialled one has done it;
  /// an accepted one has not, so that no connection waits for another's. Idempotent. Cancelled: close is the only
  /// sensible next call. Errors: the medium says which.
  virtual awaitable<void> handshake();
  /// What the handshake has proven; null before it, and where a connection proves nothing. Valid as long as this is.
  virtual const ChannelProof* proof() const noexcept { return nullptr; }

  /// The far end, for log lines: "tcp://10.0.0.7:38291".
  virtual std::string remote() const = 0;
  /// The far end's host alone ("10.0.0.7"), as the medium knows it and not as the far side claims; empty where the
  /// medium has no hosts.
  virtual std::string remote_host() const = 0;
};

/// A time in which a listener cannot accept, because the process or the system has no more descriptors or memory.
struct Shortage {
  boost::system::error_code reason; // of the system; none when it is over
  bool began = false; // this is the first word of it
  bool turned_one_away = false; // just now
  std::uint64_t turned_away = 0; // closed unaccepted because of it, so far
};

/// Accepts connections on one address.
class Listener {
 public:
  virtual ~Listener() = default;

  /// Waits for the next connection. Errors of one connection and a lack of descriptors are handled inside; after a
  /// throw the listener is of no more use. Cancelled: throws operation_aborted.
  virtual awaitable<std::unique_ptr<Transport>> accept() = 0;

  /// Hears of each Shortage: when it begins, of each connection that it costs, and when a connection is accepted again.
  /// Set it before the first accept. Called inside accept; must not throw. Media that never lack anything never call.
  virtual void on_shortage(std::function<void(const Shortage&)> /*callback*/) {}

  /// Stops accepting; the address is free at once, and a waiting accept throws operation_aborted. Idempotent.
  virtual void close() noexcept = 0;

  /// The address that can be dialled, with the port that was chosen for port 0: "tcp://127.0.0.1:41234".
  virtual std::string address() const = 0;
};

} // namespace trunkline

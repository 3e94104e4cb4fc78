// Ordered bytes between two ends, and nothing above bytes: tcp, unix, memory, simulated.
#pragma once

#include "async/types.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace trunkline {

/// One connection. Belongs to one executor. One read and one write may be in progress at the same time.
class Transport {
 public:
  virtual ~Transport() = default;

  /// Waits for at least one byte; 0 means that the far side has finished sending.
  /// Cancelled: throws operation_aborted and took nothing. Errors: boost::system::system_error.
  virtual awaitable<std::size_t> read_some(std::span<std::byte> into) = 0;

  /// The same into two places, `rest` when `into` is full. A medium that cannot do both at once fills the first alone.
  virtual awaitable<std::size_t> read_scattered(std::span<std::byte> into, std::span<std::byte> /*rest*/) {
    return read_some(into);
  }

  /// Writes every byte of all pieces, in order; the pieces must stay valid until it returns.
  /// Waits for the far side only as the medium's own buffer demands. Any number of pieces; a medium that takes
  /// only so many at a time loops. Cancelled or failed: any part may have been written; close is all that is left.
  virtual awaitable<void> write(std::span<const std::span<const std::byte>> pieces) = 0;

  /// Bytes that have left since the write in progress began to wait; 0 from a medium that cannot tell. For who judges
  /// whether a long write still moves.
  virtual std::uint64_t write_progress() const noexcept { return 0; }

  /// Says that nothing more is written: the far side sees the end after what was written before. Reading goes on. Not
  /// while a write is in progress. Idempotent. A medium that cannot say it leaves it to `close`.
  virtual void finish() noexcept {}

  /// Ends both directions at once; what waits completes with operation_aborted. Idempotent.
  virtual void close() noexcept = 0;

  /// The far end as a person would name it in a log, e.g. "tcp://10.0.0.7:38291".
  virtual std::string remote() const = 0;
  /// The far end's host alone ("10.0.0.7"), by which addresses that it claims are believed; empty when it has none.
  virtual std::string remote_host() const = 0;
};

/// Accepts connections on one address.
class Listener {
 public:
  virtual ~Listener() = default;

  /// Waits for the next connection. Errors that concern one connection or a lack of descriptors are survived
  /// inside; a throw means that the listener is of no more use. Cancelled: throws operation_aborted.
  virtual awaitable<std::unique_ptr<Transport>> accept() = 0;

  /// Stops accepting; the address is free at once. Idempotent.
  virtual void close() noexcept = 0;

  /// The real address, with the port that was chosen: "tcp://127.0.0.1:41234", "unix:/run/x.sock", "mem://alpha".
  virtual std::string address() const = 0;
};

/// What makes connections for one scheme ("tcp", "unix", "mem", ...).
class Medium {
 public:
  virtual ~Medium() = default;

  /// Errors: boost::system::system_error whose text names the address and what was wrong with it.
  virtual awaitable<std::unique_ptr<Transport>> dial(std::string address) = 0;
  /// Does not wait: the address is bound when it returns. Errors as for dial.
  virtual std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) = 0;
};

} // namespace trunkline

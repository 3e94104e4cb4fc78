// Connections inside one process: "mem://name". No sockets, no system calls.
#pragma once

#include "transport/transport.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace trunkline {

/// A namespace of its own: only nodes that share the object reach each other. Both ends of a connection live on
/// one executor; not thread safe.
class MemoryMedium final : public Medium {
 public:
  /// Each direction of a connection holds at most this many unread bytes; then writing waits.
  static constexpr std::size_t buffer_bytes_default = 64 * 1024;

  explicit MemoryMedium(std::size_t buffer_bytes_max = buffer_bytes_default);
  ~MemoryMedium() override;

  awaitable<std::unique_ptr<Transport>> dial(std::string address) override;
  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override;

 private:
  struct Names;

  std::shared_ptr<Names> names_;
};

} // namespace trunkline

// Connections inside one process: "mem://name". No sockets, no system calls.
#pragma once

#include "transport/medium.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace trunkline {

/// Each object is a name space of its own: a name that is listened on here can be dialled here only. Both ends of a
/// connection live on one executor; not thread safe.
class MemoryMedium final : public Medium {
 public:
  /// How many unread bytes each direction of a connection holds; then writing waits.
  static constexpr std::size_t buffer_bytes_default = 64 * 1024;

  explicit MemoryMedium(std::size_t buffer_bytes_max = buffer_bytes_default);
  ~MemoryMedium() override;

  /// The address under which a name is listened on and dialled: "mem://name".
  static std::string address_of(std::string_view name);

  std::string_view scheme() const noexcept override;
  std::string_view form() const noexcept override;
  bool has_hosts() const noexcept override { return false; }
  bool has_ports() const noexcept override { return false; }
  bool is_local() const noexcept override { return true; }
  awaitable<std::unique_ptr<Transport>> dial(std::string address) override;
  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override;

 private:
  struct Names;

  std::shared_ptr<Names> names_;
};

} // namespace trunkline

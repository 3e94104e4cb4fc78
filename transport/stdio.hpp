// A connection over standard input and output: of this program, to the one that started it, or of a program that is
// started for the purpose, as ssh is.
#pragma once

#include "transport/medium.hpp"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trunkline {

/// Bytes over two descriptors, which it owns: what comes is read from one, what goes is written to the other.
std::unique_ptr<Transport> make_descriptor_transport(const Executor& executor, int in, int out, std::string remote);

/// "stdio:" can be listened on, once in a program: there is one connection, which is there already. Nothing else may
/// write to the standard output then. "stdio:NAME" is dialled by starting the command of that name; only commands that
/// this program has named are started, whatever addresses a far side claims. So it is of no use by itself, and not
/// among default_media(). One executor; not thread safe.
class StdioMedium final : public Medium {
 public:
  /// What is listened on.
  static std::string own_address();
  /// The address under which this command is started: the program, looked for as a shell does, and its arguments. Its
  /// standard error stays that of this program.
  std::string add_command(std::string name, std::vector<std::string> command);

  std::string_view scheme() const noexcept override;
  std::string_view form() const noexcept override;
  bool has_hosts() const noexcept override { return false; }
  bool has_ports() const noexcept override { return false; }
  bool is_local() const noexcept override { return true; }
  awaitable<std::unique_ptr<Transport>> dial(std::string address) override;
  std::unique_ptr<Listener> listen(const Executor& executor, std::string_view address) override;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> commands_; // by name
};

} // namespace trunkline

// The listeners of a program, which it can close while its connections go on, and which may have been handed to it.
#pragma once

#include "cli/operate/service_manager.hpp"
#include "transport/identity.hpp"
#include "transport/media.hpp"
#include "transport/socket_options.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace trunkline::cli {

/// Media like others, whose listeners know each other. One executor; not thread safe.
class Listening {
 public:
  /// Takes the sockets that systemd has handed over. Errors: UsageError.
  explicit Listening(TcpOptions options = TcpOptions());
  ~Listening();

  /// Puts media of its own in the place of TCP, unix sockets, and, with an identity, TLS.
  void apply(Media& media, const std::shared_ptr<Identity>& identity);
  /// The same for one medium.
  std::shared_ptr<Medium> over(std::shared_ptr<Medium> medium) const;
  /// TCP, for media that are laid on top of it. `scheme` is that of its addresses.
  std::shared_ptr<Medium> tcp(std::string_view scheme) const;

  /// The addresses of sockets that were handed over and that nobody has listened on.
  std::vector<std::string> unused() const;
  /// Closes all listeners: the addresses are free at once, and what is connected goes on.
  void close();

 private:
  TcpOptions tcp_;
  struct State;
  std::shared_ptr<State> state_;
};

} // namespace trunkline::cli

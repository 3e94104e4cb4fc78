// A listening socket that this process was given instead of binding it: by systemd, or by its own predecessor.
#pragma once

#include "transport/socket_options.hpp"
#include "transport/transport.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace trunkline {

/// Makes a listener of a stream socket that is bound and listens, which it owns from then on. `address` is what it is
/// called; its scheme is that of the transports, whose far ends are named as TCP's or, with "unix", as those of unix
/// sockets. The file of a unix socket is left where it is. Errors: boost::system::system_error that names the address.
std::unique_ptr<Listener> adopt_listening_socket(const Executor& executor, int descriptor, std::string address,
                                                 const SocketOptions& options = {});

} // namespace trunkline

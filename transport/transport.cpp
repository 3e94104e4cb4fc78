#include "transport/transport.hpp"

namespace trunkline {

awaitable<void> Transport::handshake() { co_return; }

} // namespace trunkline

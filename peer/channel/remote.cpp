#include "peer/channel/remote.hpp"

namespace trunkline {

std::string node_text(const NodeId& node) { return "node " + node.to_string(); }

std::array<Traffic*, 2> traffic_of(Remote& remote, ChannelState& channel) noexcept {
  return {&remote.metrics, &channel.traffic};
}

} // namespace trunkline

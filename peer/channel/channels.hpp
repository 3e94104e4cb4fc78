// The channels of this side by name: their processors and their counters.
#pragma once

#include "peer/channel/network.hpp"

#include <cstddef>
#include <map>
#include <memory>
#include <string>

namespace trunkline {

struct ChannelState {
  std::string name;
  std::shared_ptr<const Processor> processor; // null while none is registered
  Traffic traffic;
};

class Channels {
 public:
  /// Gives a channel its processor. Errors: as Network::register_processor.
  std::shared_ptr<ChannelState> add(const std::string& name, Processor processor, std::size_t name_bytes_max);
  /// A channel that is registered or was once; null otherwise.
  std::shared_ptr<ChannelState> find(const std::string& name) const;
  /// A channel that has a processor now; null otherwise.
  std::shared_ptr<ChannelState> find_processed(const std::string& name) const;
  /// Adds the counters of all channels.
  void add_to(NetworkMetrics& metrics) const;

 private:
  std::map<std::string, std::shared_ptr<ChannelState>> channels_;
};

} // namespace trunkline

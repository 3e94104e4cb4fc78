#include "peer/channel/channels.hpp"

#include "fragment/quote.hpp"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

namespace trunkline {

std::shared_ptr<ChannelState> Channels::add(const std::string& name, Processor processor, std::size_t name_bytes_max) {
  if (name.empty() || name.size() > name_bytes_max || name.front() == '#')
    throw std::invalid_argument(fmt::format("channel {} is not a name of 1 to {} bytes that does not begin with #",
                                            quote(name), name_bytes_max));
  if (!processor) throw std::invalid_argument("channel " + quote(name) + " needs a processor");
  std::shared_ptr<ChannelState>& state = channels_[name];
  if (!state) {
    state = std::make_shared<ChannelState>();
    state->name = name;
  }
  if (state->processor) throw ProcessorAlreadyRegistered(name);
  state->processor = std::make_shared<const Processor>(std::move(processor));
  return state;
}

std::shared_ptr<ChannelState> Channels::find(const std::string& name) const {
  const auto found = channels_.find(name);
  return found == channels_.end() ? nullptr : found->second;
}

std::shared_ptr<ChannelState> Channels::find_processed(const std::string& name) const {
  std::shared_ptr<ChannelState> found = find(name);
  return found && found->processor ? found : nullptr;
}

void Channels::add_to(NetworkMetrics& metrics) const {
  for (const auto& [name, channel] : channels_) {
    metrics.channels.emplace(name, channel->traffic);
    metrics.processor_failures += channel->traffic.processor_failures;
    metrics.queue_bytes += channel->traffic.queue_bytes;
    metrics.queue_messages += channel->traffic.queue_messages;
  }
}

} // namespace trunkline

// A far node, connected or not: a record that the parts of a network share.
#pragma once

#include "async/clock.hpp"
#include "async/signal.hpp"
#include "peer/channel/channels.hpp"
#include "peer/channel/line.hpp"
#include "peer/channel/outbox.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trunkline {

struct Remote {
  explicit Remote(NodeId far) : id(far) {}

  const NodeId id;
  std::map<std::string, std::shared_ptr<Line>> lines; // by channel; only those that are still sent on
  std::map<std::string, std::shared_ptr<Line>> retiring; // finished by us, and not yet acknowledged by the far side
  std::map<std::string, Outbox> outboxes; // by channel; only those with messages in them
  std::map<std::string, Outbox> turns; // by channel: its circuits to us, in the order in which they reach the processor
  std::uint32_t circuits_in = 0; // that it has open to us
  std::uint32_t busy = 0; // running sends, one-shot writes and processors
  bool connecting = false;
  bool one_shot = false; // only one-shot writes have used the connection so far
  SendResult failure; // of the last attempt to connect
  std::vector<std::string> addresses_before; // in the book after that attempt
  std::uint32_t failures = 0; // in a row
  TimePoint next_attempt{};
  TimePoint connected_at{};
  std::uint64_t connections = 0; // ever opened
  End end; // of the last connection, or why that one takes no circuits
  TimePoint used{};
  PeerMetrics metrics;
  Signal changed; // connected, disconnected, or the end of a line
};

/// "node " and its id.
std::string node_text(const NodeId& node);

/// The counters that one message changes: those of its far node and those of its channel.
std::array<Traffic*, 2> traffic_of(Remote& remote, ChannelState& channel) noexcept;

} // namespace trunkline

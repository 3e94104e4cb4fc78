#include "peer/channel/lines.hpp"

#include "circuit/trunk.hpp"
#include "fragment/quote.hpp"
#include "peer/channel/wire.hpp"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <string>
#include <utility>

namespace trunkline {

using boost::system::system_error;

void Lines::start() { peer_ = state_.node().start_local_peer(network_service); }

std::shared_ptr<Line> Lines::usable(const Remote& remote, const ChannelState& channel) const {
  const auto found = remote.lines.find(channel.name);
  return found == remote.lines.end() || !found->second->is_usable() ? nullptr : found->second;
}

std::shared_ptr<Line> Lines::open(const Alive& alive, const RemotePointer& remote,
                                  const std::shared_ptr<ChannelState>& channel) {
  CircuitOptions options(channel->name);
  auto line = std::make_shared<Line>(
      peer_->join_or_start("node://" + remote->id.to_string(), network_service, std::nullopt, std::move(options)));
  remote->lines[channel->name] = line;
  state_.tasks().spawn(read(alive, remote, channel, line));
  return line;
}

void Lines::retire(const RemotePointer& remote, const std::shared_ptr<Line>& line) {
  for (auto entry = remote->lines.begin(); entry != remote->lines.end(); ++entry) {
    if (entry->second != line) continue;
    line->retire();
    if (!line->has_ended()) remote->retiring[entry->first] = line;
    remote->lines.erase(entry);
    if (line->circuit().is_open()) line->circuit().finish();
    return;
  }
}

void Lines::retire_all(const RemotePointer& remote, const Trunk* trunk) {
  for (const auto& [name, line] : std::map(remote->lines))
    if (!trunk || line->circuit().trunk().get() == trunk) retire(remote, line);
}

/// Handles the acks of a line, and its end.
awaitable<void> Lines::read(Alive alive, RemotePointer remote, std::shared_ptr<ChannelState> channel,
                            std::shared_ptr<Line> line) {
  struct Ending {
    Remote& remote;
    const std::string& channel;
    Line& line;
    ~Ending() {
      for (auto* const lines : {&remote.lines, &remote.retiring})
        if (const auto found = lines->find(channel); found != lines->end() && found->second.get() == &line)
          lines->erase(found);
      line.finish();
      remote.changed.notify_all();
    }
  };
  const Ending ending{*remote, channel->name, *line};
  try {
    for (;;) {
      const std::optional<Fragment> fragment = co_await line->circuit().receive();
      if (!fragment) break;
      if (fragment->op == op_ack) {
        line->on_ack(fragment->part, acks_);
      } else {
        ++remote->metrics.drops;
      }
    }
    line->retire(); // the far side has finished: it reads no more messages
    line->circuit().close();
    End end = co_await line->circuit().ended();
    line->set_end(std::move(end));
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) throw;
    line->set_end(End(thrown.code(), trunkline::text_of(thrown)));
    if (thrown.code() == error::no_service) {
      if (line->has_carried_unacked()) // senders that wait for an ack count the failure themselves
        for (Traffic* const traffic : traffic_of(*remote, *channel))
          ++traffic->send_failures[static_cast<std::size_t>(SendError::unknown_channel)];
      state_.log("line", LogLevel::info, fmt::format("{}: {}", node_text(remote->id), line->end().to_string()));
    }
  }
}

awaitable<SendResult> Lines::write_once(RemotePointer remote, std::shared_ptr<ChannelState> channel, Message message) {
  SendResult result;
  try {
    CircuitOptions options(channel->name);
    Circuit circuit = peer_->join_or_start("node://" + remote->id.to_string(), network_service,
                                           fragment_of(op_message, 0, message), std::move(options));
    circuit.finish();
    co_await circuit.finish_acknowledged();
    const std::optional<Fragment> nothing = co_await circuit.receive(); // its end
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) throw;
    result = state_.failure_of(*remote, thrown);
  }
  co_return result;
}

AckMetrics Lines::acks() const {
  AckMetrics acks = acks_;
  for (const auto& [id, remote] : state_.remotes().all())
    for (const auto& [name, line] : remote->lines) acks.waiting += line->acks_outstanding();
  return acks;
}

} // namespace trunkline

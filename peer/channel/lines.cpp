// The part of a network that keeps a circuit per node and channel, and those of one-shot writes.
#include "async/within.hpp"
#include "circuit/trunk.hpp"
#include "peer/channel/core.hpp"
#include "fragment/quote.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trunkline {
namespace {

using namespace asio::experimental::awaitable_operators;
using boost::system::system_error;

constexpr Duration close_deadline = std::chrono::seconds(1); // for the far side to agree to the end of a connection

} // namespace

std::shared_ptr<Line> NetworkCore::usable_line(const Remote& remote, const ChannelState& channel) const {
  const auto found = remote.lines.find(channel.name);
  if (found == remote.lines.end()) return nullptr;
  const Line& line = *found->second;
  const Machine& machine = line.circuit.trunk()->machine();
  return line.over || !line.circuit.is_open() || machine.draining() || machine.over() ? nullptr : found->second;
}

std::shared_ptr<Line> NetworkCore::open_line(const RemotePointer& remote,
                                             const std::shared_ptr<ChannelState>& channel) {
  CircuitOptions options(channel->name);
  auto line = std::make_shared<Line>(
      peer_->join_or_start("node://" + remote->id.to_string(), network_service, std::nullopt, std::move(options)));
  remote->lines[channel->name] = line;
  tasks_.spawn(read_line(shared_from_this(), remote, channel, line));
  return line;
}

/// What was sent on it arrives first; its reader sees the far side agree.
void NetworkCore::retire(const RemotePointer& remote, const std::shared_ptr<Line>& line) {
  for (auto entry = remote->lines.begin(); entry != remote->lines.end(); ++entry) {
    if (entry->second != line) continue;
    line->over = true;
    if (!line->ended) remote->retiring[entry->first] = line;
    remote->lines.erase(entry);
    if (line->circuit.is_open()) line->circuit.finish();
    return;
  }
}

/// Hears acks and the end of a line.
awaitable<void> NetworkCore::read_line(CorePointer core, RemotePointer remote, std::shared_ptr<ChannelState> channel,
                                       std::shared_ptr<Line> line) {
  struct Ending {
    Remote& remote;
    const std::string& channel;
    Line& line;
    ~Ending() {
      line.over = line.ended = true;
      for (auto* const lines : {&remote.lines, &remote.retiring})
        if (const auto found = lines->find(channel); found != lines->end() && found->second.get() == &line)
          lines->erase(found);
      line.changed.notify_all();
      remote.changed.notify_all();
    }
  };
  const Ending ending{*remote, channel->name, *line};
  try {
    for (;;) {
      const std::optional<Fragment> fragment = co_await line->circuit.receive();
      if (!fragment) break;
      if (fragment->op == op_ack) {
        core->on_ack(*line, fragment->part);
      } else {
        ++remote->metrics.drops;
      }
    }
    line->over = true; // whoever hears nothing more from us has given it up
    line->circuit.close();
    line->end = co_await line->circuit.ended();
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) throw;
    line->end = End(thrown.code(), trunkline::text_of(thrown));
    if (thrown.code() == error::no_service) {
      if (line->carried_unacked) // the others hear of it themselves
        for (Traffic* const traffic : {static_cast<Traffic*>(&remote->metrics), &channel->traffic})
          ++traffic->send_failures[static_cast<std::size_t>(SendError::unknown_channel)];
      core->log(LogLevel::info, fmt::format("{}: {}", node_text(remote->id), line->end.to_string()));
    }
  }
}

// One shot.

awaitable<SendResult> NetworkCore::write_once(CorePointer core, std::shared_ptr<ChannelState> channel,
                                              RemotePointer remote, Message message) {
  SendResult result;
  try {
    CircuitOptions options(channel->name);
    Circuit circuit = core->peer_->join_or_start("node://" + remote->id.to_string(), network_service,
                                                 fragment_of(op_message, 0, message), std::move(options));
    circuit.finish();
    co_await circuit.finish_acknowledged();
    const std::optional<Fragment> nothing = co_await circuit.receive(); // its end
  } catch (const system_error& thrown) {
    if (is_aborted(thrown)) throw;
    result = core->failure_of(*remote, thrown);
  }
  co_return result;
}

std::shared_ptr<Trunk> NetworkCore::end_one_shot(Remote& remote, std::uint32_t own) {
  if (!remote.one_shot || remote.busy > own || remote.circuits_in > 0 || !remote.lines.empty()) return nullptr;
  const std::optional<LinkInfo> view = node_.link_with(remote.id);
  if (!view || !view->dialled) return nullptr;
  remote.one_shot = false;
  node_.end_link(view->trunk, close_deadline, End());
  return view->trunk;
}

awaitable<void> NetworkCore::wait_until_over(CorePointer core, std::shared_ptr<Trunk> trunk, TimePoint due) {
  const auto is_there = [&core, &trunk] {
    const std::vector<LinkInfo> all = core->node_.links();
    return std::any_of(all.begin(), all.end(), [&trunk](const LinkInfo& open) { return open.trunk == trunk; });
  };
  while (core->phase_ == Phase::running && core->now() < due && is_there())
    co_await (core->connections_changed_.wait() || sleep_until(due));
}

} // namespace trunkline

#include "peer/channel/operators.hpp"

#include "async/within.hpp"
#include "fragment/deadline.hpp"
#include "fragment/quote.hpp"
#include "peer/channel/wire.hpp"

#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

namespace trunkline {
namespace {

void put(Fragment& fragment, const char* key, std::uint64_t value) { fragment.args.set(key, std::to_string(value)); }

Fragment traffic_fragment(std::int32_t op, std::string subject, const Traffic& traffic) {
  Fragment fragment(op);
  fragment.subject = std::move(subject);
  put(fragment, "messages_sent", traffic.messages_sent);
  put(fragment, "bytes_sent", traffic.bytes_sent);
  put(fragment, "messages_received", traffic.messages_received);
  put(fragment, "bytes_received", traffic.bytes_received);
  put(fragment, "processor_failures", traffic.processor_failures);
  put(fragment, "drops", traffic.drops);
  put(fragment, "queue_bytes", traffic.queue_bytes);
  put(fragment, "queue_messages", traffic.queue_messages);
  for (std::size_t i = 1; i < send_errors_count; ++i) {
    std::string key = "failed_";
    for (const char letter : to_string(static_cast<SendError>(i))) key += letter == ' ' ? '_' : letter;
    put(fragment, key.c_str(), traffic.send_failures[i]);
  }
  return fragment;
}

} // namespace

awaitable<void> Operators::answer(std::weak_ptr<Operators> weak, Circuit circuit) {
  const std::shared_ptr<Operators> operators = weak.lock();
  if (!operators) co_return;
  const NetworkOptions& options = operators->state_.options();
  if (operators->answering_ >= options.operators_max) { // each holds a copy of all counters while it reads
    circuit.close(End(error::circuit_limit_reached, fmt::format("operators_max {} reached", options.operators_max)));
    co_return;
  }
  ++operators->answering_;
  struct Answering {
    Operators& operators;
    ~Answering() { --operators.answering_; }
  } const answering{*operators};
  try {
    co_await within(in_nanoseconds(options.operator_deadline), operators->answer_request(operators, circuit));
  } catch (const boost::system::system_error& thrown) {
    if (thrown.code() != error::timed_out) throw;
    circuit.reset(End(error::timed_out, "operator_deadline passed"));
  }
}

awaitable<void> Operators::answer_request(Alive alive, Circuit& circuit) {
  const std::optional<Fragment> request = co_await circuit.receive();
  if (!request) co_return;
  const NetworkMetrics metrics = metrics_();
  if (request->subject == "peers") {
    for (const auto& [id, peer] : metrics.peers) {
      Fragment fragment = traffic_fragment(op_operator_peer, id.to_string(), peer);
      put(fragment, "connected", peer.connected);
      put(fragment, "dialled", peer.dialled);
      put(fragment, "dials", peer.dials);
      put(fragment, "reuses", peer.reuses);
      fragment.args.set("remote", peer.remote);
      fragment.args.set("name", peer.name);
      co_await circuit.send(std::move(fragment));
    }
  } else if (request->subject == "stats") {
    Fragment total(op_operator_total);
    total.subject = state_.node().id().to_string();
    put(total, "connections_inbound", metrics.connections_inbound);
    put(total, "connections_outbound", metrics.connections_outbound);
    put(total, "connections_turned_away", metrics.connections_turned_away);
    put(total, "evictions", metrics.evictions);
    put(total, "dials", metrics.dials);
    put(total, "reuses", metrics.reuses);
    put(total, "drops_unknown_channel", metrics.drops_unknown_channel);
    put(total, "processor_failures", metrics.processor_failures);
    put(total, "queue_bytes", metrics.queue_bytes);
    put(total, "queue_messages", metrics.queue_messages);
    put(total, "acks_waiting", metrics.acks.waiting);
    put(total, "acks_taken", metrics.acks.taken);
    put(total, "acks_late", metrics.acks.late);
    put(total, "acks_duplicate", metrics.acks.duplicate);
    put(total, "acks_unknown", metrics.acks.unknown);
    co_await circuit.send(std::move(total));
    for (const auto& [name, traffic] : metrics.channels)
      co_await circuit.send(traffic_fragment(op_operator_channel, name, traffic));
  } else {
    circuit.close(
        End(error::no_service, fmt::format("no answer to {}; there are peers, stats", quote(request->subject))));
  }
}

} // namespace trunkline

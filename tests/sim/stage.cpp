#include "tests/sim/stage.hpp"

#include "circuit/native/circuit.hpp"
#include "circuit/trunk.hpp"
#include "fragment/error.hpp"

#include <boost/asio/error.hpp>

namespace trunkline::sim {
namespace {

/// What can only come from a connection that broke.
bool is_breakage(const boost::system::error_code& code) {
  const bool broken_off = code.value() >= static_cast<int>(error::protocol_error) &&
                          code.value() <= static_cast<int>(error::mandatory_feature_unknown);
  return broken_off || code == error::trunk_lost || code == error::connect_failed;
}

} // namespace

void Stage::note_failure(const std::string& stream, const boost::system::system_error& failure) {
  const auto code = failure.code();
  if (is_refusal(code)) return streams.refused(stream, failure.what());
  if (code == asio::error::operation_aborted) return;
  if (code.category() != trunkline_category())
    return violations.report("circuit " + stream + " failed with a code that is not trunkline's: " + failure.what());
  if (calm && is_breakage(code) && !to_self.contains(stream))
    violations.report("circuit " + stream + " failed in a world without faults: " + failure.what());
}

void Stage::remember(const std::string& url, Random& random) {
  constexpr std::size_t known_max = 20;
  if (url.empty()) return;
  const PeerUrl parsed = PeerUrl::parse(url);
  if (parsed.scheme() != "sim") return;
  if (known.size() < known_max) known.push_back(parsed);
  else known[random.below(known_max)] = parsed;
}

std::string Stage::describe(const std::string& stream) const {
  const auto found = circuits.find(stream);
  const std::shared_ptr<Circuit> circuit = found == circuits.end() ? nullptr : found->second.lock();
  if (!circuit) return {};
  const TrunkCircuit& state = *circuit->state();
  std::string text = "circuit " + stream + ", number " + std::to_string(state.id) + " to " + state.names->remote->url +
                     ": sent " + std::to_string(state.counters.fragments_sent) + ", received " +
                     std::to_string(state.counters.fragments_received);
  if (state.answered()) text += ", answered";
  if (state.finished_here()) text += ", finished here";
  if (state.finish_acknowledged()) text += ", acknowledged";
  if (state.finished_there()) text += ", finished there";
  if (const auto* const native = dynamic_cast<const NativeCircuit*>(&state); native && !native->receiving.reads.empty())
    text += ", readable";
  if (state.ended) text += ", ended";
  return text + ", " + std::to_string(circuit->credit_bytes()) + " bytes of credit" +
         (circuit->trunk()->machine().over() ? ", its trunk is over" : ", its trunk lives");
}

bool is_refusal(const boost::system::error_code& code) {
  return code == error::no_service || code == error::no_peer || code == error::service_limit_reached ||
         code == error::circuit_limit_reached || code == error::open_backlog_full || code == error::access_denied;
}

} // namespace trunkline::sim

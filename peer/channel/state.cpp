#include "peer/channel/state.hpp"

#include "fragment/quote.hpp"

#include <boost/asio/error.hpp>

#include <algorithm>
#include <random>
#include <utility>

namespace trunkline {
namespace {

NetworkOptions with_random(NetworkOptions options) {
  if (!options.node.random) {
    const auto device = std::make_shared<std::random_device>();
    options.node.random = [device] { return std::uint64_t{(*device)()} << 32 | (*device)(); };
  }
  options.node.redial.initial = options.node.redial.initial.zero(); // the network paces what it dials itself
  return options;
}

} // namespace

bool is_aborted(const boost::system::system_error& thrown) { return thrown.code() == asio::error::operation_aborted; }

NetworkState::NetworkState(Executor executor, NetworkOptions options)
    : executor_(std::move(executor)), clock_(Clock::of(executor_)), options_(with_random(std::move(options))),
      lines_(options_.node.log), remotes_(node_, clock_, options_.nodes_remembered_max),
      node_(executor_, LinkChanges::reporting_to(link_changes_, options_.node)),
      tasks_(executor_, [this](std::exception_ptr failure) {
        log("task", LogLevel::error, "a task of the network threw: " + words_of(failure));
      }) {}

Duration NetworkState::backoff(std::uint32_t failures) const {
  Backoff backoff;
  backoff.initial = options_.redial_backoff_min;
  backoff.maximum = options_.redial_backoff_max;
  return backoff.after(failures, options_.node.random);
}

SendResult NetworkState::failure_of(const Remote& remote, const boost::system::system_error& thrown) const {
  const std::string text = node_text(remote.id) + ": " + trunkline::text_of(thrown);
  if (!is_running()) return {SendError::closed, "this network stops; " + text};
  if (thrown.code() == error::fragment_too_large) return {SendError::too_large, text};
  if (thrown.code() == error::no_service) return {SendError::unknown_channel, text};
  if (thrown.code() == error::circuit_limit_reached) return {SendError::connection_limit, text};
  if (thrown.code() == error::timed_out) return {SendError::timed_out, text};
  return {SendError::connection_lost, text};
}

} // namespace trunkline

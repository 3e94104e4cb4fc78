#include "cli/operate/trunk_limits.hpp"

#include "circuit/native/machine.hpp"
#include "peer/node.hpp"

#include <memory>
#include <utility>

namespace trunkline::cli {
namespace {

constexpr const char* of_each_trunk[] = {
    "fragment_bytes_max",       "trunk_memory_bytes_max",        "circuit_window_bytes_max",
    "errors_unread_bytes_max",  "send_queue_bytes_max",          "circuits_max",
    "empty_frames_max",         "pings_answered_per_second_max", "pings_per_second_max",
    "unknown_frames_per_minute_max", "cancelled_opens_per_second_max", "control_frames_per_second_max",
    "remote_peers_max",         "remote_metadata_bytes_max",     "circuit_strings_bytes_max",
    "user_string_bytes_max",    "reason_bytes_max",              "keepalive_interval",
    "write_deadline",           "stall_deadline",
};

/// What a node makes where nobody gives it another dialect.
std::unique_ptr<Machine> make_machine(MachineSetup setup, Instant now) {
  NativeMachineOptions options;
  options.limits = setup.limits;
  options.dialled = setup.dialled;
  options.node_id = setup.node_id;
  options.node_name = std::move(setup.node_name);
  options.addresses = std::move(setup.addresses);
  options.far_end = std::move(setup.far_end);
  options.proof_to_come = setup.proof_to_come;
  return std::make_unique<NativeMachine>(std::move(options), now);
}

} // namespace

void follow_trunk_limits(RunningConfiguration& running, LimitOptions& words, NodeOptions& node) {
  if (!running.has_file()) return;
  const auto limits = std::make_shared<Limits>(node.limits);
  node.dialect = [limits](MachineSetup setup, Instant now) {
    setup.limits = *limits;
    return make_machine(std::move(setup), now);
  };
  const auto take = [limits, &words] {
    Limits wanted;
    LimitTable table;
    add_limits(table, wanted);
    table.set(words);
    wanted.check();
    *limits = wanted;
  };
  for (const char* const name : of_each_trunk) running.follow_limit(name, words, take);
}

} // namespace trunkline::cli

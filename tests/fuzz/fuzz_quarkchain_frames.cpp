// Any bytes into one trunk of the cluster framing. The first bytes say which framing, how the rest is cut and who
// reads. What is received must not depend on the cuts, no frame may be read before its end, and memory follows what has
// arrived, not what was claimed.

#include "services/quarkchain/trunk/cluster_machine.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace trunkline;
using namespace trunkline::quarkchain;

void demand(bool good) {
  if (!good) std::abort();
}

ClusterLimits limits() {
  ClusterLimits limits;
  limits.command_bytes_max = 1 << 20;
  limits.control_inbox_bytes_max = 64 << 10;
  limits.peer_inbox_bytes_max = 16 << 10;
  limits.peers_inbox_bytes_max = 128 << 10; // raised to hold one frame beside an inbox
  limits.circuits_max = 16;
  return limits;
}

/// One connection; `reads` says whether the application takes what comes.
class Fed {
 public:
  Fed(Framing framing, bool checks_branches, bool reads) : machine_(options(framing, checks_branches)), reads_(reads) {
    circuits_[Route()] = &machine_.control();
    for (std::uint64_t peer = 1; peer < 4; ++peer) machine_.allow_peer(peer);
    OpenRequest request;
    request.name = to_text(Route(1, framing == Framing::cluster ? 9 : 0));
    TrunkCircuit* const own = machine_.open(std::move(request), Fragment(1, "first"), now_);
    if (own->id != 0) circuits_[ClusterMachine::route_of(*own)] = own;
    settle();
  }

  void receive(std::span<const std::byte> bytes) {
    machine_.feed(bytes, now_);
    arrived_ += bytes.size();
    settle();
    // Every frame costs frame_cost_bytes and at least a header; an allocation at most doubles what has arrived.
    demand(machine_.memory_bytes() <= 64 * 1024 + 12 * arrived_);
    demand(machine_.memory_bytes() <= (1 << 20) + (64 << 10) + (16 << 10) + (3 << 20) + bytes.size() * 12);
  }
  void end() {
    machine_.disconnected(End());
    settle();
    demand(machine_.over());
    for (const auto& [route, circuit] : circuits_) demand(circuit->ended);
    reads_ = true;
    settle();
    demand(machine_.memory_bytes() == 0);
    for (const auto& [route, circuit] : circuits_) machine_.release(*circuit);
  }
  const std::string& seen() const { return seen_; }
  bool paused() const { return !machine_.wants_input(); }

 private:
  static ClusterMachineOptions options(Framing framing, bool checks_branches) {
    ClusterMachineOptions options;
    options.framing = framing;
    options.limits = limits();
    if (checks_branches) options.branches = std::make_shared<const Branches>(Branches{1, 2, 0x10001});
    return options;
  }

  void settle() {
    std::vector<TrunkEvent> events;
    do {
      machine_.collect_events(events);
      for (TrunkEvent& event : events)
        if (event.kind == TrunkEvent::Kind::opened) circuits_[ClusterMachine::route_of(*event.circuit)] = event.circuit;
    } while (!events.empty());
    Output output;
    while (machine_.has_output()) {
      machine_.collect_output(output, 1 << 16, now_);
      demand(!output.empty());
      machine_.written(now_);
    }
    if (!reads_) return;
    for (const auto& [route, circuit] : circuits_)
      while (std::optional<Fragment> fragment = machine_.take(*circuit)) {
        per_circuit_[route] += to_text(route) + ' ' + std::to_string(fragment->op) + ' ' +
                               std::to_string(fragment->part) + ' ' + fragment->subject + ' ';
        per_circuit_[route] += fragment->payload.text();
        demand(fragment->op >= 0 && fragment->op <= 255);
      }
    seen_.clear();
    for (const auto& [route, text] : per_circuit_) seen_ += text;
  }

  ClusterMachine machine_;
  bool reads_;
  Instant now_{};
  std::size_t arrived_ = 0;
  std::map<Route, TrunkCircuit*> circuits_;
  std::map<Route, std::string> per_circuit_;
  std::string seen_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto framing = static_cast<Framing>(data[0] % 3);
  const bool checks_branches = data[0] & 4;
  const bool reads = data[0] & 8;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data + 2), size - 2);

  Fed cut(framing, checks_branches, reads);
  std::span<const std::byte> left = bytes;
  for (std::uint32_t random = data[1] | 1u; !left.empty();) {
    random = random * 1664525u + 1013904223u;
    const std::size_t count = std::min<std::size_t>(left.size(), 1 + (random >> 16) % (1u + data[1]));
    cut.receive(left.first(count));
    left = left.subspan(count);
  }
  if (reads) {
    // Read as it comes: nothing overflows, so the cuts make no difference. Large portions may overflow an inbox between
    // two reads.
    Fed bytewise(framing, checks_branches, true);
    for (std::size_t at = 0; at < bytes.size(); ++at) bytewise.receive(bytes.subspan(at, 1));
    if (bytes.size() < 1000) demand(cut.seen() == bytewise.seen());
    bytewise.end();
  }
  cut.end();
  return 0;
}

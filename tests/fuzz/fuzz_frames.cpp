// Any bytes into one trunk, in portions that the input chooses. The application on it accepts or refuses what is
// opened, takes everything, and lets time pass. Nothing may crash, hang, or grow beyond the trunk's memory,
// and every part of the machine checks its own sums after every input (circuit/invariant.hpp).

#include "circuit/native/machine.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

namespace {

using namespace trunkline;

void demand(bool good, const char* otherwise) {
  if (good) return;
  std::fprintf(stderr, "%s\n", otherwise);
  std::abort();
}

class Fed {
 public:
  Fed() : machine_(options()) {
    local_ = std::make_shared<const PeerName>(PeerName{options().node_id, "fuzz", {}});
    OpenRequest request;
    request.from = local_;
    request.to_service = "far";
    own_ = machine_.open(std::move(request), Fragment(1, "first"), now_);
    settle(); // the preface goes out: from here on its deadlines count
  }

  void receive(std::span<const std::byte> bytes) {
    machine_.feed(bytes, now_);
    settle();
    demand(machine_.memory_bytes() <= (std::size_t{4} << 20), "it holds more than its memory");
  }
  void wait(std::chrono::milliseconds time) {
    now_ += time;
    machine_.tick(now_);
    settle();
  }
  /// Deadlines must come to an end: a trunk that nobody talks to dies.
  void abandon() {
    for (int i = 0; i < 10000 && !machine_.over(); ++i) {
      const Instant deadline = machine_.deadline();
      demand(deadline != Instant::max(), "it is not over and waits for nothing");
      now_ = std::max(now_ + std::chrono::milliseconds(1), deadline);
      machine_.tick(now_);
      settle();
    }
    demand(machine_.over(), "it is not over after ten thousand deadlines");
    for (TrunkCircuit* circuit : circuits_) machine_.release(*circuit);
    if (own_) machine_.release(*own_);
  }

 private:
  static NativeMachineOptions options() {
    NativeMachineOptions options;
    options.limits.fragment_bytes_max = 512 * 1024;
    options.limits.trunk_memory_bytes_max = 2 << 20;
    std::uint64_t next = 7;
    options.node_id = NodeId::draw([&] { return next++; });
    return options;
  }

  void settle() {
    std::vector<TrunkEvent> events;
    do {
      machine_.collect_events(events);
      for (TrunkEvent& event : events) {
        if (event.kind != TrunkEvent::Kind::opened || !event.circuit || event.circuit->released()) continue;
        if (event.circuit->id % 8 == 1) {
          machine_.refuse(*event.circuit, error::no_service, "no", {});
        } else {
          machine_.accept(*event.circuit, local_);
          machine_.left_backlog(*event.circuit);
          circuits_.push_back(event.circuit);
        }
      }
    } while (!events.empty());
    for (TrunkCircuit* circuit : circuits_) serve(*circuit);
    if (own_) serve(*own_);
    Output output;
    for (int i = 0; i < 64 && machine_.has_output(); ++i) {
      machine_.collect_output(output, 1 << 16, now_);
      machine_.written(now_);
    }
  }
  void serve(TrunkCircuit& circuit) {
    if (circuit.id % 8 != 3) { // one in four reads nothing
      while (std::optional<Fragment> fragment = machine_.take(circuit)) {
        Fragment reply(fragment->op, std::move(fragment->payload));
        machine_.send(circuit, reply);
      }
      while (machine_.take_error(circuit)) {}
    }
    if (circuit.finished_there() && circuit.id % 8 == 5) machine_.close(circuit, End());
    if (circuit.finished_there()) machine_.finish(circuit);
  }

  NativeMachine machine_;
  Instant now_{};
  std::shared_ptr<const PeerName> local_;
  std::vector<TrunkCircuit*> circuits_;
  TrunkCircuit* own_ = nullptr;
};

/// What a far side says first. Made once: it costs as much as an input.
const std::vector<std::byte>& greeting() {
  static const std::vector<std::byte> bytes = [] {
    NativeMachineOptions options;
    options.dialled = true;
    std::uint64_t next = 99;
    options.node_id = NodeId::draw([&] { return next++; });
    NativeMachine greeter(options);
    Output output;
    greeter.collect_output(output, 1 << 16, Instant());
    std::vector<std::span<const std::byte>> pieces;
    output.gather(pieces);
    std::vector<std::byte> said;
    for (const auto piece : pieces) said.insert(said.end(), piece.begin(), piece.end());
    return said;
  }();
  return bytes;
}

/// The input with its runs written out: 0xFE and n stand for n times 512 bytes of 'x', so that a short input can hold a
/// large payload; 0xFE and 0 for 0xFE. At most so many bytes.
std::vector<std::byte> expanded(std::span<const std::uint8_t> input, std::size_t bytes_max) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < input.size() && bytes.size() < bytes_max; ++i) {
    const bool is_run = input[i] == 0xFE && i + 1 < input.size() && input[i + 1] != 0;
    if (is_run) bytes.resize(bytes.size() + std::size_t{512} * input[i + 1], std::byte{'x'});
    else bytes.push_back(std::byte{input[i]});
    if (input[i] == 0xFE) ++i;
  }
  return bytes;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // The first byte says how the rest is cut, whether time passes in between, and whether a preface and a hello come
  // before it.
  if (size == 0) return 0;
  const std::uint8_t how = data[0];
  const std::vector<std::byte> input = expanded(std::span(data + 1, size - 1), 1 << 20);
  std::span<const std::byte> bytes(input);
  Fed fed;
  if (how & 1) fed.receive(greeting());
  constexpr std::size_t portions_max = 64; // as many as make sense
  const std::size_t portion = std::max(std::size_t{1} << (how >> 1 & 15), bytes.size() / portions_max);
  while (!bytes.empty()) {
    const std::size_t count = std::min(portion, bytes.size());
    fed.receive(bytes.first(count));
    bytes = bytes.subspan(count);
    if (how & 0x80) fed.wait(std::chrono::milliseconds(100));
  }
  fed.abandon();
  return 0;
}

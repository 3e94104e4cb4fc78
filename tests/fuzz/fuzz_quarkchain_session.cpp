// A whole session of rpc on one connection of the cluster framing. The input is a list of steps: frames of the far
// side, well formed or not, raw bytes, calls of ours, their cancellation, virtual peers that come and go, handlers that
// are released, a writer that stops, an end. Nothing may crash, hang or grow; every call comes to an end, and no
// handler outlives its connection.

#include "async/tasks.hpp"
#include "circuit/trunk.hpp"
#include "services/quarkchain/trunk/cluster_machine.hpp"
#include "services/quarkchain/rpc/rpc.hpp"
#include "tests/fuzz/input.hpp"

#include <boost/asio/io_context.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace trunkline;
using namespace trunkline::quarkchain;

void demand(bool good) {
  if (!good) std::abort();
}

struct Shared {
  int running = 0;
  int calls_open = 0;
  Signal release;
};

struct Running {
  explicit Running(int& counted) : count(counted) { ++count; }
  ~Running() { --count; }
  int& count;
};

std::shared_ptr<RpcServer> make_server(Shared& shared) {
  RpcLimits limits;
  limits.requests_in_flight_max = 4;
  limits.requests_waiting_bytes_max = 1000;
  limits.calls_in_flight_max = 5;
  limits.late_replies_max = 3;
  auto server = std::make_shared<RpcServer>("fuzz", limits);
  server->serve(1, "ECHO", 2, [&shared](RpcRequest request) -> awaitable<Payload> {
    const Running running(shared.running);
    co_return std::move(request.payload);
  });
  server->serve(3, "SLOW", 4, [&shared](RpcRequest request) -> awaitable<Payload> {
    const Running running(shared.running);
    co_await shared.release.wait();
    co_return std::move(request.payload);
  });
  server->serve(5, "BACK", 6, [&shared](RpcRequest request) -> awaitable<Payload> {
    const Running running(shared.running);
    RpcReply reply = co_await request.circuit->call(1, std::move(request.payload));
    co_return std::move(reply.payload);
  });
  server->serve(7, "FAIL", 8, [&shared](RpcRequest) -> awaitable<Payload> {
    const Running running(shared.running);
    throw std::runtime_error("planned");
    co_return Payload();
  });
  server->hear(9, "COMMAND", [&shared](RpcRequest) -> awaitable<void> {
    const Running running(shared.running);
    co_return;
  });
  for (const std::uint8_t reply : {2, 4, 6, 8}) server->know(reply, "REPLY");
  return server;
}

awaitable<void> call(Shared* shared, std::shared_ptr<RpcCircuit> circuit, std::uint8_t op, std::string payload) {
  const Running open(shared->calls_open);
  try {
    co_await circuit->call(op, Payload(std::move(payload)));
  } catch (const boost::system::system_error&) {}
}

class Session {
 public:
  explicit Session(std::uint8_t how) : framing_(static_cast<Framing>(how % 3)), server_(make_server(shared_)) {
    ClusterMachineOptions options;
    options.framing = framing_;
    options.limits.command_bytes_max = 64 << 10;
    options.limits.control_inbox_bytes_max = 4000;
    options.limits.peer_inbox_bytes_max = 2000;
    options.limits.peers_inbox_bytes_max = 4000;
    options.limits.output_bytes_max = 2000;
    options.limits.peer_output_bytes_max = 1000;
    options.limits.circuits_max = 8;
    if (how & 4) options.branches = std::make_shared<const Branches>(Branches{1, 2});
    auto machine = std::make_unique<ClusterMachine>(std::move(options));
    machine_ = machine.get();
    trunk_ = std::make_shared<Trunk>(io_.get_executor(), std::move(machine), owner_);
    circuits_.push_back(RpcCircuit::start(Circuit(trunk_, machine_->control()), server_));
    machine_->allow_peer(1);
    machine_->allow_peer(2);
  }

  const ClusterMachine& machine() const { return *machine_; }

  void step(test::FuzzInput& steps) {
    const std::uint8_t what = steps.byte();
    switch (what % 10) {
      case 0:
      case 1:
      case 2: { // a frame
        FrameHeader header;
        header.opcode = steps.byte() % 12;
        header.rpc_id = steps.byte() % 16;
        if (what & 0x10) header.branch = steps.byte() % 4;
        if (what & 0x20) header.cluster_peer_id = steps.byte() % 4;
        const std::string payload = steps.text(what & 0x40 ? std::size_t{steps.byte()} * 4 : steps.byte() % 8);
        header.length = static_cast<std::uint32_t>(payload.size());
        ByteBuffer bytes;
        append_frame_header(bytes, framing_, header);
        bytes.append(std::as_bytes(std::span(payload)));
        trunk_->feed(bytes);
        break;
      }
      case 3: { // raw bytes
        const std::string raw = steps.text(steps.byte() % 64);
        trunk_->feed(std::as_bytes(std::span(raw)));
        break;
      }
      case 4: { // a call of ours
        if (!tasks_) tasks_ = std::make_unique<Tasks>(io_.get_executor());
        const auto& circuit = circuits_[steps.byte() % circuits_.size()];
        tasks_->spawn(call(&shared_, circuit, steps.byte() % 12, steps.text(steps.byte())));
        break;
      }
      case 5: tasks_.reset(); break;
      case 6: // a virtual peer comes
        if (circuits_.size() < 64)
          circuits_.push_back(RpcCircuit::start(
              circuits_.front()->new_circuit(to_text(Route(steps.byte() % 3, steps.byte() % 4))), server_));
        break;
      case 7: // or goes
        if (circuits_.size() > 1) {
          const std::size_t at = 1 + steps.byte() % (circuits_.size() - 1);
          if (what & 0x10) circuits_[at]->close(End(error::peer_ended));
          circuits_.erase(circuits_.begin() + static_cast<std::ptrdiff_t>(at));
        }
        break;
      case 8: shared_.release.notify_all(); break;
      case 9: clogged_ = what & 0x10; break;
    }
    run();
    demand(machine().memory_bytes() <= (64 << 10) + 4000 + (66 << 10) + 8192);
    demand(machine().output_bytes() <= 2000 + (64 << 10) + 25);
    demand(circuits_.front()->requests_running() <= 4);
  }
  void end(bool orderly) {
    if (orderly) circuits_.front()->close();
    else trunk_->disconnected(End());
    clogged_ = false;
    run();
    for (const auto& circuit : circuits_)
      demand(!circuit->is_open() && circuit->calls_pending() == 0 && circuit->requests_running() == 0);
    demand(shared_.running == 0);
    demand(shared_.calls_open == 0);
  }

 private:
  struct Owner final : Trunk::Owner {
    explicit Owner(Session& of) : session(of) {}
    void on_event(TrunkEvent& event) override { session.on_event(event); }
    Session& session;
  };

  void on_event(TrunkEvent& event) {
    if (event.kind != TrunkEvent::Kind::opened) return;
    Circuit circuit(trunk_, *event.circuit);
    if (event.circuit->id % 4 != 3) circuits_.push_back(RpcCircuit::start(std::move(circuit), server_)); // else refused
  }
  void run() {
    io_.restart();
    io_.poll();
    while (!clogged_ && trunk_->machine().has_output()) {
      trunk_->collect_output(output_, 1 << 20);
      trunk_->written();
      io_.restart();
      io_.poll();
    }
  }

  asio::io_context io_{1};
  Shared shared_;
  Framing framing_;
  std::shared_ptr<RpcServer> server_;
  std::shared_ptr<Owner> owner_ = std::make_shared<Owner>(*this);
  ClusterMachine* machine_ = nullptr; // of the trunk
  std::shared_ptr<Trunk> trunk_;
  std::vector<std::shared_ptr<RpcCircuit>> circuits_;
  std::unique_ptr<Tasks> tasks_;
  Output output_;
  bool clogged_ = false;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  test::FuzzInput steps(std::span(data + 1, size - 1));
  Session session(data[0]);
  while (steps.more()) session.step(steps);
  session.end(data[0] & 8);
  return 0;
}

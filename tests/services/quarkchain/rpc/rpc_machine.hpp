// One end of a connection with rpc on it, and the test itself as the far side, in bytes. No transport: what the test
// says is received at once, and what handlers did about it is run.
#pragma once

#include "async/within.hpp"
#include "circuit/trunk.hpp"
#include "services/quarkchain/trunk/cluster_machine.hpp"
#include "services/quarkchain/rpc/rpc.hpp"
#include "tests/services/quarkchain/protocol/wire.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trunkline::quarkchain::test {

/// What a call came to: "130 "pong"", or the words of its failure.
struct CallOutcome {
  std::optional<std::string> text;
};

inline awaitable<void> record(std::shared_ptr<CallOutcome> outcome, awaitable<RpcReply> call) {
  try {
    const RpcReply reply = co_await std::move(call);
    outcome->text = fmt::format("{} \"{}\"", reply.op, reply.payload.text());
  } catch (const boost::system::system_error& failure) {
    outcome->text = failure.code().message();
  }
}

class RpcMachine {
 public:
  explicit RpcMachine(std::shared_ptr<RpcServer> server, Framing of = Framing::cluster,
                      ClusterLimits limits = ClusterLimits())
      : framing(of) {
    ClusterMachineOptions options;
    options.framing = framing;
    options.limits = limits;
    options.remote = std::make_shared<const PeerName>(PeerName{{}, "far", "tcp://10.0.0.7:38291"});
    auto made = std::make_unique<ClusterMachine>(std::move(options));
    machine_ = made.get();
    trunk = std::make_shared<Trunk>(io.get_executor(), std::move(made));
    control = RpcCircuit::start(Circuit(trunk, machine().control()), std::move(server));
  }
  ~RpcMachine() {
    control->close();
    run();
  }

  ClusterMachine& machine() { return *machine_; }
  std::shared_ptr<RpcCircuit> opens(Route route, std::shared_ptr<RpcServer> server) {
    return RpcCircuit::start(control->new_circuit(to_text(route)), std::move(server));
  }
  void hears(std::string_view bytes) {
    asio::post(io, [&] { trunk->feed(as_bytes(bytes)); }); // on the executor's thread, as a session does
    run();
  }
  void hears(const Frame& frame) { hears(encode(framing, frame)); }
  /// All that is ready.
  void run() {
    io.restart();
    io.poll();
    while (!clogged && trunk->machine().has_output()) {
      trunk->collect_output(output_, 1 << 20);
      std::vector<std::span<const std::byte>> pieces;
      output_.gather(pieces);
      for (const auto piece : pieces) said_.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      trunk->written();
      io.restart();
      io.poll();
    }
  }
  std::string says() { return to_string(decode(framing, said_)); }
  std::string bytes() { return std::exchange(said_, {}); }
  std::shared_ptr<CallOutcome> calls(std::shared_ptr<RpcCircuit> circuit, std::uint8_t op, std::string payload,
                                     Duration deadline = Duration::zero()) {
    auto outcome = std::make_shared<CallOutcome>();
    tasks.spawn(record(outcome, circuit->call(op, Payload(std::move(payload)), deadline)));
    run();
    return outcome;
  }
  std::shared_ptr<CallOutcome> calls(std::uint8_t op, std::string payload, Duration deadline = Duration::zero()) {
    return calls(control, op, std::move(payload), deadline);
  }

  asio::io_context io{1};
  Framing framing;
  bool clogged = false; // nothing is written
  std::shared_ptr<Trunk> trunk;
  std::shared_ptr<RpcCircuit> control;
  Tasks tasks{io.get_executor()};

 private:
  ClusterMachine* machine_ = nullptr; // of the trunk
  Output output_;
  std::string said_;
};

} // namespace trunkline::quarkchain::test

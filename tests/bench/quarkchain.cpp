// The QuarkChain connection layer: rpc over one connection of the cluster framing, forwarding through a master, and
// what an idle virtual peer costs. One tcp connection on loopback per role, one thread per process.
//
//   calls_1, calls_64   GET_ACCOUNT_DATA-sized calls with so many in flight; the serving process answers
//   forward_64          64-byte payloads from a peer through the master to a slave; the serving process is the master,
//   the driving one both others idle_peer_bytes     memory of a process with many virtual peers that have all been used
//   once
#include "circuit/trunk.hpp"
#include "own_options.hpp"
#include "services/quarkchain/cluster/cluster_connection.hpp"
#include "services/quarkchain/cluster/forward.hpp"
#include "services/quarkchain/cluster/virtual_peers.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace trunkline;
using namespace trunkline::quarkchain;

constexpr std::uint8_t op_get_account_data = 141;
constexpr std::uint8_t op_new_block = 13;
constexpr std::uint8_t op_report = 17; // of this driver: how many frames have arrived
constexpr std::size_t request_bytes = 25; // an address, no height
constexpr std::size_t reply_bytes = 126; // two shards, one token each
constexpr std::size_t forwarded_bytes = 64;
constexpr std::uint32_t branch = 0x10001;
constexpr std::uint64_t peer_id = 7;

using Options = bench::OwnOptions;

struct Goal {
  explicit Goal(const Options& options) : count(options.count), end(bench::now_seconds() + options.seconds) {}
  bool reached(std::uint64_t done) const { return count != 0 ? done >= count : bench::now_seconds() >= end; }
  std::uint64_t count;
  double end;
};

ClusterConnectionsOptions connections_options() {
  ClusterConnectionsOptions options;
  options.limits.circuits_max = 1'000'000;
  options.log = [](LogLevel level, std::string_view line) {
    if (level >= LogLevel::warning) std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  return options;
}

std::string pattern(std::size_t size, std::uint64_t number) {
  std::string bytes(size, 'q');
  std::memcpy(bytes.data(), &number, std::min(size, sizeof number));
  return bytes;
}

std::uint64_t number_in(const Payload& payload) {
  std::uint64_t number = 0;
  std::memcpy(&number, payload.data(), std::min(payload.size(), sizeof number));
  return number;
}

std::shared_ptr<RpcServer> calls_server() {
  auto server = std::make_shared<RpcServer>("bench");
  server->serve(op_get_account_data, "GET_ACCOUNT_DATA", op_get_account_data + 1,
                [](RpcRequest request) -> awaitable<Payload> {
                  if (request.payload.size() != request_bytes) throw std::runtime_error("a request of another size");
                  Payload reply(pattern(reply_bytes, number_in(request.payload)));
                  co_return reply;
                });
  server->know(op_get_account_data + 1, "REPLY");
  server->know(op_report + 1, "REPORT");
  return server;
}

// Calls.

awaitable<void> call_again_and_again(std::shared_ptr<RpcCircuit> circuit, Goal goal, bool skip_one, std::uint64_t* done,
                                     std::uint64_t* number) {
  while (!goal.reached(*done)) {
    for (int i = 0; i < 64; ++i) { // the clock is read rarely
      const std::uint64_t mine = ++*number;
      const std::uint64_t said = skip_one && mine == 3 ? 4 : mine;
      const RpcReply reply = co_await circuit->call(op_get_account_data, Payload(pattern(request_bytes, said)));
      if (reply.payload.size() != reply_bytes || number_in(reply.payload) != mine)
        throw std::runtime_error(fmt::format("sequence {} on stream 0, expected {}", number_in(reply.payload), mine));
      ++*done;
    }
  }
}

awaitable<bench::Result> drive_calls(ClusterConnections& connections, const Options& options, int in_flight) {
  const auto connection =
      co_await connections.dial("tcp://127.0.0.1:" + options.port, Framing::cluster, calls_server());
  std::uint64_t done = 0;
  std::uint64_t number = 0;
  std::exception_ptr failure;
  Tasks tasks(connections.executor(), [&](std::exception_ptr thrown) { failure = std::move(thrown); });
  const double begin = bench::now_seconds();
  for (int i = 0; i < in_flight; ++i)
    tasks.spawn(call_again_and_again(connection->control(), Goal(options), options.skip_one, &done, &number));
  co_await tasks.join();
  const double elapsed = bench::now_seconds() - begin;
  if (failure) std::rethrow_exception(failure);
  co_return bench::Result{static_cast<double>(done) / elapsed, "calls/s"};
}

// Forwarding. The driving process dials twice: first as the slave, then as the peer.

/// What has arrived, or why no more will; kept by the connections that tell it.
struct Receiver {
  std::uint64_t expected = 0;
  std::exception_ptr failure;
  Signal arrived;

  void fail(std::exception_ptr thrown) {
    if (!failure) failure = std::move(thrown);
    arrived.notify_all();
  }
};

awaitable<void> send_all(Circuit circuit, Goal goal, bool skip_one, std::uint64_t* sent) {
  while (!goal.reached(*sent))
    for (int i = 0; i < 1000; ++i) {
      Fragment fragment(op_new_block, Payload::uninitialized(forwarded_bytes));
      if (skip_one && *sent == 3) ++*sent;
      const std::uint64_t number = (*sent)++;
      std::memcpy(fragment.payload.writable().data(), &number, sizeof number);
      co_await circuit.send(std::move(fragment));
    }
  circuit.finish();
}

awaitable<void> receive_all(Circuit circuit, std::shared_ptr<Receiver> receiver) {
  for (;;) {
    const std::optional<Fragment> fragment = co_await circuit.receive();
    if (!fragment) throw std::runtime_error(fmt::format("the circuit ended after {} frames", receiver->expected));
    if (fragment->payload.size() != forwarded_bytes || number_in(fragment->payload) != receiver->expected)
      throw std::runtime_error(
          fmt::format("sequence {} on stream 0, expected {}", number_in(fragment->payload), receiver->expected));
    ++receiver->expected;
    if (receiver->arrived.has_waiters()) receiver->arrived.notify_all();
  }
}

awaitable<bench::Result> drive_forward(ClusterConnections& connections, const Options& options) {
  const std::string address = "tcp://127.0.0.1:" + options.port;
  const auto slave = co_await connections.dial(address, Framing::cluster, calls_server());
  // The master knows who is who by the order; a reply of the first says that it is known.
  co_await slave->control()->call(op_get_account_data, Payload(pattern(request_bytes, 1)));
  const auto receiver = std::make_shared<Receiver>();
  Tasks tasks(connections.executor(), [receiver](std::exception_ptr thrown) { receiver->fail(std::move(thrown)); });
  tasks.spawn(receive_all(slave->control()->new_circuit(to_text(Route(branch, peer_id))), receiver));
  const auto server = calls_server();
  server->on_ended = [receiver](RpcCircuit&, const End& end) {
    receiver->fail(std::make_exception_ptr(std::runtime_error("the peer's connection ended: " + end.to_string())));
  };
  const auto peer = co_await connections.dial(address, Framing::p2p, server);
  std::uint64_t sent = 0;
  const double begin = bench::now_seconds();
  co_await send_all(peer->control()->new_circuit(to_text(Route(branch, 0))), Goal(options), options.skip_one, &sent);
  while (receiver->expected < sent && !receiver->failure) co_await receiver->arrived.wait();
  const double elapsed = bench::now_seconds() - begin;
  if (receiver->failure) std::rethrow_exception(receiver->failure);
  peer->close();
  slave->close();
  co_return bench::Result{static_cast<double>(sent) / elapsed, "frames/s"};
}

// Memory.

awaitable<bench::Result> drive_idle(ClusterConnections& connections, const Options& options) {
  const auto connection =
      co_await connections.dial("tcp://127.0.0.1:" + options.port, Framing::cluster, calls_server());
  auto server = std::make_shared<RpcServer>("peer");
  server->hear(op_new_block, "NEW_BLOCK", [](RpcRequest) -> awaitable<void> { co_return; });
  VirtualPeers peers(server, 1'000'000);
  peers.set_master(connection->control());
  peers.add_branch(branch);
  peers.create(1);
  const std::uint64_t count = options.count != 0 ? options.count : 100'000;
  const double before = bench::resident_bytes(::getpid());
  for (std::uint64_t id = 2; id < count + 2; ++id) peers.create(id);
  co_await connection->control()->call(op_get_account_data,
                                       Payload(pattern(request_bytes, 1))); // everything has settled
  const double after = bench::resident_bytes(::getpid());
  if (peers.size() != count + 1) throw std::runtime_error("not all virtual peers were created");
  bench::Result result{(after - before) / static_cast<double>(count), "bytes"};
  peers.clear(End());
  co_return result;
}

awaitable<void> drive(ClusterConnections& connections, const Options& options, bench::Result& result) {
  if (options.workload == "calls_1") result = co_await drive_calls(connections, options, 1);
  if (options.workload == "calls_64") result = co_await drive_calls(connections, options, 64);
  if (options.workload == "forward_64") result = co_await drive_forward(connections, options);
  if (options.workload == "idle_peer_bytes") result = co_await drive_idle(connections, options);
  co_await connections.close();
}

// The serving process.

/// The first connection is a slave (or who calls), the second one a peer.
struct Serving {
  explicit Serving(asio::io_context& io)
      : connections(io.get_executor(), connections_options()), forwarding(io.get_executor()) {
    forwarding.set_on_peer_failed([this](std::uint64_t, const End& reason) { failed = reason.to_string(); });
  }

  void accepted(std::unique_ptr<Transport> transport) {
    auto server = calls_server();
    server->on_ended = [this](RpcCircuit&, const End&) { ++ended; };
    const bool first = made++ == 0;
    const auto connection =
        connections.adopt(std::move(transport), first ? Framing::cluster : Framing::p2p, std::move(server));
    if (first) {
      forwarding.add_slave(connection->control(), {branch});
    } else {
      forwarding.add_peer(peer_id, connection->control());
      connection->on_opened = [this](const Route& route, Circuit circuit) {
        forwarding.peer_opened(peer_id, route.branch, std::move(circuit));
      };
    }
  }

  ClusterConnections connections;
  Forwarding forwarding;
  int made = 0;
  int ended = 0;
  std::string failed; // why nothing more is forwarded
};

void serve() {
  asio::io_context io(1);
  Serving serving(io);
  const std::string address = serving.connections.listen(
      "tcp://127.0.0.1:0", [&](std::unique_ptr<Transport> transport) { serving.accepted(std::move(transport)); });
  bench::say_listening(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  while (serving.made == 0 || serving.connections.size() > 0) { // over when all connections are gone again
    io.run_one();
    if (!serving.failed.empty()) throw std::runtime_error(serving.failed);
  }
}

} // namespace

int main(int argc, char** argv) {
  return bench::exit_code_of(argv[0], [&] {
    const Options options =
        bench::parse_own(argc, argv, "quarkchain", {"calls_1", "calls_64", "forward_64", "idle_peer_bytes"});
    if (options.serving) {
      serve();
      return;
    }
    asio::io_context io(1);
    ClusterConnections connections(io.get_executor(), connections_options());
    bench::Result result{};
    std::exception_ptr failure;
    asio::co_spawn(io, drive(connections, options, result), [&](std::exception_ptr thrown) {
      failure = std::move(thrown);
      if (failure) io.stop();
    });
    io.run();
    if (failure) std::rethrow_exception(failure);
    std::printf("{\"value\": %.6g, \"unit\": \"%s\"}\n", result.value, result.unit);
  });
}
